//! What the kernel's maps say there is: services, their backends, and the numbers that the program knows them by.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use maglev_core::{
    seed::HashSeed,
    service::{Backend, Service},
};
use maglev_probe_abi::{
    BACKEND_GONE, BackendIdentity, JOURNAL, Meta, ROW_WORDS, SCHEMA, ServiceIdentity, map,
};

use crate::{
    datapath::addresses,
    error::DatapathError,
    kernel::{Access, KernelMap, MapKind},
    maps::Maps,
    record,
};

/// Everything but counters and slots.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) meta: Meta,
    /// The services, by number.
    pub(crate) services: BTreeMap<u32, ServiceState>,
    /// Every backend that has a number, those on their way out among them.
    pub(crate) backends: BTreeMap<u32, BackendIdentity>,
    /// The services on their way out, by number.
    pub(crate) leaving: BTreeMap<u32, ServiceIdentity>,
    /// What the change under way makes of backends, by number; empty between changes.
    pub(crate) journal: BTreeMap<u32, BackendIdentity>,
}

/// A service and its numbers.
#[derive(Clone, Debug)]
pub(crate) struct ServiceState {
    pub(crate) number: u32,
    pub(crate) identity: ServiceIdentity,
    /// With its backends, by name.
    pub(crate) service: Service,
    /// The number of each of them, in that order.
    pub(crate) numbers: Vec<u32>,
}

impl State {
    /// Reads it. Without the instance's lock a change may be under way: see [`State::read_settled`].
    pub(crate) fn read(maps: &Maps) -> Result<Self, DatapathError> {
        let meta = Self::read_meta(maps)?;
        let (journal, backends): (Vec<_>, Vec<_>) =
            maps.backend_identities.all()?.into_iter().partition(|(key, _)| key & JOURNAL != 0);
        let backends: BTreeMap<_, _> = backends.into_iter().collect();
        let journal = journal.into_iter().map(|(key, identity)| (key & !JOURNAL, identity)).collect();
        let (leaving, services): (Vec<_>, Vec<_>) =
            maps.service_identities.all()?.into_iter().partition(|(_, identity)| identity.leaving != 0);
        let leaving = leaving.into_iter().collect();
        let mut members = members(&backends);
        let services = services
            .into_iter()
            .map(|(number, identity)| {
                let members = members.remove(&number).unwrap_or_default();
                (number, ServiceState::new(number, &identity, members))
            })
            .collect();
        Ok(Self { meta, services, backends, leaving, journal })
    }

