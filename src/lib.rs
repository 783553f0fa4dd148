//! Reproduces, explains and repairs broken tool-call conversations with the OpenAI Responses API.
//!
//! The library behind the command line `replay`. Rooms, in the order in which they may import each other, are described
//! in `ARCHITECTURE.md`.

pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod contract;
pub mod convert;
pub mod diff;
pub mod endpoint;
pub mod events;
pub mod ids;
pub mod inspect;
pub mod ledger;
pub mod locate;
pub mod mock;
pub mod proxy;
pub mod record;
pub mod redact;
pub mod repair;
pub mod replay;
pub mod report;
pub mod rollout;

pub mod serve;
pub mod session;
pub mod shrink;
pub mod strategy;
pub mod sweep;
pub mod timeline;
pub mod trial;
pub mod wire;
