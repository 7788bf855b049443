//! What the kernel's maps hold, read past the loader: what must be true of them at any instant, and between changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use bytemuck::{AnyBitPattern, NoUninit};
use maglev_core::{rules::ROW_SLOTS, slot::SlotWord};
use maglev_probe_abi::{
    BACKEND_GONE, BackendCounters, BackendIdentity, BackendRecord, Event, FORWARDING_OBSERVE, JOURNAL, Meta,
    ROW_WORDS, ServiceIdentity, ServiceKey, ServiceRecord, map,
};

/// The maps of an instance, as bytes.
pub struct Audit {
    meta: Array<MapData, [u8; size_of::<Meta>()]>,
    services: HashMap<MapData, [u8; 20], [u8; size_of::<ServiceRecord>()]>,
    addresses: HashMap<MapData, [u8; 20], u32>,
    backends: Array<MapData, [u8; size_of::<BackendRecord>()]>,
    slots: Array<MapData, [u64; ROW_WORDS]>,
    service_identities: HashMap<MapData, u32, [u8; size_of::<ServiceIdentity>()]>,
    backend_identities: HashMap<MapData, u32, [u8; size_of::<BackendIdentity>()]>,
    events: Array<MapData, [u8; size_of::<Event>()]>,
    counters: PerCpuArray<MapData, [u8; size_of::<BackendCounters>()]>,
}

