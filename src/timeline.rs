//! What the forms of a session show: everything it holds on one clock, and which calls are open at any point, since when,
//! and why.
//!
//! [`calls`] tells of every call that has no output at the end where it was opened, what the tool was doing, and what lost
//! its output. [`index`] is the list of everything (requests, events, items, lines) with the changes of every call;
//! [`state`] gives the open calls as of any entry without reading anything again; [`text`] reads the text of an entry back
//! from its place in the file. Pure: readers are handed in.

mod beside;
pub mod calls;
mod chunk;
mod clock;
mod draft;
mod entry;
pub mod filter;
pub mod index;
mod join;
mod lines;
mod recorded;
mod rolled;
pub mod state;
pub mod text;
pub mod words;

pub use beside::Asking;
pub use calls::{Cause, OpenCall, Tool, open_calls};
pub(crate) use calls::{raw_ledger, replaced_ledger};
pub use draft::{Asked, Call, History, Lane};
pub use entry::{Entry, Marks, NONE, Names, Place, What};
pub use filter::Filter;
pub use index::{Ask, Clock, Timeline, TimelineFile, merge, read};
pub use lines::LineIndex;
pub use state::{Change, Changes, Closing, Happened, Pending};
pub use text::{Source, Text};
pub use words::Said;
