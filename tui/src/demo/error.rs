//! What can go wrong with a demo.

use std::io;

use maglev_core::config::ConfigErrors;
use maglev_lab::LabError;
use maglev_probe::DatapathError;

use crate::source::SourceError;

/// Why a demo cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The hosts cannot be set up.
    #[error("the demo's hosts cannot be set up: {0}")]
    Lab(#[source] LabError),
    /// The datapath cannot be brought up, read or taken down.
    #[error(transparent)]
    Datapath(DatapathError),
    /// A change was refused, or the state could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The demo's own configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The demo's own configuration has no service to change.
    #[error("the demo's configuration has no TCP service")]
    NoService,
    /// Every name that it could have is taken.
    #[error(
        "the instances `demo` and `demo-PROCESS` are there already, and are no demo's: `maglev-top --instance demo down` takes one down"
    )]
    NoName,
    /// Its name cannot be held.
    #[error("the demo's name cannot be held")]
    Claim(#[source] io::Error),
    /// What would clean up after it cannot be started.
    #[error("the process that cleans up after the demo cannot be started")]
    Sweeper(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for")]
    Signals(#[source] io::Error),
}

impl DemoError {
    /// Whether it is for want of privileges, or of what the kernel can do: then a simulation can still be shown.
    #[must_use]
    pub fn is_for_want(&self) -> bool {
        match self {
            Self::Lab(error) => error.is_permission() || error.is_unsupported(),
            Self::Datapath(error) => error.is_permission(),
            _ => false,
        }
    }
}

impl From<LabError> for DemoError {
    fn from(error: LabError) -> Self {
        Self::Lab(error)
    }
}

impl From<DatapathError> for DemoError {
    fn from(error: DatapathError) -> Self {
        Self::Datapath(error)
    }
}
