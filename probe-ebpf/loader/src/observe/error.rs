//! What can go wrong with observing.

use crate::error::{DatapathError, MapError};

/// A Cilium node could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// There is no interface of that name.
    #[error("there is no interface {0}: `ip link` lists those that are there")]
    UnknownInterface(String),
    /// None of the interfaces can be observed.
    #[error("nothing can be observed: {0}")]
    Nowhere(String),
    /// The kernel refused something, or a privilege is missing.
    #[error(transparent)]
    Kernel(#[from] DatapathError),
}

impl From<MapError> for ObserveError {
    fn from(error: MapError) -> Self {
        Self::Kernel(error.into())
    }
}
