//! `replay record`: will stand between a client and the endpoint and write what passes. Not built yet.
//!
//! The file it will write is format 1, whose writer is [`crate::session::writer`] and whose reader is
//! [`crate::session::reader`]; until the recorder exists, recordings are made from other logs by [`crate::convert`].
//!
//! What it must keep to: forward first, record second; a full disk or a fault of the recorder changes no byte and no
//! delay that the client notices; whatever is on disk is whole up to the last line; secrets never reach the disk.
