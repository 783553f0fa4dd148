//! What an error of a connection says about its end.

use std::error::Error;
use std::io;

use crate::session::exchange::EndCause;

/// How an upstream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) cause: EndCause,
    pub(super) detail: String,
    /// Whether the connection was reset, so that the client's is reset too.
    pub(super) reset: bool,
}

impl Fault {
    /// Reads an error of the HTTP library.
    pub(super) fn of(error: &hyper::Error) -> Self {
        if let Some(io) = io_of(error) {
            return Self::of_io(io);
        }
        if error.is_incomplete_message() {
            return Self::closed("closed before the answer was whole");
        }
        if error.is_timeout() {
            return Self {
                cause: EndCause::Timeout,
                detail: chain(error),
                reset: false,
            };
        }
        Self {
            cause: EndCause::UpstreamError,
            detail: chain(error),
            reset: false,
        }
    }

    /// Reads an error of a socket.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed("closed before the answer was whole"),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self {
                cause: EndCause::UpstreamError,
                detail: "connection reset".to_owned(),
                reset: true,
            },
            io::ErrorKind::TimedOut => Self {
                cause: EndCause::Timeout,
                detail: "the connection timed out".to_owned(),
                reset: true,
            },
            _ => Self {
                cause: EndCause::UpstreamError,
                detail: chain(error),
                reset: false,
            },
        }
    }

    fn closed(detail: &str) -> Self {
        Self {
            cause: EndCause::UpstreamClosed,
            detail: detail.to_owned(),
            reset: false,
        }
    }
}

/// The error of a socket behind `error`. A parser of the HTTP library wraps its own errors in this type too; those have
/// no kind of a socket.
fn io_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let is_socket = !matches!(
                io.kind(),
                io::ErrorKind::Other | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
            return is_socket.then_some(io);
        }
        next = error.source();
    }
    None
}

/// An error with what it comes from, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_tells_how_it_ended() {
        let fault = |kind: io::ErrorKind| Fault::of_io(&kind.into());
        assert!(fault(io::ErrorKind::ConnectionReset).reset);
        let closed = fault(io::ErrorKind::UnexpectedEof);
        assert_eq!(
            (closed.cause, closed.reset),
            (EndCause::UpstreamClosed, false)
        );
        assert_eq!(fault(io::ErrorKind::TimedOut).cause, EndCause::Timeout);
        let other = Fault::of_io(&io::Error::other("odd"));
        assert_eq!(
            (other.cause, other.detail.as_str()),
            (EndCause::UpstreamError, "odd")
        );
    }
}
