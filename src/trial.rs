//! Real clients and commands, run to see what they do.

pub mod oracle;
