//! Where the monitor's numbers come from, and where an operator's changes go.

pub(crate) mod cilium;
pub mod datapath;
mod trace;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use maglev_core::{change::Change, plan::Plan, sample::Sample, seed::HashSeed};

pub use trace::Trace;

/// A place that samples come from: a running datapath, a simulation.
///
/// The monitor owns it from a thread of its own; a call may take as long as the kernel makes it take.
pub trait Source: Send {
    /// What the title bar says of it.
    fn identity(&self) -> Identity;

    /// Reads everything there is to show.
    ///
    /// # Errors
    ///
    /// When it cannot be read this time. The monitor says so and asks again.
    fn sample(&mut self) -> Result<Sample, SourceError>;

    /// Says what a change would move in each service, and changes nothing.
    ///
    /// # Errors
    ///
    /// When the change does not fit the state as it is.
    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError>;

    /// Makes a change, as a whole or not at all, and says what it moved in each service.
    ///
    /// # Errors
    ///
    /// When it was refused or failed; the error says what holds now.
    fn execute(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError>;

    /// Backends that are known to be there and are in no service yet: offered when one is added.
    fn spares(&self) -> Vec<maglev_core::service::Backend> {
        Vec::new()
    }

    /// Who runs the health checks that services in `sample` ask for.
    fn checker(&self, _sample: &Sample) -> Checker {
        Checker::Unknown
    }

    /// The seed that the tables are filled with, where it is known: the monitor then tells a slot's place in its
    /// owner's permutation, and who is next in line.
    fn seed(&self) -> Option<HashSeed> {
        None
    }

    /// The packets of a client, port 0 standing for any: nothing is traced before [`Trace::begin`].
    ///
    /// # Errors
    ///
    /// When there is nothing to trace here, whoever asks; in words.
    fn trace(&mut self, _client: SocketAddr) -> Result<Box<dyn Trace>, SourceError> {
        let message = "only the packets of a running datapath can be traced".to_owned();
        Err(SourceError { message, stale: false })
    }
}

/// Who runs health checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checker {
    /// It is not known, or no service asks for any.
    #[default]
    Unknown,
    /// Nobody that could be seen: what was found last stands.
    Nobody,
    /// The process of that number.
    Process(u32),
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name: the instance.
    pub name: String,
    /// Where it is attached, in words: `eth0 (native)`.
    pub attached: String,
    /// Nothing of it is real: always on screen.
    pub simulated: bool,
    /// Why nothing can be changed from here; `None` where it can.
    pub read_only: Option<String>,
    /// Where its pins lie, if it has any.
    pub pins: Option<PathBuf>,
    /// How often it is worth a look.
    pub interval: Duration,
}

/// A change that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRequest {
    /// What to do to each service; all of it is one change. A service stands here once.
    pub services: Vec<ServiceChanges>,
    /// Allow what leaves a service without an active backend.
    pub force: bool,
    /// The state version that the operator saw; where another is in force, the change is refused.
    pub state_version: Option<u64>,
}

impl ChangeRequest {
    /// A request to one service, whatever state is in force.
    #[must_use]
    pub fn of(service: &str, changes: Vec<Change>) -> Self {
        let services = vec![ServiceChanges { service: service.to_owned(), changes }];
        Self { services, force: false, state_version: None }
    }
}

/// What is to be done to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChanges {
    /// The service's name.
    pub service: String,
    /// What to do to it, in this order.
    pub changes: Vec<Change>,
}

/// Why a source could not do what it was asked: what went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What went wrong and what to do about it, in words for people.
    pub message: String,
    /// The state is another by now than the change was planned on: plan again.
    pub stale: bool,
}
