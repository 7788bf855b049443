//! What can go wrong while hosts are set up.

use std::io;

/// Why something in the lab could not be set up.
///
/// The message says what was being attempted; the operating system's own words are the
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The process lacks a privilege: `CAP_SYS_ADMIN` and `CAP_NET_ADMIN` are needed.
    #[error("not permitted to {attempted}")]
    NotPermitted {
        /// What was being attempted, in the infinitive.
        attempted: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The kernel has no such thing (no veth driver, no IPv6, …).
    #[error("this kernel cannot {attempted}")]
    Unsupported {
        /// What was being attempted, in the infinitive.
        attempted: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It failed for any other reason.
    #[error("cannot {attempted}")]
    Failed {
        /// What was being attempted, in the infinitive.
        attempted: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// What was asked for cannot be: the words say which part of it.
    #[error("{0}")]
    Invalid(String),
}

impl LabError {
    pub(crate) fn new(attempted: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (attempted, source) = (attempted.into(), source.into());
        match source.kind() {
            // A container without privileges mounts /proc/sys read-only.
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotPermitted { attempted, source }
            }
            io::ErrorKind::Unsupported => Self::Unsupported { attempted, source },
            _ => Self::Failed { attempted, source },
        }
    }

    /// Whether more privileges would help.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::NotPermitted { .. })
    }

    /// Whether another kernel would help.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}
