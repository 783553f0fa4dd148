//! Strategies against servers, clients and judges that are written down once more.

mod hidden;
mod interrupt;
mod originals;
mod recordings;
mod rollouts;
mod server;
mod talk;
