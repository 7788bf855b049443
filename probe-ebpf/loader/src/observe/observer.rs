//! Following a node, and what was counted.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, mem,
};

use maglev_core::{
    cilium::{Frontend, Node},
    seed::HashSeed,
};
use maglev_probe_abi::{FrontendRecord, ObserverSettings, ObserverVerdict};

use super::{
    counters::{Counters, Counts, MOST_ROWS},
    error::ObserveError,
    hits::{BackendHits, FrontendHits, Hits},
    place::{HookChoice, Place, Placement},
    room::rows_of,
    wanted::{FrontendAt, Wanted, key, wanted},
};
use crate::kernel::wait_for_readers;

/// Rows beyond those that are needed, for services that come.
const SPARE_ROWS: u32 = 64;

/// How slots are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserverTerms {
    /// Cilium's hash seed.
    pub seed: HashSeed,
    /// Whether ports are hashed in the order of Cilium before 1.17.
    pub older_order: bool,
    /// Which hooks are tried.
    pub hook: HookChoice,
}

/// Counts hits per slot, for as long as it lives.
pub struct Observer {
    /// Where it sits: before its programs, to end before them.
    places: Vec<Place>,
    counters: Counters,
    hook: HookChoice,
    settings: ObserverSettings,
    watched: BTreeMap<FrontendAt, Watched>,
    /// What generations before counted, by verdict.
    verdicts_before: Vec<u64>,
}

/// A frontend that the kernel knows.
struct Watched {
    id: u16,
    record: FrontendRecord,
    /// The backend's id in each slot.
    owners: Vec<u32>,
    /// As they were last read.
    counts: Counts,
    backends: BTreeMap<u32, BackendHits>,
}

/// Counts that no packet is added to any more, once those under way have gone.
struct Retired {
    at: FrontendAt,
    first_row: u32,
    watched: Watched,
}

impl Observer {
    /// Begins to count on those interfaces, for the frontends of `node` of which `is_watched` says so.
    ///
    /// # Errors
    ///
    /// When an interface is not there, none of them can be observed, or the privileges are missing.
    pub fn attach(
        interfaces: &[String],
        terms: &ObserverTerms,
        node: &Node,
        is_watched: impl FnMut(&Frontend) -> bool,
    ) -> Result<Self, ObserveError> {
        let settings = ObserverSettings {
            hash_seed_v4: terms.seed.jhash_v4(),
            hash_seed_v6: terms.seed.jhash_v6(),
            older_order: terms.older_order.into(),
            ..ObserverSettings::default()
        };
        let wanted = wanted(node, is_watched);
        let mut observer = Self {
            places: Vec::new(),
            counters: Counters::load(room_for(&wanted), settings)?,
            hook: terms.hook,
            settings,
            watched: BTreeMap::new(),
            verdicts_before: vec![0; ObserverVerdict::COUNT as usize],
        };
        // Each frontend is known before the first packet is met.
        observer.know(wanted)?;
        for interface in interfaces {
            let place = Place::take(interface, terms.hook, observer.counters.programs()?)?;
            observer.places.push(place);
        }
        if observer.places.iter().all(|place| place.placement.outcome.is_err()) {
            let reasons = observer.places.iter().filter_map(|place| {
                let refusal = place.placement.outcome.as_ref().err()?;
                Some(format!("{}: {refusal}", place.placement.interface))
            });
            return Err(ObserveError::Nowhere(reasons.collect::<Vec<_>>().join("; ")));
        }
        Ok(observer)
    }

    /// Takes a hook on an interface if it has none there: one that came, that was made anew under its name, or whose hook
    /// was somebody else's.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or the privileges are missing.
    pub fn sit_on(&mut self, interface: &str) -> Result<(), ObserveError> {
        let place = self.places.iter().position(|place| place.placement.interface == interface);
        if place.is_some_and(|place| self.places[place].holds()) {
            return Ok(());
        }
        let taken = Place::take(interface, self.hook, self.counters.programs()?)?;
        match place {
            Some(place) => self.places[place] = taken,
            None => self.places.push(taken),
        }
        Ok(())
    }

