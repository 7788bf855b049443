//! What the kernel's maps say there is: services, their backends, and the numbers that the program knows them by.

use std::collections::BTreeMap;

use maglev_core::{
    seed::HashSeed,
    service::{BackendState, Service},
};
use maglev_probe_abi::{BACKEND_GONE, BackendIdentity, Meta, ROW_WORDS, SCHEMA, ServiceIdentity};

use crate::{error::DatapathError, maps::Maps, record};

/// Everything but counters and slots.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) meta: Meta,
    /// The services, by number.
    pub(crate) services: BTreeMap<u32, ServiceState>,
    /// Every backend that has a number, those on their way out among them.
    pub(crate) backends: BTreeMap<u32, BackendIdentity>,
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
        let meta = maps.meta.get(&0)?.unwrap_or_default();
        if meta.schema != SCHEMA {
            return Err(DatapathError::Schema { found: meta.schema, expected: SCHEMA });
        }
        let backends: BTreeMap<_, _> = maps.backend_identities.all()?.into_iter().collect();
        let services = maps
            .service_identities
            .all()?
            .into_iter()
            .map(|(number, identity)| (number, ServiceState::new(number, identity, &backends)))
            .collect();
        Ok(Self { meta, services, backends })
    }

    /// Reads it between two changes, or, where one does not come to an end, as it is then.
    pub(crate) fn read_settled(maps: &Maps) -> Result<Self, DatapathError> {
        const TRIES: u32 = 20;
        let mut state = Self::read(maps)?;
        for _ in 0..TRIES {
            let after = maps.meta.get(&0)?.unwrap_or_default().state_version;
            if after == state.meta.state_version && after.is_multiple_of(2) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            state = Self::read(maps)?;
        }
        Ok(state)
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

impl ServiceState {
    fn new(number: u32, identity: ServiceIdentity, backends: &BTreeMap<u32, BackendIdentity>) -> Self {
        let mut members: Vec<_> = backends
            .iter()
            .filter(|(_, backend)| backend.service == number && backend.state != BACKEND_GONE)
            .map(|(&number, backend)| (number, record::backend(backend)))
            .collect();
        members.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let (numbers, members) = members.into_iter().unzip();
        let service = Service { backends: members, ..record::service(&identity) };
        Self { number, identity, service, numbers }
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

    /// Whether all its backends drain, or it has none.
    pub(crate) fn is_without_active(&self) -> bool {
        !self.service.backends.iter().any(|backend| backend.state == BackendState::Active)
    }
}

/// How many rows a table takes.
#[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
pub(crate) const fn rows_of(table_size: u32) -> u32 {
    table_size.div_ceil(ROW_WORDS as u32)
}
