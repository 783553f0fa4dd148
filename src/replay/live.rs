//! Sends the requests of a session again, to a real endpoint, and judges every answer.

pub mod word;