    /// Each interface, with the hook that packets are looked at on, or why they are not.
    pub fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.places.iter().map(|place| &place.placement)
    }

    /// Follows what has changed on the node: frontends come and go, tables are built anew and change their size.
    /// Frontends that did not change keep their counts, and so do slots whose table was built anew; of one that has
    /// changed its size the slots begin at zero.
    ///
    /// # Errors
    ///
    /// When the kernel refuses something.
    pub fn follow(
        &mut self,
        node: &Node,
        is_watched: impl FnMut(&Frontend) -> bool,
    ) -> Result<(), ObserveError> {
        self.places.iter_mut().for_each(Place::look_again);
        // What was counted so far went by the tables of before.
        self.absorb();
        self.know(wanted(node, is_watched))
    }

    /// What was counted so far.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn sample(&mut self) -> Result<Hits, ObserveError> {
        self.absorb();
        self.counted()
    }

    /// What was counted until the node was last followed or sampled: no counter of slots is read again.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn counted(&self) -> Result<Hits, ObserveError> {
        let verdicts = self.counters.verdicts()?;
        let frontends = self.watched.iter().map(|(&(address, protocol), watched)| FrontendHits {
            id: watched.id,
            address,
            protocol,
            is_counted: watched.record.table_size != 0,
            hits: watched.counts.hits.clone(),
            connections: watched.counts.connections.clone(),
            backends: watched.backends.clone(),
        });
        let verdicts = ObserverVerdict::ALL
            .iter()
            .zip(verdicts.iter().zip(&self.verdicts_before))
            .map(|(&verdict, (now, before))| (verdict, now + before));
        Ok(Hits { frontends: frontends.collect(), verdicts: verdicts.collect() })
    }

    /// Reads the counters, and adds what has come to the backends that have been due it.
    fn absorb(&mut self) {
        for watched in self.watched.values_mut() {
            watched.absorb(&self.counters);
        }
    }

    /// Makes the kernel know those frontends and no others.
    fn know(&mut self, wanted: BTreeMap<FrontendAt, Wanted>) -> Result<(), ObserveError> {
        let rows: u32 = rows_for(&wanted);
        let mut retired = Vec::new();
        let gone: Vec<FrontendAt> =
            self.watched.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
        for at in gone {
            self.counters.remove(&key(at))?;
            if let Some(watched) = self.watched.remove(&at) {
                retired.extend(Retired::of(at, watched));
            }
        }
        self.counters.heed_any_protocol(wanted.keys().any(|&(_, protocol)| protocol == 0))?;
        let mut has_room = true;
        for (at, wanted) in wanted {
            has_room &= self.know_one(at, wanted, &mut retired)?;
        }
        self.clear(retired);
        // Whoever found no room finds some in a larger generation, if there may be one, or one without gaps.
        if !has_room && (rows <= MOST_ROWS || self.counters.rows() < MOST_ROWS) {
            self.grow(rows)?;
        }
        Ok(())
    }

    /// Makes the kernel know a frontend; `false` where there is no room for its slots.
    fn know_one(
        &mut self,
        at: FrontendAt,
        wanted: Wanted,
        retired: &mut Vec<Retired>,
    ) -> Result<bool, ObserveError> {
        let slots = wanted.owners.len();
        let known = self.watched.get(&at).filter(|known| known.slots() == slots);
        let first_row = match known {
            Some(known) => Some(known.record.first_row),
            None if slots == 0 => None,
            None => self.counters.take(slots),
        };
        let is_counted = slots != 0 && first_row.is_some();
        let record = FrontendRecord {
            first_row: first_row.unwrap_or_default(),
            table_size: if is_counted { u32::try_from(slots).unwrap_or_default() } else { 0 },
            verdict: wanted.verdict as u32,
            affinity: wanted.affinity,
            padding: [0; 3],
        };
        if known.map(|known| known.record) != Some(record) {
            self.counters.set(&key(at), &record)?;
        }
        match self.watched.entry(at) {
            Entry::Occupied(mut entry) if entry.get().slots() == record.table_size as usize => {
                let known = entry.get_mut();
                (known.id, known.record, known.owners) = (wanted.id, record, wanted.owners);
            }
            Entry::Occupied(mut entry) => {
                // The slots are others now; who has been due what remains.
                let mut next = Watched::new(wanted, record);
                next.backends.clone_from(&entry.get().backends);
                retired.extend(Retired::of(at, mem::replace(entry.get_mut(), next)));
            }
            Entry::Vacant(entry) => {
                entry.insert(Watched::new(wanted, record));
            }
        }
        Ok(is_counted || slots == 0)
    }

    /// Takes the last counts of what no packet is counted for any more, and gives its room back.
    fn clear(&mut self, retired: Vec<Retired>) {
        if retired.is_empty() {
            return;
        }
        wait_for_readers();
        for Retired { at, first_row, mut watched } in retired {
            watched.absorb(&self.counters);
            self.counters.give_back(first_row, watched.slots());
            // Of a table of another size: between the reading before and now there was little, and nothing is lost.
            if let Some(known) = self.watched.get_mut(&at) {
                known.backends = watched.backends;
            }
        }
    }

    /// Puts a larger generation of programs and maps in the place of this one; each packet meets the one or the other.
    fn grow(&mut self, rows: u32) -> Result<(), ObserveError> {
        let mut next = Counters::load(with_spare(rows), self.settings)?;
        next.heed_any_protocol(self.watched.keys().any(|&(_, protocol)| protocol == 0))?;
        let mut records = BTreeMap::new();
        for (&at, watched) in &self.watched {
            let slots = watched.owners.len();
            let first_row = if slots == 0 { None } else { next.take(slots) };
            let record = FrontendRecord {
                first_row: first_row.unwrap_or_default(),
                table_size: first_row.map_or(0, |_| u32::try_from(slots).unwrap_or_default()),
                ..watched.record
            };
            next.set(&key(at), &record)?;
            records.insert(at, record);
        }
        for place in &self.places {
            place.replace(self.counters.programs()?, next.programs()?)?;
        }
        wait_for_readers();
        self.absorb();
        for (before, now) in self.verdicts_before.iter_mut().zip(self.counters.verdicts()?) {
            *before += now;
        }
        for (at, record) in records {
            let Some(watched) = self.watched.get_mut(&at) else { continue };
            if watched.slots() == record.table_size as usize {
                next.carry(record.first_row, &watched.counts);
            } else {
                watched.counts = Counts::nothing(record.table_size as usize);
            }
            watched.record = record;
        }
        self.counters = next;
        Ok(())
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { places, counters: _, hook, settings, watched, verdicts_before: _ } = self;
        formatter
            .debug_struct("Observer")
            .field("places", places)
            .field("hook", hook)
            .field("settings", settings)
            .field("watched", &watched.len())
            .finish_non_exhaustive()
    }
}

