//! Changing what the kernel keeps: one writer at a time, every step finished or taken back by the next writer if this
//! one dies.
//!
//! What is kept of services and backends (`service_ids`, `backend_ids`) is the truth, an element a fact; what the
//! program reads (`services`, `addresses`, `backends`, slots) derives from it. A state version that is odd says that a change is
//! under way, and [`Writer::begin`] then puts right what is left of it.
//!
//! A change to backends is decided by one store. Before it, what the backends are to be stands in the journal alone,
//! and is dropped if the writer dies; after it, the journal is carried out, by whoever comes next if need be. So a
//! drain of one backend and an undrain of another are never found half done. A service is there once its identity is,
//! and leaves once that says so.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use maglev_core::{
    health::failures_after,
    seed::HashSeed,
    service::{Backend, Service},
};
use maglev_probe_abi::{
    BACKEND_GONE, BackendCounters, BackendIdentity, EVENTS, Event, FORWARDING_OBSERVE, HEALTH_UNHEALTHY,
    JOURNAL, MAX_BACKENDS, MAX_SERVICES, Meta, PHASE_RUNNING, ServiceCounters, ServiceIdentity, ServiceKey,
    Settings, map,
};

use crate::{
    actor::Actor,
    clock::milliseconds_since_boot,
    error::DatapathError,
    instance::{Instance, Lock},
    kernel::{Access, KernelMap, MapKind, wait_for_readers},
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
    actor: Actor,
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

/// What the backends of a service are to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The service's number.
    pub(crate) number: u32,
    /// Its backends after the change.
    pub(crate) backends: &'a [Backend],
    /// Its backends as the configuration has them, if one is being applied.
    pub(crate) configured: Option<&'a [Backend]>,
}

/// What became of a change that was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    /// None had begun.
    Nothing,
    /// It was decided, and is done now.
    Finished,
    /// It was not decided, and nothing is left of it.
    TakenBack,
}

impl<'a> Writer<'a> {
    /// Waits for the lock of an instance that is up, and puts right what a writer before began and did not end.
    pub(crate) fn begin(instance: &Instance, maps: &'a Maps) -> Result<Self, DatapathError> {
        let writer = Self::begin_in_any_phase(instance, maps)?;
        if writer.state.meta.phase == PHASE_RUNNING {
            Ok(writer)
        } else {
            Err(DatapathError::HalfWay(instance.name().to_owned()))
        }
    }

    /// The same, of an instance that may be half up.
    pub(crate) fn begin_in_any_phase(instance: &Instance, maps: &'a Maps) -> Result<Self, DatapathError> {
        let lock = instance.lock()?;
        require_pinned(instance, maps)?;
        let rows = WritableRows::open(&instance.maps())?;
        let mut writer = Self { maps, rows, state: State::read(maps)?, actor: Actor::current(), _lock: lock };
        let detail = match writer.put_right()? {
            Repair::Nothing => return Ok(writer),
            Repair::Finished => "a change that was cut short has been finished",
            Repair::TakenBack => "a change that was cut short has been taken back",
        };
        let note = Note { action: "repair", detail: detail.to_owned(), ..Note::default() };
        writer.record(&[note])?;
        writer.end()?;
        Ok(writer)
    }

