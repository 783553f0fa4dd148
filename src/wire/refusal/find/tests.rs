//! The wrappers of responses-api.md 1.4 by example, and compositions of them by chance.

mod properties;
mod sentences;
mod wrappers;
