//! The maps of an instance.

use std::path::Path;

use maglev_probe_abi::{
    BackendCounters, BackendIdentity, BackendRecord, Event, Meta, ServiceCounters, ServiceIdentity,
    ServiceKey, ServiceRecord, Settings, map,
};

use crate::{
    error::MapError,
    kernel::{Access, KernelMap, MapKind, MappedRows, Rows},
};

/// The maps, opened and checked. What holds flows is the program's alone and not among them.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) services: KernelMap<ServiceKey, ServiceRecord>,
    pub(crate) addresses: KernelMap<ServiceKey, u32>,
    pub(crate) backends: KernelMap<u32, BackendRecord>,
    pub(crate) settings: KernelMap<u32, Settings>,
    pub(crate) slots: Rows,
    pub(crate) deadlines: Rows,
    pub(crate) slot_hits: Rows,
    pub(crate) backend_counters: KernelMap<u32, BackendCounters>,
    pub(crate) service_counters: KernelMap<u32, ServiceCounters>,
    pub(crate) verdicts: KernelMap<u32, u64>,
    pub(crate) service_identities: KernelMap<u32, ServiceIdentity>,
    pub(crate) backend_identities: KernelMap<u32, BackendIdentity>,
    pub(crate) meta: KernelMap<u32, Meta>,
    pub(crate) events: KernelMap<u32, Event>,
}

/// The maps of rows that a writer stores to.
#[derive(Debug)]
pub(crate) struct WritableRows {
    pub(crate) slots: MappedRows,
    pub(crate) deadlines: MappedRows,
    pub(crate) settle_limits: MappedRows,
    pub(crate) slot_hits: MappedRows,
}

impl Maps {
    /// The names of all of them.
    pub(crate) const NAMES: [&str; 14] = [
        map::SERVICES,
        map::ADDRESSES,
        map::BACKENDS,
        map::SETTINGS,
        map::SLOTS,
        map::DEADLINES,
        map::SLOT_HITS,
        map::BACKEND_COUNTERS,
        map::SERVICE_COUNTERS,
        map::VERDICTS,
        map::SERVICE_IDENTITIES,
        map::BACKEND_IDENTITIES,
        map::META,
        map::EVENTS,
    ];

    pub(crate) fn open(folder: &Path, access: Access) -> Result<Self, MapError> {
        let at = |name: &str| folder.join(name);
        Ok(Self {
            services: KernelMap::open(&at(map::SERVICES), MapKind::Hash, access)?,
            addresses: KernelMap::open(&at(map::ADDRESSES), MapKind::Hash, access)?,
            backends: KernelMap::open(&at(map::BACKENDS), MapKind::Array, access)?,
            settings: KernelMap::open(&at(map::SETTINGS), MapKind::Array, access)?,
            slots: Rows::open(&at(map::SLOTS), access)?,
            deadlines: Rows::open(&at(map::DEADLINES), access)?,
            slot_hits: Rows::open(&at(map::SLOT_HITS), access)?,
            backend_counters: KernelMap::open(
                &at(map::BACKEND_COUNTERS),
                MapKind::PerProcessorArray,
                access,
            )?,
            service_counters: KernelMap::open(
                &at(map::SERVICE_COUNTERS),
                MapKind::PerProcessorArray,
                access,
            )?,
            verdicts: KernelMap::open(&at(map::VERDICTS), MapKind::PerProcessorArray, access)?,
            service_identities: KernelMap::open(&at(map::SERVICE_IDENTITIES), MapKind::Hash, access)?,
            backend_identities: KernelMap::open(&at(map::BACKEND_IDENTITIES), MapKind::Hash, access)?,
            meta: KernelMap::open(&at(map::META), MapKind::Array, access)?,
            events: KernelMap::open(&at(map::EVENTS), MapKind::Array, access)?,
        })
    }
}

impl WritableRows {
    pub(crate) fn open(folder: &Path) -> Result<Self, MapError> {
        Ok(Self {
            slots: MappedRows::open(&folder.join(map::SLOTS))?,
            deadlines: MappedRows::open(&folder.join(map::DEADLINES))?,
            settle_limits: MappedRows::open(&folder.join(map::SETTLE_LIMITS))?,
            slot_hits: MappedRows::open(&folder.join(map::SLOT_HITS))?,
        })
    }
}
