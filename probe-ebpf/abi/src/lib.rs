//! The records that the XDP programs and the loader share: `no_std`, `repr(C)`, without padding that is not named,
//! and with their sizes and offsets asserted below. Another layout is another [`SCHEMA`].
//!
//! Numbers that come off the wire are in network order where a comment says so, and in the host's order elsewhere.

#![cfg_attr(not(test), no_std)]

use core::mem::{offset_of, size_of};

mod counters;
mod decap;
mod flows;
mod identity;
mod service;
mod verdict;

pub use counters::{BackendCounters, ServiceCounters};
pub use decap::DecapSettings;
pub use flows::{
    FLOWS_PER_BUCKET, FlowKey, SETTLING_BUCKETS, SettlingBucket, SettlingFlow, TRACKED_FLOWS, TrackedFlow,
    bpf_spin_lock,
};
pub use identity::{
    BackendIdentity, CHECK_HTTP, CHECK_NONE, CHECK_TCP, EVENTS, Event, HEALTH_HEALTHY, HEALTH_KEPT,
    HEALTH_UNHEALTHY, HEALTH_UNKNOWN, HealthSettings, JOURNAL, Meta, NAME_BYTES, PHASE_ENDING, PHASE_RUNNING,
    PHASE_STARTING, ServiceIdentity,
};
pub use service::{
    AFFINITY_NONE, AFFINITY_SOURCE, BACKEND_ACTIVE, BACKEND_DRAINING, BACKEND_GONE, BackendRecord,
    FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, ServiceKey, ServiceRecord, Settings, TRACKING_ALWAYS,
    TRACKING_NEVER, TRACKING_SETTLING,
};
pub use verdict::{DecapVerdict, Verdict};

/// The version of everything in this crate. A datapath with another one is not adopted.
pub const SCHEMA: u32 = 2;

/// Words of eight bytes in a row: the unit in which slots, deadlines, limits and slot counters are allocated and read.
pub const ROW_WORDS: usize = 512;

/// One row, 4 KiB.
pub type Row = [u64; ROW_WORDS];

/// The most services of one instance.
pub const MAX_SERVICES: u32 = 1024;

/// One more than the most backends of one instance: number 0 is nobody.
pub const MAX_BACKENDS: u32 = 16_384;

/// The names of the programs in the object.
pub mod program {
    /// The balancer.
    pub const MAGLEV: &str = "maglev";
    /// What takes the outer header off at a backend.
    pub const DECAP: &str = "maglev_decap";
}

/// The names of the maps: in the object, and under `maps/` in the instance's folder.
pub mod map {
    /// [`ServiceKey`](crate::ServiceKey) → [`ServiceRecord`](crate::ServiceRecord).
    pub const SERVICES: &str = "services";
    /// Backend number → [`BackendRecord`](crate::BackendRecord).
    pub const BACKENDS: &str = "backends";
    /// 0 → [`Settings`](crate::Settings).
    pub const SETTINGS: &str = "settings";
    /// Row → [`Row`](crate::Row) of [`SlotWord`](maglev_core::slot::SlotWord).
    pub const SLOTS: &str = "slots";
    /// Row → [`Row`](crate::Row) of [`Deadline`](maglev_core::slot::Deadline).
    pub const DEADLINES: &str = "deadlines";
    /// Row → [`Row`](crate::Row) of [`Deadline`](maglev_core::slot::Deadline): the last moment that one may be put off to.
    pub const SETTLE_LIMITS: &str = "settle_limits";
    /// Processor × rows + row → [`Row`](crate::Row) of packet counts.
    pub const SLOT_HITS: &str = "slot_hits";
    /// Backend number → [`BackendCounters`](crate::BackendCounters), per processor.
    pub const BACKEND_COUNTERS: &str = "backend_counters";
    /// Service number → [`ServiceCounters`](crate::ServiceCounters), per processor.
    pub const SERVICE_COUNTERS: &str = "service_counters";
    /// [`Verdict`](crate::Verdict) → packets, per processor.
    pub const VERDICTS: &str = "verdicts";
    /// Bucket → [`SettlingBucket`](crate::SettlingBucket).
    pub const SETTLING_FLOWS: &str = "settling_flows";
    /// [`FlowKey`](crate::FlowKey) → [`TrackedFlow`](crate::TrackedFlow), the least recently used forgotten first.
    pub const TRACKED_FLOWS: &str = "tracked_flows";
    /// Service number → [`ServiceIdentity`](crate::ServiceIdentity); the program does not read it.
    pub const SERVICE_IDENTITIES: &str = "service_ids";
    /// Backend number, with [`JOURNAL`](crate::JOURNAL) or without → [`BackendIdentity`](crate::BackendIdentity); the
    /// program does not read it. The loader makes room for the journal.
    pub const BACKEND_IDENTITIES: &str = "backend_ids";
    /// 0 → [`Meta`](crate::Meta); the program does not read it.
    pub const META: &str = "meta";
    /// Sequence number modulo [`EVENTS`](crate::EVENTS) → [`Event`](crate::Event); the program does not read it.
    pub const EVENTS: &str = "events";
    /// 0 → [`DecapSettings`](crate::DecapSettings); only the decapsulating program reads it.
    pub const DECAP_SETTINGS: &str = "decap_settings";
    /// The program's alone: the time as each processor last saw it.
    pub const CLOCK: &str = "clock";
    /// [`DecapVerdict`](crate::DecapVerdict) → packets, per processor.
    pub const DECAP_VERDICTS: &str = "decap_verdicts";
}

// The maps outlive the program that made them: a layout that shifts by accident would be read wrongly by the next one.
const _: () = {
    assert!(size_of::<Row>() == 4096);
    assert!(size_of::<ServiceKey>() == 20);
    assert!(size_of::<ServiceRecord>() == 48 && offset_of!(ServiceRecord, settle_milliseconds) == 24);
    assert!(size_of::<BackendRecord>() == 32 && offset_of!(BackendRecord, generation) == 16);
    assert!(size_of::<Settings>() == 48);
    assert!(size_of::<BackendCounters>() == 40);
    assert!(size_of::<ServiceCounters>() == 40);
    assert!(size_of::<FlowKey>() == 24);
    assert!(size_of::<SettlingFlow>() == 40);
    assert!(size_of::<SettlingBucket>() == 8 + 40 * FLOWS_PER_BUCKET);
    assert!(size_of::<TrackedFlow>() == 16);
    assert!(size_of::<DecapSettings>() == 8);
    assert!(size_of::<HealthSettings>() == 304);
    assert!(size_of::<ServiceIdentity>() == 448 && offset_of!(ServiceIdentity, health) == 144);
    assert!(size_of::<BackendIdentity>() == 120 && offset_of!(BackendIdentity, configured_weight) == 104);
    assert!(offset_of!(BackendIdentity, health_since) == 112);
    assert!(size_of::<Meta>() == 64 && offset_of!(Meta, state_version) == 16);
    assert!(offset_of!(Meta, phase) == 44 && offset_of!(Meta, decided) == 48);
    assert!(size_of::<Event>() == 320);
};
