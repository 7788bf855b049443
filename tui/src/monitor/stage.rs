//! Changes that are put together before they are made: what is staged is made as one change, or not at all.

use maglev_core::{change::Change, sample::BackendId};

use super::data::{service_of, words_of};
use crate::source::ServiceChanges;
use maglev_core::sample::ServiceSample;

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The service that it is done to.
    pub service: String,
    /// What is done.
    pub change: Change,
    /// The backend that was meant; none where it was not there yet. Another one that takes its name is another one.
    target: Option<BackendId>,
}

impl Staged {
    /// The change, in words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.service, words_of(&self.change))
    }

    fn target_in(services: &[ServiceSample], service: &str, change: &Change) -> Option<BackendId> {
        let service = services.iter().find(|other| other.name == service)?;
        service.backends.iter().find(|backend| backend.name == change.backend()).map(|backend| backend.id)
    }
}

/// Changes that wait, in the order in which they will be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    changes: Vec<Staged>,
    /// The state version that they were last planned on.
    version: Option<u64>,
}

impl Stage {
    /// What waits.
    #[must_use]
    pub fn changes(&self) -> &[Staged] {
        &self.changes
    }

    /// The same, service by service, in the order in which services were first named.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceChanges> {
        let mut services: Vec<ServiceChanges> = Vec::new();
        for staged in &self.changes {
            match services.iter_mut().find(|one| one.service == staged.service) {
                Some(one) => one.changes.push(staged.change.clone()),
                None => services.push(ServiceChanges {
                    service: staged.service.clone(),
                    changes: vec![staged.change.clone()],
                }),
            }
        }
        services
    }

    /// Adds changes behind those that wait: all of them or none.
    ///
    /// # Errors
    ///
    /// When one does not fit on what waits already; in words.
    pub fn add(
        &mut self,
        services: &[ServiceSample],
        added: &[ServiceChanges],
        version: Option<u64>,
    ) -> Result<(), String> {
        let mut together = self.clone();
        for ServiceChanges { service, changes } in added {
            let waiting = |staged: &&Staged| staged.service == *service;
            let sample = services.iter().find(|other| other.name == *service);
            let mut state = service_of(sample.ok_or_else(|| format!("there is no service {service}"))?);
            for staged in self.changes.iter().filter(waiting) {
                staged.change.apply(&mut state, true).map_err(|error| error.to_string())?;
            }
            for change in changes {
                change.apply(&mut state, true).map_err(|error| error.to_string())?;
                let target = Staged::target_in(services, service, change);
                together.changes.push(Staged { service: service.clone(), change: change.clone(), target });
            }
        }
        if self.changes.is_empty() {
            together.version = version;
        }
        *self = together;
        Ok(())
    }

    /// Takes the change at that place out, and those behind it that do not fit without it. Returns how many left.
    pub fn remove(&mut self, index: usize, services: &[ServiceSample]) -> usize {
        let before = self.changes.len();
        if index < before {
            self.changes.remove(index);
            self.keep_what_fits(services);
        }
        before - self.changes.len()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes that they are planned on that version. Returns whether they were planned on another one before.
    pub fn planned_on(&mut self, version: Option<u64>) -> bool {
        let before = std::mem::replace(&mut self.version, version);
        before != version
    }

    /// Takes out what was meant for a backend that is gone, or does not fit what there is now. Returns it, in words.
    pub fn forget_what_is_gone(&mut self, services: &[ServiceSample]) -> Vec<String> {
        let before = self.changes.clone();
        self.keep_what_fits(services);
        before.iter().filter(|staged| !self.changes.contains(staged)).map(Staged::words).collect()
    }

    fn keep_what_fits(&mut self, services: &[ServiceSample]) {
        let mut states: Vec<_> = services.iter().map(service_of).collect();
        self.changes.retain(|staged| {
            let same = Staged::target_in(services, &staged.service, &staged.change) == staged.target;
            let state = states.iter_mut().find(|state| state.name == staged.service);
            same && state.is_some_and(|state| staged.change.apply(state, true).is_ok())
        });
    }
}
