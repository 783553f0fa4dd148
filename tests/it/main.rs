//! What the program does, seen from outside: stories, the corpus, the command line and the rules of the house.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on has failed, and says so by panicking"
)]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::naive_bytecount,
    reason = "what is read here is small and of our own making"
)]

mod ci;
mod cli;
#[cfg(unix)]
mod client;
mod convert;
mod converted;
mod corpus;
mod diff;
mod events;
mod house_rules;
mod inspect;
mod probe;
mod readme;
mod reasoning;
mod record;
mod record_client;
mod record_faults;
mod record_sockets;
mod record_tls;
mod recover;
mod redact;
mod resume;
mod rig;
mod robustness;
mod serve;
mod share;
mod shrink;
mod stories;
mod support;
mod sweep;
mod target;
mod time_travel;
mod truth;