    /// The same, with everything from here on put on record as `actor`'s.
    pub(crate) fn on_behalf_of(self, actor: Actor) -> Self {
        Self { actor, ..self }
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

    /// Says in which phase the instance is from now on.
    pub(crate) fn set_phase(&mut self, phase: u32) -> Result<(), DatapathError> {
        self.state.meta.phase = phase;
        self.store_meta()
    }

    /// Makes the backends of services those of `targets`, all of them or none.
    pub(crate) fn set_backends(
        &mut self,
        targets: &[Target<'_>],
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        let (journal, generation) = self.journal_of(targets)?;
        self.attempt(notes, |writer| {
            writer.mark_begun(generation)?;
            for (&number, identity) in &journal {
                // Counters are a backend's, and not its number's.
                if writer.state.backends.get(&number).is_none_or(|old| old.state == BACKEND_GONE)
                    && identity.state != BACKEND_GONE
                {
                    let zero = BackendCounters::default();
                    writer.maps.backend_counters.set_on_all_processors(&number, &zero)?;
                }
                writer.maps.backend_identities.set(&(number | JOURNAL), identity)?;
            }
            writer.record(notes)?;
            writer.decide()?;
            writer.carry_out(&journal)?;
            targets.iter().try_for_each(|target| writer.derive(target.number).map(drop))
        })
    }

    /// Notes what the configuration says of a service's backends, and changes nothing else.
    pub(crate) fn remember_configured(
        &mut self,
        number: u32,
        configured: &[Backend],
    ) -> Result<(), DatapathError> {
        // Nothing derives from it, and each store is whole by itself.
        for (number, identity) in note_configured(&self.state, number, configured) {
            self.maps.backend_identities.set(&number, &identity)?;
            self.state.backends.insert(number, identity);
        }
        Ok(())
    }

    /// Writes down what holds for all services.
    pub(crate) fn set_settings(&mut self, settings: &Settings, note: &Note) -> Result<(), DatapathError> {
        // One store, after which there is nothing to finish; what follows is for the record.
        self.maps.settings.set(&0, settings)?;
        self.put_on_record(note)
    }

    /// Puts on record what is done already, and moves nothing.
    pub(crate) fn put_on_record(&mut self, note: &Note) -> Result<(), DatapathError> {
        let notes = std::slice::from_ref(note);
        self.attempt(notes, |writer| {
            writer.mark_begun(writer.state.meta.generation)?;
            writer.record(notes)?;
            writer.decide()
        })
    }

    /// Makes sure that there is room for `added` services once those of the numbers `leaving` are gone.
    pub(crate) fn require_room(&self, leaving: &[u32], added: &[Service]) -> Result<(), DatapathError> {
        let mut taken = self.taken_rows();
        let stays = |number: &u32| !leaving.contains(number);
        let services = self.state.services.keys().filter(|number| stays(number)).count();
        for service in leaving.iter().filter_map(|number| self.state.services.get(number)) {
            taken.remove(&service.first_row());
        }
        for service in added {
            let rows = rows_of(service.table_size);
            taken.insert(self.free_row(&taken, rows)?, rows);
        }
        let present = self.state.backends.values().filter(|backend| backend.state != BACKEND_GONE);
        let backends = present.filter(|backend| stays(&backend.service)).count()
            + added.iter().map(|service| service.backends.len()).sum::<usize>();
        if services + added.len() >= MAX_SERVICES as usize {
            return Err(DatapathError::Full { what: "another service", most: MAX_SERVICES - 1 });
        }
        if backends >= MAX_BACKENDS as usize {
            return Err(DatapathError::Full { what: "another backend", most: MAX_BACKENDS - 1 });
        }
        Ok(())
    }

    /// Adds a service with its backends, as a configuration has it.
    ///
    /// `configured` are its backends as the configuration has them: one that is not there was removed by hand.
    pub(crate) fn add_service(
        &mut self,
        service: &Service,
        configured: &[Backend],
        seed: &HashSeed,
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        let number = (1..MAX_SERVICES)
            .find(|number| !self.state.services.contains_key(number))
            .ok_or(DatapathError::Full { what: "another service", most: MAX_SERVICES - 1 })?;
        let first_slot = self.free_row(&self.taken_rows(), rows_of(service.table_size))? * ROW;
        let find = |backends: &[Backend], wanted: &Backend| {
            let same = |one: &&Backend| (&one.name, one.address) == (&wanted.name, wanted.address);
            backends.iter().find(same).cloned()
        };
        let gone = configured.iter().filter(|backend| find(&service.backends, backend).is_none());
        let all: Vec<(&Backend, bool)> =
            service.backends.iter().map(|one| (one, true)).chain(gone.map(|one| (one, false))).collect();
        let free = self.free_numbers(all.len())?;
        let generation = self.state.meta.generation;
        let identities: Vec<(u32, BackendIdentity)> = (generation + 1..)
            .zip(all.into_iter().zip(free))
            .map(|(generation, ((backend, is_there), free))| {
                let mut identity = record::backend_identity(backend, number, generation);
                record::set_configured(&mut identity, find(configured, backend).as_ref());
                if !is_there {
                    identity.state = BACKEND_GONE;
                    identity.removed_at = milliseconds_since_boot();
                }
                (free, identity)
            })
            .collect();
        let last = identities.last().map_or(generation, |(_, identity)| identity.generation);
        self.attempt(notes, |writer| {
            writer.mark_begun(last)?;
            let Meta { rows, processors, .. } = writer.state.meta;
            clear_rows(&writer.rows, first_slot, service.table_size, rows, processors);
            writer.maps.service_counters.set_on_all_processors(&number, &ServiceCounters::default())?;
            for (free, identity) in &identities {
                writer.maps.backend_counters.set_on_all_processors(free, &BackendCounters::default())?;
                writer.maps.backend_identities.set(free, identity)?;
            }
            let identity = record::service_identity(service, seed, first_slot);
            writer.maps.service_identities.set(&number, &identity)?;
            // Reading all of it again for each service of a thousand would take seconds.
            writer.state.add(number, &identity, &identities);
            writer.record(notes)?;
            writer.decide()?;
            writer.derive(number).map(drop)
        })
    }

    /// Changes what is kept of a service, its table apart.
    pub(crate) fn set_service(
        &mut self,
        number: u32,
        identity: &ServiceIdentity,
        notes: &[Note],
    ) -> Result<(), DatapathError> {
        self.attempt(notes, |writer| {
            writer.mark_begun(writer.state.meta.generation)?;
            writer.maps.service_identities.set(&number, identity)?;
            writer.record(notes)?;
            writer.decide()?;
            writer.state = State::read(writer.maps)?;
            writer.derive(number).map(drop)
        })
    }

    /// Removes a service and its backends; its packets pass to the host's own stack from then on.
    pub(crate) fn remove_service(&mut self, number: u32, notes: &[Note]) -> Result<(), DatapathError> {
        let identity = ServiceIdentity { leaving: 1, ..self.state.services[&number].identity };
        self.attempt(notes, |writer| {
            writer.mark_begun(writer.state.meta.generation)?;
            writer.maps.service_identities.set(&number, &identity)?;
            writer.record(notes)?;
            writer.decide()?;
            writer.finish_removal(number, &identity)
        })
    }

    /// Does `work` and ends the change. Where that fails, puts right what it left, and says what holds then.
    fn attempt(
        &mut self,
        notes: &[Note],
        work: impl FnOnce(&mut Self) -> Result<(), DatapathError>,
    ) -> Result<(), DatapathError> {
        let error = match work(self).and_then(|()| self.end()) {
            Ok(()) => return Ok(()),
            // Waiting once more would be no use; the message says what holds.
            Err(error @ DatapathError::StillSettling { .. }) => return Err(error),
            Err(error) => Box::new(error),
        };
        let decided = self.maps.meta.get(&0).is_ok_and(|meta| meta.is_some_and(|meta| meta.decided != 0));
        match self.put_right() {
            Ok(Repair::Nothing) => Err(DatapathError::Undone { error }),
            // Trying again has helped.
            Ok(Repair::Finished) => {
                // What is decided is on record.
                if !decided {
                    self.record(notes)?;
                }
                self.end()
            }
            Ok(Repair::TakenBack) => {
                self.end()?;
                Err(DatapathError::Undone { error })
            }
            Err(_) => Err(DatapathError::CutShort { error }),
        }
    }

    /// Puts right what a change that was cut short has left; the caller ends it.
    fn put_right(&mut self) -> Result<Repair, DatapathError> {
        self.state = State::read(self.maps)?;
        let meta = self.state.meta;
        if meta.state_version.is_multiple_of(2) {
            return Ok(Repair::Nothing);
        }
        let journal = std::mem::take(&mut self.state.journal);
        let mut finished = meta.decided != 0 || !self.state.leaving.is_empty();
        if meta.decided != 0 {
            self.carry_out(&journal)?;
        } else {
            for number in journal.keys() {
                self.maps.backend_identities.remove(&(number | JOURNAL))?;
            }
        }
        for (number, identity) in self.state.leaving.clone() {
            self.finish_removal(number, &identity)?;
        }
        // A service that was being added has left backends without it, or is not derived yet.
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
            self.keep_backend(number, leave)?;
        }
        let known: BTreeSet<u32> = self.state.services.keys().copied().collect();
        let mut strangers = false;
        for (key, record) in self.maps.services.all()? {
            if !known.contains(&record.number) {
                self.maps.services.remove(&key)?;
                strangers = true;
            }
        }
        if strangers {
            wait_for_readers();
        }
        self.state = State::read(self.maps)?;
        for number in known {
            finished |= self.derive(number)?;
        }
        self.derive_backends()?;
        self.derive_addresses()?;
        Ok(if finished { Repair::Finished } else { Repair::TakenBack })
    }

    /// What `targets` make of backends, those that do not change left out; and the largest generation among them.
    fn journal_of(
        &self,
        targets: &[Target<'_>],
    ) -> Result<(BTreeMap<u32, BackendIdentity>, u32), DatapathError> {
        let same = |a: &Backend, b: &Backend| a.name == b.name && a.address == b.address;
        let mut after = self.state.clone();
        let mut generation = self.state.meta.generation;
        let mut added = Vec::new();
        for &Target { number, backends, .. } in targets {
            let service = &self.state.services[&number];
            let present = || service.numbers.iter().zip(&service.service.backends);
            for (number, old) in present() {
                let Some(identity) = after.backends.get_mut(number) else { continue };
                match backends.iter().find(|new| same(old, new)) {
                    None => {
                        identity.state = BACKEND_GONE;
                        identity.removed_at = milliseconds_since_boot();
                    }
                    Some(new) => {
                        identity.state = record::state(new.state);
                        identity.weight = new.weight.into();
                        if identity.health != record::health(new.health) {
                            set_health(identity, record::health(new.health), &mut generation);
                        }
                    }
                }
            }
            let is_new = |new: &&Backend| !present().any(|(_, old)| same(old, new));
            added.extend(backends.iter().filter(is_new).map(|new| (number, new)));
        }
        let free = self.free_numbers(added.len())?;
        for ((service, backend), free) in added.into_iter().zip(free) {
            generation += 1;
            let mut identity = record::backend_identity(backend, service, generation);
            // One that comes back is the one that the configuration knows.
            let key = (backend.name.clone(), backend.address);
            if let Some((_, before)) = self.state.latest(service).get(&key) {
                identity.configured_state = before.configured_state;
                identity.configured_weight = before.configured_weight;
            }
            after.backends.insert(free, identity);
        }
        for &Target { number, configured, .. } in targets {
            let noted = configured.map(|configured| note_configured(&after, number, configured));
            after.backends.extend(noted.into_iter().flatten());
        }
        after.backends.retain(|number, identity| self.state.backends.get(number) != Some(identity));
        Ok((after.backends, generation))
    }

    /// Makes the journal the truth, entry by entry.
    fn carry_out(&mut self, journal: &BTreeMap<u32, BackendIdentity>) -> Result<(), DatapathError> {
        for (&number, identity) in journal {
            self.maps.backend_identities.set(&number, identity)?;
            self.maps.backend_identities.remove(&(number | JOURNAL))?;
        }
        self.state = State::read(self.maps)?;
        Ok(())
    }

    /// Ends what has begun with the removal of a service.
    fn finish_removal(&mut self, number: u32, identity: &ServiceIdentity) -> Result<(), DatapathError> {
        self.maps.services.remove(&record::service_key(identity))?;
        wait_for_readers();
        let members: Vec<u32> = self
            .state
            .backends
            .iter()
            .filter(|(_, backend)| backend.service == number)
            .filter(|(_, backend)| backend.state != BACKEND_GONE || backend.configured_state != BACKEND_GONE)
            .map(|(&number, _)| number)
            .collect();
        for member in members {
            self.keep_backend(member, leave)?;
        }
        self.derive_backends()?;
        self.maps.service_identities.remove(&number)?;
        self.state = State::read(self.maps)?;
        self.derive_addresses()
    }

    /// Derives what the program reads of one service, and says whether the program knew the service otherwise.
    fn derive(&self, number: u32) -> Result<bool, DatapathError> {
        let service: &ServiceState = &self.state.services[&number];
        let (leaving, members): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.state.backends.iter().filter(|(_, backend)| backend.service == number).partition(
                |(_, backend)| backend.state == BACKEND_GONE || backend.health == HEALTH_UNHEALTHY,
            );
        // New ones can be sent to before a slot names them; those that leave, until none does. No flow is held for one
        // that is unhealthy either: whoever had a connection to it is told so by the next one.
        for (number, backend) in members {
            self.maps.backends.set(number, &record::backend_record(backend))?;
        }
        write_slots(&self.rows, service, &leaving.keys().map(|&&number| number).collect())?;
        for (number, backend) in leaving {
            self.maps.backends.set(number, &record::backend_record(backend))?;
        }
        let record = record::service_record(number, &service.identity, self.state.meta.rows);
        let key = record::service_key(&service.identity);
        let found = self.maps.services.get(&key)?;
        if found != Some(record) {
            self.maps.services.set(&key, &record)?;
        }
        self.derive_addresses()?;
        Ok(found != Some(record))
    }

    /// Derives whose echo requests are answered: an address of any service that forwards. Whoever only observes answers
    /// for nobody.
    fn derive_addresses(&self) -> Result<(), DatapathError> {
        let forwards = |service: &&ServiceState| service.identity.forwarding != FORWARDING_OBSERVE;
        let services = self.state.services.values().filter(forwards);
        let answered: HashSet<ServiceKey> =
            services.map(|service| record::address_key(&service.identity)).collect();
        let present: HashSet<ServiceKey> =
            self.maps.addresses.all()?.into_iter().map(|(key, _)| key).collect();
        answered.difference(&present).try_for_each(|key| self.maps.addresses.set(key, &1))?;
        Ok(present.difference(&answered).try_for_each(|key| self.maps.addresses.remove(key))?)
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

    /// The first row that each service has, and how many.
    fn taken_rows(&self) -> BTreeMap<u32, u32> {
        self.state.services.values().map(|service| (service.first_row(), service.rows())).collect()
    }

    /// The first of `rows` rows that are not `taken`.
    fn free_row(&self, taken: &BTreeMap<u32, u32>, rows: u32) -> Result<u32, DatapathError> {
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
        Ok(first)
    }

    /// Begins a change that gives out generations up to `generation`.
    fn mark_begun(&mut self, generation: u32) -> Result<(), DatapathError> {
        self.state.meta.state_version |= 1;
        self.state.meta.decided = 0;
        self.state.meta.generation = generation;
        self.store_meta()
    }

    /// From here on the journal is to be carried out.
    fn decide(&mut self) -> Result<(), DatapathError> {
        self.state.meta.decided = 1;
        self.store_meta()
    }

    /// Ends a change: what derives is as it should be.
    fn end(&mut self) -> Result<(), DatapathError> {
        self.state.meta.state_version = (self.state.meta.state_version | 1) + 1;
        self.state.meta.decided = 0;
        self.store_meta()
    }

    /// Writes down what is done; it counts from the next store of the state as a whole on.
    fn record(&mut self, notes: &[Note]) -> Result<(), DatapathError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut sequence = self.state.meta.events;
        for note in notes {
            sequence += 1;
            let event = Event {
                sequence,
                at: u64::try_from(at).unwrap_or(u64::MAX),
                user: self.actor.user,
                process: self.actor.process,
                moved: note.moved,
                minimum: note.minimum,
                action: record::padded(note.action),
                terminal: record::padded(&self.actor.terminal),
                service: record::padded(&note.service),
                backend: record::padded(&note.backend),
                detail: record::padded(&note.detail),
            };
            let place = u32::try_from(event.sequence % u64::from(EVENTS)).unwrap_or(0);
            self.maps.events.set(&place, &event)?;
        }
        self.state.meta.events = sequence;
        Ok(())
    }

    fn store_meta(&self) -> Result<(), DatapathError> {
        Ok(self.maps.meta.set(&0, &self.state.meta)?)
    }
}

/// The backend leaves with its service, which no configuration has any more either.
fn leave(identity: &mut BackendIdentity) {
    if identity.state != BACKEND_GONE {
        identity.state = BACKEND_GONE;
        identity.removed_at = milliseconds_since_boot();
    }
    record::set_configured(identity, None);
}

/// Its checks say something else of a backend. What was remembered of one that fails is out of date for good: it gets
/// another generation.
fn set_health(identity: &mut BackendIdentity, health: u8, generation: &mut u32) {
    let now = milliseconds_since_boot();
    if health == HEALTH_UNHEALTHY {
        let well_for = Duration::from_millis(now.saturating_sub(identity.health_since));
        identity.failures = failures_after(identity.failures, well_for);
        *generation += 1;
        identity.generation = *generation;
    }
    identity.health = health;
    identity.health_since = now;
}

/// What changes in a service's backends, there or gone, where they are noted as `configured` has them.
fn note_configured(state: &State, number: u32, configured: &[Backend]) -> BTreeMap<u32, BackendIdentity> {
    let configured: BTreeMap<_, _> =
        configured.iter().map(|backend| ((backend.name.as_str(), backend.address), backend)).collect();
    state
        .latest(number)
        .into_iter()
        .filter_map(|((name, address), (number, identity))| {
            let mut noted = *identity;
            record::set_configured(&mut noted, configured.get(&(name.as_str(), address)).copied());
            (noted != *identity).then_some((number, noted))
        })
        .collect()
}

/// Refuses maps that were opened in an earlier life of the instance: the rows would be another's.
pub(crate) fn require_pinned(instance: &Instance, maps: &Maps) -> Result<(), DatapathError> {
    let pinned =
        KernelMap::<u32, Meta>::open(&instance.maps().join(map::META), MapKind::Array, Access::Read)?;
    if pinned.id()? == maps.meta.id()? {
        Ok(())
    } else {
        Err(DatapathError::Replaced(instance.name().to_owned()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
const ROW: u32 = maglev_probe_abi::ROW_WORDS as u32;
