//! How a connection can end.

use std::io;

/// Why a connection broke after it was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakCause {
    /// The other side answered with a reset.
    #[error("reset")]
    Reset,
    /// No answer came in time.
    #[error("timed out")]
    TimedOut,
    /// Another backend answered than the one that greeted.
    #[error("answered by {then} after {first}")]
    AnsweredByAnother {
        /// The backend that greeted.
        first: String,
        /// The backend that answered.
        then: String,
    },
    /// The server closed it, unasked.
    #[error("closed by the server")]
    ClosedByServer,
    /// The answer made no sense.
    #[error("garbled answer {line:?}")]
    Garbled {
        /// What came.
        line: String,
    },
    /// The operating system reported something else.
    #[error("failed: {words}")]
    Other {
        /// The operating system's words.
        words: String,
    },
}

impl From<io::Error> for BreakCause {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, InvalidData, NetworkUnreachable,
            TimedOut, WouldBlock,
        };
        match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe => Self::Reset,
            // A blocking socket whose read timeout ran out says "would block".
            TimedOut | WouldBlock | HostUnreachable | NetworkUnreachable => Self::TimedOut,
            InvalidData => Self::Garbled { line: error.to_string() },
            _ => Self::Other { words: error.to_string() },
        }
    }
}
