//! What an operator does to a service's backends, and how it is taken back.

use std::net::SocketAddr;

use crate::{
    health::Health,
    service::{Backend, BackendState, Service},
};

/// One change to one backend of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new backend.
    Add(Backend),
    /// Its slots go to the others; the flows that it has stay.
    Drain(String),
    /// It gets slots again.
    Undrain(String),
    /// It leaves, and its flows with it.
    Remove(String),
    /// Its share of the slots changes.
    SetWeight(String, u16),
    /// Its checks say something else of it than before. One that is unhealthy gives its slots away, and its flows.
    SetHealth(String, Health),
}

/// Why a change cannot be made to a service as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No backend has that name.
    #[error("service {service} has no backend {name}")]
    NoSuchBackend {
        /// The service's name.
        service: String,
        /// The backend's name.
        name: String,
    },
    /// A backend of that name is there already.
    #[error("service {service} already has a backend {name}")]
    NameTaken {
        /// The service's name.
        service: String,
        /// The name.
        name: String,
    },
    /// A backend with that address is there already.
    #[error("service {service} already has {address}, as backend {name}")]
    AddressTaken {
        /// The service's name.
        service: String,
        /// The address.
        address: SocketAddr,
        /// The backend that has it.
        name: String,
    },
    /// It is in that state already.
    #[error("backend {name} of service {service} is {state} already")]
    AlreadyInState {
        /// The service's name.
        service: String,
        /// The backend's name.
        name: String,
        /// The state.
        state: BackendState,
    },
    /// It has that weight already.
    #[error("backend {name} of service {service} has weight {weight} already")]
    AlreadyAtWeight {
        /// The service's name.
        service: String,
        /// The backend's name.
        name: String,
        /// The weight.
        weight: u16,
    },
    /// After it no backend would be active.
    #[error(
        "{name} is the last active backend of service {service}: without it, new connections have nowhere to go"
    )]
    LastActive {
        /// The service's name.
        service: String,
        /// The backend's name.
        name: String,
    },
}

impl Change {
    /// The word for what is done: `add`, `drain`, `undrain`, `remove`, `weight`, or for its health
    /// `healthy`, `unhealthy`, `kept` or `unchecked`.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Drain(_) => "drain",
            Self::Undrain(_) => "undrain",
            Self::Remove(_) => "remove",
            Self::SetWeight(..) => "weight",
            Self::SetHealth(_, Health::Healthy) => "healthy",
            Self::SetHealth(_, Health::Unhealthy) => "unhealthy",
            Self::SetHealth(_, Health::Kept) => "kept",
            Self::SetHealth(_, Health::Unknown) => "unchecked",
        }
    }

    /// The name of the backend that it is done to.
    #[must_use]
    pub fn backend(&self) -> &str {
        match self {
            Self::Add(backend) => &backend.name,
            Self::Drain(name)
            | Self::Undrain(name)
            | Self::Remove(name)
            | Self::SetWeight(name, _)
            | Self::SetHealth(name, _) => name,
        }
    }

    /// Whether a backend in that state is as this change would leave it: then there is nothing to do.
    #[must_use]
    pub fn is_done_in(&self, state: BackendState) -> bool {
        match self {
            Self::Drain(_) => state == BackendState::Draining,
            Self::Undrain(_) => state == BackendState::Active,
            Self::Add(_) | Self::Remove(_) | Self::SetWeight(..) | Self::SetHealth(..) => false,
        }
    }

    /// Makes the change to `service`, or leaves it as it was.
    ///
    /// `force` allows what leaves the service without an active backend.
    ///
    /// # Errors
    ///
    /// When the change does not fit the service as it is.
    pub fn apply(&self, service: &mut Service, force: bool) -> Result<(), ChangeError> {
        let position = |name: &str| {
            service.backends.iter().position(|backend| backend.name == name).ok_or_else(|| {
                ChangeError::NoSuchBackend { service: service.name.clone(), name: name.to_owned() }
            })
        };
        match self {
            Self::Add(backend) => {
                if let Some(other) = service.backends.iter().find(|other| other.name == backend.name) {
                    let (service, name) = (service.name.clone(), other.name.clone());
                    return Err(ChangeError::NameTaken { service, name });
                }
                if let Some(other) = service.backends.iter().find(|other| other.address == backend.address) {
                    let (service, name) = (service.name.clone(), other.name.clone());
                    return Err(ChangeError::AddressTaken { service, address: backend.address, name });
                }
                service.backends.push(backend.clone());
            }
            Self::Drain(name) => {
                let index = position(name)?;
                Self::require_other_state(service, index, BackendState::Draining)?;
                Self::require_not_last(service, index, force)?;
                service.backends[index].state = BackendState::Draining;
            }
            Self::Undrain(name) => {
                let index = position(name)?;
                Self::require_other_state(service, index, BackendState::Active)?;
                service.backends[index].state = BackendState::Active;
            }
            Self::Remove(name) => {
                let index = position(name)?;
                Self::require_not_last(service, index, force)?;
                service.backends.remove(index);
            }
            Self::SetWeight(name, weight) => {
                let index = position(name)?;
                if service.backends[index].weight == *weight {
                    let (service, name) = (service.name.clone(), name.clone());
                    return Err(ChangeError::AlreadyAtWeight { service, name, weight: *weight });
                }
                service.backends[index].weight = *weight;
            }
            Self::SetHealth(name, health) => {
                let index = position(name)?;
                service.backends[index].health = *health;
            }
        }
        Ok(())
    }

    /// The change that takes this one back, given the service as it was before it. `None` where the backend was not there.
    #[must_use]
    pub fn inverse(&self, before: &Service) -> Option<Self> {
        match self {
            Self::Add(backend) => Some(Self::Remove(backend.name.clone())),
            Self::Drain(name) => Some(Self::Undrain(name.clone())),
            Self::Undrain(name) => Some(Self::Drain(name.clone())),
            // What its checks will say of it, nobody knows.
            Self::Remove(name) => before
                .backend(name)
                .cloned()
                .map(|backend| Self::Add(Backend { health: Health::Unknown, ..backend })),
            Self::SetWeight(name, _) => {
                before.backend(name).map(|backend| Self::SetWeight(name.clone(), backend.weight))
            }
            Self::SetHealth(name, _) => {
                before.backend(name).map(|backend| Self::SetHealth(name.clone(), backend.health))
            }
        }
    }

    fn require_other_state(service: &Service, index: usize, state: BackendState) -> Result<(), ChangeError> {
        let backend = &service.backends[index];
        if backend.state == state {
            let (service, name) = (service.name.clone(), backend.name.clone());
            return Err(ChangeError::AlreadyInState { service, name, state });
        }
        Ok(())
    }

    fn require_not_last(service: &Service, index: usize, force: bool) -> Result<(), ChangeError> {
        let backend = &service.backends[index];
        if !force && backend.gets_flows() && service.active_backends().count() == 1 {
            let (service, name) = (service.name.clone(), backend.name.clone());
            return Err(ChangeError::LastActive { service, name });
        }
        Ok(())
    }
}
