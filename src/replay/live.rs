//! Sends the requests of a session again, to a real endpoint, and judges every answer.
//!
//! By default each request is sent as it was, but statelessly: what a chain of `previous_response_id` held is put back into
//! `input`, and what only the server that made it knows is left out. Acceptance is compared, not text.

pub mod compose;
pub mod follow;
pub mod word;