impl Watched {
    fn new(wanted: Wanted, record: FrontendRecord) -> Self {
        Self {
            id: wanted.id,
            record,
            owners: wanted.owners,
            counts: Counts::nothing(record.table_size as usize),
            backends: BTreeMap::new(),
        }
    }

    /// How many slots are counted.
    fn slots(&self) -> usize {
        self.record.table_size as usize
    }

    fn absorb(&mut self, counters: &Counters) {
        if self.slots() == 0 {
            return;
        }
        let now = counters.counts(self.record.first_row, self.slots());
        let before = self.counts.hits.iter().zip(&self.counts.connections);
        let counted = now.hits.iter().zip(&now.connections);
        for (owner, (before, now)) in self.owners.iter().zip(before.zip(counted)) {
            let (packets, connections) = (now.0 - before.0, now.1 - before.1);
            if packets | connections != 0 {
                let backend = self.backends.entry(*owner).or_default();
                backend.packets += packets;
                backend.new_connections += connections;
            }
        }
        self.counts = now;
    }
}

impl Retired {
    /// Of a frontend whose slots were counted.
    fn of(at: FrontendAt, watched: Watched) -> Option<Self> {
        (watched.slots() != 0).then_some(Self { at, first_row: watched.record.first_row, watched })
    }
}

fn rows_for(wanted: &BTreeMap<FrontendAt, Wanted>) -> u32 {
    wanted.values().fold(0, |rows: u32, wanted| rows.saturating_add(rows_of(wanted.owners.len())))
}

fn room_for(wanted: &BTreeMap<FrontendAt, Wanted>) -> u32 {
    with_spare(rows_for(wanted))
}

/// Half as many again, and some: not each new service shall take another generation.
const fn with_spare(rows: u32) -> u32 {
    rows.saturating_add(rows / 2).saturating_add(SPARE_ROWS)
}
