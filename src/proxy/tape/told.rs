//! What a recording says of itself at its beginning, and what is told while it grows and at its end.

use crate::session::exchange::EndCause;

/// What the first line says.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// The recording's id.
    pub id: String,
    /// When it is begun, RFC 3339.
    pub created_at: String,
    /// What writes it.
    pub recorder: String,
    /// The command that is recorded.
    pub command: Vec<String>,
    /// The endpoint, or several with blanks between them.
    pub upstream: String,
    /// Whether answers are read to their end when their client has left.
    pub drain: bool,
}

/// What is told while recording.
#[derive(Clone, Debug)]
pub enum Told {
    /// An exchange has ended.
    Exchange(Brief),
    /// The file does not take what it should. Told once, and again after it took something.
    Trouble(String),
}

/// One exchange in short.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Its number in the file.
    pub number: u32,
    /// Its method; `WS` for a message.
    pub method: String,
    /// Its path, redacted.
    pub path: String,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// From the request to the end, in microseconds.
    pub took_us: u64,
    /// How many chunks or frames came.
    pub chunks: u64,
    /// How many bytes came, as they were on the wire.
    pub bytes: u64,
    /// How it ended.
    pub cause: EndCause,
    /// More about the end.
    pub detail: Option<String>,
}

/// What was written altogether.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Exchanges.
    pub exchanges: u32,
    /// WebSocket connections.
    pub connections: u32,
    /// Bytes of requests on the wire.
    pub sent: u64,
    /// Bytes of answers on the wire.
    pub received: u64,
    /// Bytes of the file.
    pub written: u64,
    /// Chunks and frames that are not in the file.
    pub lost: u64,
    /// Why the file is not whole, if it is not.
    pub failed: Option<String>,
}
