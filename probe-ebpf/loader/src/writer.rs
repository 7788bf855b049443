//! Changing what the kernel keeps: one writer at a time, every step finished by the next writer if this one dies.
//!
//! What is kept of services and backends (`service_ids`, `backend_ids`) is the truth, an element a fact; what the
//! program reads (`services`, `backends`, slots) derives from it. A change writes the truth, then what derives; a
//! state version that is odd says that what derives may be behind, and [`Writer::begin`] then derives it anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use maglev_core::{
    seed::HashSeed,
    service::{Backend, Service},
};
use maglev_probe_abi::{
    BACKEND_GONE, BackendCounters, BackendIdentity, EVENTS, Event, MAX_BACKENDS, MAX_SERVICES,
    ServiceCounters, ServiceIdentity,
};

use crate::{
    actor::Actor,
    clock::milliseconds_since_boot,
    error::DatapathError,
    instance::{Instance, Lock},
    kernel::wait_for_readers,
    maps::{Maps, WritableRows},
    record,
    settle::{clear_rows, write_slots},
    state::{ServiceState, State, rows_of},
};

/// The one who may change an instance, for as long as it lives.
pub(crate) struct Writer<'a> {
    maps: &'a Maps,
    rows: WritableRows,
    state: State,
    _lock: Lock,
}

/// What goes on record of a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) action: &'static str,
    pub(crate) service: String,
    pub(crate) backend: String,
    pub(crate) detail: String,
    pub(crate) moved: u32,
    pub(crate) minimum: u32,
}

