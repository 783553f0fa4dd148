//! The Responses protocol as data: SSE frames, events, items, requests and refusals.
//!
//! Everything here takes bytes and returns values. No sockets, files, clocks or environment; what cannot be read
//! becomes a [`lines::Problem`] or stays as it came, never a panic.

pub mod event;
pub mod failure;
pub mod item;
pub mod lenient;
pub mod lines;
pub mod raw;
pub mod refusal;
pub mod request;
pub mod sse;
pub mod websocket;
pub mod when;