impl Audit {
    /// Opens the maps pinned in `folder`.
    ///
    /// # Panics
    ///
    /// When one cannot be opened.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let data = |name: &str| MapData::from_pin(folder.join("maps").join(name)).expect("a pinned map");
        let array = |name: &str| Map::Array(data(name));
        let hash = |name: &str| Map::HashMap(data(name));
        Self {
            meta: array(map::META).try_into().expect("meta"),
            services: hash(map::SERVICES).try_into().expect("services"),
            addresses: hash(map::ADDRESSES).try_into().expect("addresses"),
            backends: array(map::BACKENDS).try_into().expect("backends"),
            slots: array(map::SLOTS).try_into().expect("slots"),
            service_identities: hash(map::SERVICE_IDENTITIES).try_into().expect("identities"),
            backend_identities: hash(map::BACKEND_IDENTITIES).try_into().expect("identities"),
            events: array(map::EVENTS).try_into().expect("events"),
            counters: Map::PerCpuArray(data(map::BACKEND_COUNTERS)).try_into().expect("counters"),
        }
    }

    /// The state as a whole.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn meta(&self) -> Meta {
        record(&self.meta.get(&0, 0).expect("meta is read"))
    }

    /// Writes the state as a whole as another version might have.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn forge_meta(&mut self, edit: impl FnOnce(&mut Meta)) {
        let mut meta = self.meta();
        edit(&mut meta);
        self.meta.set(0, bytes_of(&meta), 0).expect("meta is written");
    }

    /// Every backend identity, the journal's among them.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn identities(&self) -> BTreeMap<u32, BackendIdentity> {
        let elements = self.backend_identities.iter().map(|element| element.expect("identities are read"));
        elements.map(|(number, bytes)| (number, record(&bytes))).collect()
    }

    /// Makes sure of what must be true at any instant: a packet of any service finds a backend in its slot.
    ///
    /// # Panics
    ///
    /// When it is not true.
    pub fn at_any_instant(&self) {
        // Before the slots: whoever leaves meanwhile was there, and no slot names one that has left.
        let backends: BTreeMap<u32, BackendRecord> = self
            .identities()
            .into_keys()
            .filter(|number| number & JOURNAL == 0)
            .map(|number| (number, record(&self.backends.get(&number, 0).expect("backends are read"))))
            .collect();
        for service in self.services() {
            let rows = service.table_size.div_ceil(ROW_SLOTS);
            let first = service.first_slot / ROW_SLOTS;
            let words = (first..first + rows).flat_map(|row| self.row(row));
            for (slot, word) in words.take(service.table_size as usize).map(SlotWord).enumerate() {
                let place = || format!("slot {slot} of service {}: {word:?}", service.number);
                assert_ne!(word.owner(), 0, "nobody owns {}", place());
                for number in [word.owner(), word.previous()].into_iter().filter(|&number| number != 0) {
                    let backend = backends.get(&number).copied().unwrap_or_default();
                    assert_ne!(backend.state, BACKEND_GONE, "backend {number} is gone, and in {}", place());
                    assert_eq!(backend.service, service.number, "backend {number} is another service's");
                }
            }
        }
    }

    /// Makes sure of what must be true between changes: what the program reads is what is kept.
    ///
    /// # Panics
    ///
    /// When it is not true.
    pub fn between_changes(&self) {
        self.at_any_instant();
        let meta = self.meta();
        assert!(meta.state_version.is_multiple_of(2), "a change is under way: {meta:?}");
        assert_eq!(meta.decided, 0, "{meta:?}");
        let services: BTreeMap<u32, ServiceIdentity> = self
            .service_identities
            .iter()
            .map(|element| element.expect("identities are read"))
            .map(|(number, bytes)| (number, record(&bytes)))
            .collect();
        assert!(services.values().all(|service| service.leaving == 0), "a service is half gone");
        let derived: Vec<u32> = self.services().iter().map(|service| service.number).collect();
        assert_eq!(derived.len(), services.len(), "{derived:?} are balanced, {:?} kept", services.keys());
        assert!(derived.iter().all(|number| services.contains_key(number)));
        let answered: BTreeSet<[u8; 20]> =
            self.addresses.keys().map(|key| key.expect("addresses are read")).collect();
        let forwarding = services.values().filter(|service| service.forwarding != FORWARDING_OBSERVE);
        let address = |service: &ServiceIdentity| {
            let (address, family) = (service.address, service.family);
            bytes_of(&ServiceKey { address, family, ..ServiceKey::default() })
        };
        assert_eq!(answered, forwarding.map(address).collect(), "addresses whose echo is answered");
        for (number, kept) in self.identities() {
            assert_eq!(number & JOURNAL, 0, "an entry is left in the journal: {kept:?}");
            let derived: BackendRecord = record(&self.backends.get(&number, 0).expect("backends are read"));
            let parts = (derived.state, derived.address, derived.family, derived.service, derived.generation);
            let kept_parts = (kept.state, kept.address, kept.family, kept.service, kept.generation);
            assert_eq!(parts, kept_parts, "backend {number} is not what is kept of it");
            assert!(
                kept.state == BACKEND_GONE || services.contains_key(&kept.service),
                "{number} is an orphan"
            );
        }
        let mut sequences: Vec<u64> = (0..self.events.len())
            .map(|place| record::<Event>(&self.events.get(&place, 0).expect("events are read")).sequence)
            .filter(|&sequence| sequence != 0 && sequence <= meta.events)
            .collect();
        sequences.sort_unstable();
        assert_eq!(sequences.last().copied().unwrap_or(0), meta.events);
        assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "events are missing: {sequences:?}");
    }

    /// Leaves what a writer leaves that dies in a change: as it was before the change was decided, or right after. `edit`
    /// is made to the first `count` backends that are there.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn begin_change(&mut self, decided: bool, edit: &dyn Fn(&mut BackendIdentity), count: usize) {
        let mut meta = self.meta();
        meta.state_version |= 1;
        self.meta.set(0, bytes_of(&meta), 0).expect("meta is written");
        let present = self.identities().into_iter().filter(|(_, backend)| backend.state != BACKEND_GONE);
        for (number, mut identity) in present.take(count) {
            edit(&mut identity);
            let entry = bytes_of::<_, { size_of::<BackendIdentity>() }>(&identity);
            self.backend_identities.insert(number | JOURNAL, entry, 0).expect("the journal is written");
        }
        meta.decided = decided.into();
        self.meta.set(0, bytes_of(&meta), 0).expect("meta is written");
    }

    /// Packets, bytes, new connections and held packets of a backend.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn counters(&self, number: u32) -> [u64; 4] {
        let values = self.counters.get(&number, 0).expect("counters are read");
        values.iter().map(|bytes| record::<BackendCounters>(bytes)).fold([0; 4], |[a, b, c, d], one| {
            [a + one.packets, b + one.bytes, c + one.new_connections, d + one.held_packets]
        })
    }

    fn services(&self) -> Vec<ServiceRecord> {
        self.services.iter().map(|element| record(&element.expect("services are read").1)).collect()
    }

    fn row(&self, row: u32) -> [u64; ROW_WORDS] {
        self.slots.get(&row, 0).expect("slots are read")
    }
}

fn record<T: AnyBitPattern>(bytes: &[u8]) -> T {
    bytemuck::pod_read_unaligned(bytes)
}

fn bytes_of<T: NoUninit, const SIZE: usize>(record: &T) -> [u8; SIZE] {
    bytemuck::bytes_of(record).try_into().expect("a record of that size")
}
