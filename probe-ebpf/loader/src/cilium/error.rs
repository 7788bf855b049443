//! What can go wrong with somebody else's maps.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A Cilium node's maps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CiliumError {
    /// There are none.
    #[error(
        "there are no load-balancing maps of Cilium's in {}: run it on a Cilium node, or in its agent's container, as root; `--pins DIR` names another folder",
        .0.display()
    )]
    NoMaps(PathBuf),
    /// The privileges are missing.
    #[error(
        "cannot read {}: permission denied; run it as root: inner maps are opened by their id, which takes CAP_SYS_ADMIN",
        path.display()
    )]
    NotPermitted {
        /// What was read.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// A call failed.
    #[error("cannot read {}", path.display())]
    Call {
        /// What was read.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// It is not the map that its name says.
    #[error(
        "{} is of another shape than Cilium 1.17's: it is a {found}, and should be a {expected}; look which version made it, nothing was made of it",
        path.display()
    )]
    Shape {
        /// The map.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The maps were replaced again and again.
    #[error("{} was replaced while it was read, five times over: is the agent restarting? Try again", .0.display())]
    Unsteady(PathBuf),
}

impl CiliumError {
    pub(super) fn new(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotPermitted { path, error }
        } else {
            Self::Call { path, error }
        }
    }
}
