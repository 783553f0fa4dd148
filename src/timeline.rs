//! What the forms of a session show: which calls are open, since when, and why.
//!
//! [`calls`] tells of every call that has no output at the end where it was opened, what the tool was doing, and what lost
//! its output. Pure; the viewer builds on it.

pub mod calls;

pub use calls::{Cause, OpenCall, Tool, open_calls};
pub(crate) use calls::{raw_ledger, replaced_ledger};