    /// Reads it between two changes, or, where one does not come to an end, as it is then.
    pub(crate) fn read_settled(maps: &Maps) -> Result<Self, DatapathError> {
        const TRIES: u32 = 20;
        let mut state = Self::read(maps)?;
        for _ in 0..TRIES {
            if state.still_holds(maps)? {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            state = Self::read(maps)?;
        }
        Ok(state)
    }

    /// Takes in a service that was written, and its backends with their numbers.
    pub(crate) fn add(
        &mut self,
        number: u32,
        identity: &ServiceIdentity,
        backends: &[(u32, BackendIdentity)],
    ) {
        self.backends.extend(backends.iter().copied());
        let members = backends.iter().map(|(number, identity)| (*number, record::backend(identity)));
        self.services.insert(number, ServiceState::new(number, identity, members.collect()));
    }

    /// Reads the state as a whole, and makes sure that this version knows the rest.
    pub(crate) fn read_meta(maps: &Maps) -> Result<Meta, DatapathError> {
        known_meta(&maps.meta)
    }

    /// The services with their backends, by name, and the seeds of their tables.
    pub(crate) fn services_by_name(&self) -> Vec<(Service, HashSeed)> {
        let mut services: Vec<_> =
            self.services.values().map(|service| (service.service.clone(), service.seed())).collect();
        services.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        services
    }

    /// The addresses of backends that the kernel tells the way to.
    pub(crate) fn addresses(&self, has_gateway: bool) -> Vec<IpAddr> {
        let services: Vec<Service> = self.services.values().map(|service| service.service.clone()).collect();
        addresses(&services, has_gateway)
    }

    /// Whether nothing has changed since it was read, and nothing was being changed then.
    pub(crate) fn still_holds(&self, maps: &Maps) -> Result<bool, DatapathError> {
        let version = self.meta.state_version;
        let after = maps.meta.get(&0)?.unwrap_or_default().state_version;
        Ok(after == version && version.is_multiple_of(2))
    }

    /// Whoever a service of that number has as a backend or, where that is gone, had last: by name and address.
    pub(crate) fn latest(&self, service: u32) -> BTreeMap<(String, SocketAddr), (u32, &BackendIdentity)> {
        let mut latest = BTreeMap::<_, (u32, &BackendIdentity)>::new();
        for (&number, identity) in self.backends.iter().filter(|(_, backend)| backend.service == service) {
            let Backend { name, address, .. } = record::backend(identity);
            let rank = |identity: &BackendIdentity| (identity.state != BACKEND_GONE, identity.generation);
            let entry = latest.entry((name, address)).or_insert((number, identity));
            if rank(identity) > rank(entry.1) {
                *entry = (number, identity);
            }
        }
        latest
    }

    /// The service of that name.
    pub(crate) fn service(&self, name: &str) -> Result<&ServiceState, DatapathError> {
        let matches =
            |state: &&ServiceState| state.service.name == name || state.service.address.to_string() == name;
        self.services.values().find(matches).ok_or_else(|| DatapathError::NoSuchService {
            name: name.to_owned(),
            known: self.services.values().map(|state| state.service.name.clone()).collect(),
        })
    }
}

/// The backends that each service has, with their numbers: by the service's number.
fn members(backends: &BTreeMap<u32, BackendIdentity>) -> BTreeMap<u32, Vec<(u32, Backend)>> {
    let mut members = BTreeMap::<_, Vec<_>>::new();
    for (&number, identity) in backends.iter().filter(|(_, identity)| identity.state != BACKEND_GONE) {
        members.entry(identity.service).or_default().push((number, record::backend(identity)));
    }
    members
}

/// What the maps pinned in `folder` say of the state as a whole, before any other of them is looked at.
pub(crate) fn meta_of(folder: &Path, access: Access) -> Result<Meta, DatapathError> {
    known_meta(&KernelMap::open(&folder.join(map::META), MapKind::Array, access)?)
}

fn known_meta(map: &KernelMap<u32, Meta>) -> Result<Meta, DatapathError> {
    let meta = map.get(&0)?.unwrap_or_default();
    match meta.schema {
        SCHEMA => Ok(meta),
        found => Err(DatapathError::Schema { pin: map.path().to_owned(), found, expected: SCHEMA }),
    }
}

impl ServiceState {
    /// The service of that number with its backends and their numbers.
    fn new(number: u32, identity: &ServiceIdentity, mut members: Vec<(u32, Backend)>) -> Self {
        members.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let (numbers, backends) = members.into_iter().unzip();
        let service = Service { backends, ..record::service(identity) };
        Self { number, identity: *identity, service, numbers }
    }

    pub(crate) const fn seed(&self) -> HashSeed {
        HashSeed::from_bytes(self.identity.seed)
    }

    /// Its first row.
    #[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
    pub(crate) const fn first_row(&self) -> u32 {
        self.identity.first_slot / ROW_WORDS as u32
    }

    /// How many rows it has.
    pub(crate) const fn rows(&self) -> u32 {
        rows_of(self.identity.table_size)
    }

    /// Whether none of its backends gets new flows.
    pub(crate) fn is_without_active(&self) -> bool {
        self.service.active_backends().next().is_none()
    }
}

/// How many rows a table takes.
#[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
pub(crate) const fn rows_of(table_size: u32) -> u32 {
    table_size.div_ceil(ROW_WORDS as u32)
}
