//! What the program does, seen from outside: stories, the corpus, the command line and the rules of the house.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says so by panicking; tables are printed for people"
)]

mod cli;
mod corpus;
mod readme;
mod robustness;
mod stories;
mod support;
mod truth;
