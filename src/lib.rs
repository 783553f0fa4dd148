//! Reproduces, explains and repairs broken tool-call conversations with the OpenAI Responses API.
//!
//! The library behind the command line `replay`. Rooms, in the order in which they may import each other, are described
//! in `ARCHITECTURE.md`.

pub mod clock;
pub mod ids;
pub mod locate;
pub mod rollout;
pub mod session;
pub mod wire;