impl<'a> Writer<'a> {
    /// Waits for the instance's lock, and finishes what a writer before began and did not end.
    pub(crate) fn begin(instance: &Instance, maps: &'a Maps) -> Result<Self, DatapathError> {
        let lock = instance.lock()?;
        let rows = WritableRows::open(&instance.maps())?;
        let mut writer = Self { maps, rows, state: State::read(maps)?, _lock: lock };
        if !writer.state.meta.state_version.is_multiple_of(2) {
            writer.derive_all()?;
            let note = Note {
                action: "repair",
                detail: "a change that was cut short has been finished".to_owned(),
                ..Note::default()
            };
            writer.end(&[note])?;
        }
        Ok(writer)
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Refuses a change that was planned on another state.
    pub(crate) const fn require_version(&self, expected: Option<u64>) -> Result<(), DatapathError> {
        let found = self.state.meta.state_version;
        match expected {
            Some(expected) if expected != found => Err(DatapathError::Stale { expected, found }),
            _ => Ok(()),
        }
    }

    /// Makes the backends of the service of that number those of `target`.
    pub(crate) fn set_backends(
        &mut self,
        number: u32,
        target: &[Backend],
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        let service = &self.state.services[&number];
        let present: Vec<(u32, Backend)> =
            service.numbers.iter().copied().zip(service.service.backends.iter().cloned()).collect();
        let same = |a: &Backend, b: &Backend| a.name == b.name && a.address == b.address;
        let added: Vec<&Backend> =
            target.iter().filter(|new| !present.iter().any(|(_, old)| same(old, new))).collect();
        let free = self.free_numbers(added.len())?;

        self.mark_begun()?;
        for (number, old) in &present {
            match target.iter().find(|new| same(old, new)) {
                None => self.keep_backend(*number, |identity| {
                    identity.state = BACKEND_GONE;
                    identity.removed_at = milliseconds_since_boot();
                })?,
                Some(new) if new != old => self.keep_backend(*number, |identity| {
                    identity.state = record::state(new.state);
                    identity.weight = new.weight.into();
                })?,
                Some(_) => {}
            }
        }
        for (backend, free) in added.into_iter().zip(free) {
            self.add_backend(free, number, backend)?;
        }
        self.derive(number)?;
        self.end(notes)
    }

    /// Adds a service with its backends.
    pub(crate) fn add_service(
        &mut self,
        service: &Service,
        seed: &HashSeed,
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        let number = (1..MAX_SERVICES)
            .find(|number| !self.state.services.contains_key(number))
            .ok_or(DatapathError::Full { what: "another service", most: MAX_SERVICES - 1 })?;
        let first_slot = self.free_rows(rows_of(service.table_size))?;
        let free = self.free_numbers(service.backends.len())?;

        self.mark_begun()?;
        let meta = self.state.meta;
        clear_rows(&self.rows, first_slot, service.table_size, meta.rows, meta.processors);
        self.maps.service_counters.set_on_all_processors(&number, &ServiceCounters::default())?;
        for (backend, free) in service.backends.iter().zip(free) {
            self.add_backend(free, number, backend)?;
        }
        let identity = record::service_identity(service, seed, first_slot);
        self.maps.service_identities.set(&number, &identity)?;
        self.state = State::read(self.maps)?;
        self.derive(number)?;
        self.end(notes)
    }

    /// Changes what is kept of a service, its table apart.
    pub(crate) fn set_service(
        &mut self,
        number: u32,
        identity: &ServiceIdentity,
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        self.mark_begun()?;
        self.maps.service_identities.set(&number, identity)?;
        self.derive(number)?;
        self.end(notes)
    }

    /// Removes a service and its backends; its packets pass to the host's own stack from then on.
    pub(crate) fn remove_service(&mut self, number: u32, notes: &[Note]) -> Result<(), DatapathError> {
        self.mark_begun()?;
        let service = self.state.services[&number].clone();
        self.maps.service_identities.remove(&number)?;
        self.maps.services.remove(&record::service_key(&service.identity))?;
        wait_for_readers();
        for number in service.numbers {
            self.keep_backend(number, |identity| {
                identity.state = BACKEND_GONE;
                identity.removed_at = milliseconds_since_boot();
            })?;
        }
        self.derive_backends()?;
        self.end(notes)
    }

    /// Derives what the program reads from what is kept, of everything.
    fn derive_all(&mut self) -> Result<(), DatapathError> {
        // A service that was being added or removed left backends without it, or its address without an identity.
        let orphans: Vec<u32> = self
            .state
            .backends
            .iter()
            .filter(|(_, backend)| {
                backend.state != BACKEND_GONE && !self.state.services.contains_key(&backend.service)
            })
            .map(|(&number, _)| number)
            .collect();
        for number in orphans {
            self.keep_backend(number, |identity| {
                identity.state = BACKEND_GONE;
                identity.removed_at = milliseconds_since_boot();
            })?;
        }
        let known: BTreeSet<u32> = self.state.services.keys().copied().collect();
        for (key, record) in self.maps.services.all()? {
            if !known.contains(&record.number) {
                self.maps.services.remove(&key)?;
            }
        }
        for number in known {
            self.derive(number)?;
        }
        self.derive_backends()
    }

    /// Derives what the program reads of one service.
    fn derive(&mut self, number: u32) -> Result<(), DatapathError> {
        self.state = State::read(self.maps)?;
        let service: &ServiceState = &self.state.services[&number];
        let members = || self.state.backends.iter().filter(|(_, backend)| backend.service == number);
        // New ones can be sent to before a slot names them; those that leave, until none does.
        for (number, backend) in members().filter(|(_, backend)| backend.state != BACKEND_GONE) {
            self.maps.backends.set(number, &record::backend_record(backend))?;
        }
        let leaving: BTreeSet<u32> = members()
            .filter(|(_, backend)| backend.state == BACKEND_GONE)
            .map(|(&number, _)| number)
            .collect();
        write_slots(&self.rows, service, &leaving, &mut || {
            for (number, backend) in members().filter(|(number, _)| leaving.contains(number)) {
                self.maps.backends.set(number, &record::backend_record(backend))?;
            }
            Ok(())
        })?;
        let record = record::service_record(number, &service.identity, self.state.meta.rows);
        let key = record::service_key(&service.identity);
        if self.maps.services.get(&key)? != Some(record) {
            self.maps.services.set(&key, &record)?;
        }
        Ok(())
    }

    fn derive_backends(&mut self) -> Result<(), DatapathError> {
        self.state = State::read(self.maps)?;
        for (number, backend) in &self.state.backends {
            self.maps.backends.set(number, &record::backend_record(backend))?;
        }
        Ok(())
    }

    /// Changes what is kept of a backend, in one store.
    fn keep_backend(
        &mut self,
        number: u32,
        edit: impl FnOnce(&mut BackendIdentity),
    ) -> Result<(), DatapathError> {
        let identity = self.state.backends.get_mut(&number).unwrap_or_else(|| {
            unreachable!("number {number} was taken from the backends that there are");
        });
        edit(identity);
        Ok(self.maps.backend_identities.set(&number, identity)?)
    }

    fn add_backend(&mut self, number: u32, service: u32, backend: &Backend) -> Result<(), DatapathError> {
        self.state.meta.generation += 1;
        self.maps.meta.set(&0, &self.state.meta)?;
        self.maps.backend_counters.set_on_all_processors(&number, &BackendCounters::default())?;
        let identity = record::backend_identity(backend, service, self.state.meta.generation);
        self.maps.backend_identities.set(&number, &identity)?;
        self.state.backends.insert(number, identity);
        Ok(())
    }

    /// Numbers for new backends: those that nobody ever had, then those whose owners left longest ago. After this no
    /// packet under way knows the old owners.
    fn free_numbers(&self, count: usize) -> Result<Vec<u32>, DatapathError> {
        let fresh = (1..MAX_BACKENDS).filter(|number| !self.state.backends.contains_key(number));
        let mut gone: Vec<_> =
            self.state.backends.iter().filter(|(_, backend)| backend.state == BACKEND_GONE).collect();
        gone.sort_by_key(|(_, backend)| backend.removed_at);
        let numbers: Vec<u32> =
            fresh.chain(gone.into_iter().map(|(&number, _)| number)).take(count).collect();
        if numbers.len() < count {
            return Err(DatapathError::Full { what: "another backend", most: MAX_BACKENDS - 1 });
        }
        if numbers.iter().any(|number| self.state.backends.contains_key(number)) {
            wait_for_readers();
        }
        Ok(numbers)
    }

    /// The first slot of `rows` rows that no service has.
    fn free_rows(&self, rows: u32) -> Result<u32, DatapathError> {
        let taken: BTreeMap<u32, u32> =
            self.state.services.values().map(|service| (service.first_row(), service.rows())).collect();
        let mut first = 0;
        for (begin, count) in taken {
            if begin - first >= rows {
                break;
            }
            first = begin + count;
        }
        if first + rows > self.state.meta.rows {
            let most = self.state.meta.rows * ROW;
            return Err(DatapathError::Full { what: "its slots (datapath.max-slots)", most });
        }
        Ok(first * ROW)
    }

    fn mark_begun(&mut self) -> Result<(), DatapathError> {
        self.state.meta.state_version |= 1;
        Ok(self.maps.meta.set(&0, &self.state.meta)?)
    }

    /// Ends a change: what derives is as it should be, and the notes go on record.
    fn end(&mut self, notes: &[Note]) -> Result<(), DatapathError> {
        let actor = Actor::current();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        for note in notes {
            self.state.meta.events += 1;
            let event = Event {
                sequence: self.state.meta.events,
                at: u64::try_from(at).unwrap_or(u64::MAX),
                user: actor.user,
                process: actor.process,
                moved: note.moved,
                minimum: note.minimum,
                action: record::padded(note.action),
                terminal: record::padded(&actor.terminal),
                service: record::padded(&note.service),
                backend: record::padded(&note.backend),
                detail: record::padded(&note.detail),
            };
            let place = u32::try_from(event.sequence % u64::from(EVENTS)).unwrap_or(0);
            self.maps.events.set(&place, &event)?;
        }
        self.state.meta.state_version = (self.state.meta.state_version | 1) + 1;
        self.maps.meta.set(&0, &self.state.meta)?;
        self.state = State::read(self.maps)?;
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
const ROW: u32 = maglev_probe_abi::ROW_WORDS as u32;
