//! The records that the XDP programs and the loader share: `no_std`, `repr(C)`, without padding that is not named,
//! and with their sizes and offsets asserted below. Another layout is another [`SCHEMA`].
//!
//! Numbers that come off the wire are in network order where a comment says so, and in the host's order elsewhere.

#![cfg_attr(not(test), no_std)]

use core::mem::{offset_of, size_of};

mod check;
mod counters;
mod decap;
mod flows;
mod fragments;
mod identity;
mod observer;
mod service;
mod trace;
mod verdict;

pub use check::{CheckKey, CheckRecord, OUTER_NONE, OUTER_V4, OUTER_V6, SIMULTANEOUS_CHECKS};
pub use counters::{BackendCounters, ServiceCounters};
pub use decap::DecapSettings;
pub use flows::{
    FLOWS_PER_BUCKET, FlowKey, SETTLING_BUCKETS, SettlingBucket, SettlingFlow, TRACKED_FLOWS, TrackedFlow,
    bpf_spin_lock,
};
pub use fragments::{
    FRAGMENTED_PACKETS, FirstFragment, FragmentKey, FragmentPorts, OBSERVED_FRAGMENTED_PACKETS,
};
pub use identity::{
    BackendIdentity, CHECK_HTTP, CHECK_NONE, CHECK_TCP, EVENTS, Event, HEALTH_HEALTHY, HEALTH_KEPT,
    HEALTH_UNHEALTHY, HEALTH_UNKNOWN, HealthSettings, JOURNAL, Meta, NAME_BYTES, PHASE_ENDING, PHASE_RUNNING,
    PHASE_STARTING, ServiceIdentity, VIA_DIRECT, VIA_TUNNEL,
};
pub use observer::{FrontendRecord, ObserverSettings};
pub use service::{
    AFFINITY_NONE, AFFINITY_SOURCE, BACKEND_ACTIVE, BACKEND_DRAINING, BACKEND_GONE, BackendRecord,
    FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, ServiceKey, ServiceRecord, Settings, TRACKING_ALWAYS,
    TRACKING_NEVER, TRACKING_SETTLING,
};
pub use trace::{TRACE_ROOM, TraceFilter, TraceRecord, TraceState};
pub use verdict::{DecapVerdict, ObserverVerdict, Verdict};

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

/// The most frontends that the observer on a Cilium node knows.
pub const MAX_FRONTENDS: u32 = 65_536;

/// The names of the programs in the objects.
pub mod program {
    /// The balancer.
    pub const MAGLEV: &str = "maglev";
    /// What takes the outer header off at a backend.
    pub const DECAP: &str = "maglev_decap";
    /// The balancer that traces, which is an object of its own.
    pub const TRACE: &str = "maglev_trace";
    /// The observer on a Cilium node, on an XDP hook.
    pub const OBSERVE_XDP: &str = "observe_xdp";
    /// The same at the ingress of traffic control.
    pub const OBSERVE_TCX: &str = "observe_tcx";
    /// What puts packets of checks into the tunnel, in an object of its own.
    pub const CHECK_OUT: &str = "maglev_check_out";
    /// What lets the answers be the backend's own, in the same object.
    pub const CHECK_IN: &str = "maglev_check_in";
}

/// The names of the observer's maps. They are pinned nowhere, and go with the process that observes.
pub mod observer_map {
    /// [`ServiceKey`](crate::ServiceKey) → [`FrontendRecord`](crate::FrontendRecord).
    pub const FRONTENDS: &str = "frontends";
    /// 0 → [`ObserverSettings`](crate::ObserverSettings).
    pub const SETTINGS: &str = "settings";
    /// Stripe × rows + row → [`Row`](crate::Row) of packet counts.
    pub const HITS: &str = "hits";
    /// Stripe × rows + row → [`Row`](crate::Row) of counts of connections begun.
    pub const CONNECTIONS: &str = "connections";
    /// The program's alone: [`FragmentKey`](crate::FragmentKey) → [`FragmentPorts`](crate::FragmentPorts), the least
    /// recently used forgotten first.
    pub const FRAGMENTS: &str = "fragments";
    /// [`ObserverVerdict`](crate::ObserverVerdict) → packets, per processor.
    pub const VERDICTS: &str = "verdicts";
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
    /// [`FragmentKey`](crate::FragmentKey) → [`FirstFragment`](crate::FirstFragment), the least recently used forgotten
    /// first.
    pub const FRAGMENTS: &str = "fragments";
    /// [`ServiceKey`](crate::ServiceKey) of an address alone, port and protocol 0 → 1: those whose echo requests are
    /// answered.
    pub const ADDRESSES: &str = "addresses";
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
    /// The program's alone: the packet in hand, where it is none of the usual kinds.
    pub const ASIDE: &str = "aside";
    /// The program's alone: what the kernel's routes are asked.
    pub const QUESTION: &str = "question";
    /// The program's alone: how many ICMP errors each processor may still send.
    pub const ERROR_ALLOWANCE: &str = "error_allowance";
    /// [`DecapVerdict`](crate::DecapVerdict) → packets, per processor.
    pub const DECAP_VERDICTS: &str = "decap_verdicts";
    /// 0 → the program that packets are handed over to, while somebody traces. It is pinned nowhere: the kernel empties
    /// it when the last process that has it open is gone, however it went.
    pub const TRACERS: &str = "tracers";
    /// 0 → [`TraceFilter`](crate::TraceFilter); the tracer's own.
    pub const TRACE_FILTER: &str = "trace_filter";
    /// 0 → [`TraceState`](crate::TraceState), per processor; the tracer's own.
    pub const TRACE_STATE: &str = "trace_state";
    /// A ring of [`TraceRecord`](crate::TraceRecord)s; the tracer's own.
    pub const TRACE_RECORDS: &str = "trace_records";

    /// [`CheckKey`](crate::CheckKey) → [`CheckRecord`](crate::CheckRecord): the connections of checks that take the way of
    /// clients' packets. It is pinned nowhere.
    pub const CHECKS: &str = "checks";

    /// Those that are pinned nowhere, and go with whoever has them open.
    pub const UNPINNED: [&str; 4] = [TRACERS, TRACE_FILTER, TRACE_STATE, TRACE_RECORDS];
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
    assert!(size_of::<TraceFilter>() == 40 && offset_of!(TraceFilter, deadline) == 16);
    assert!(size_of::<TraceRecord>() == 104 && offset_of!(TraceRecord, length) == 48);
    assert!(size_of::<TraceState>() == 128 && offset_of!(TraceState, record) == 24);
    assert!(size_of::<FlowKey>() == 24);
    assert!(size_of::<SettlingFlow>() == 40);
    assert!(size_of::<SettlingBucket>() == 8 + 40 * FLOWS_PER_BUCKET);
    assert!(size_of::<TrackedFlow>() == 16);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<FirstFragment>() == 24);
    assert!(size_of::<FragmentPorts>() == 4);
    assert!(size_of::<DecapSettings>() == 8);
    assert!(size_of::<FrontendRecord>() == 16 && offset_of!(FrontendRecord, affinity) == 12);
    assert!(size_of::<ObserverSettings>() == 24 && offset_of!(ObserverSettings, older_order) == 16);
    assert!(size_of::<HealthSettings>() == 304 && offset_of!(HealthSettings, port) == 4);
    assert!(size_of::<CheckKey>() == 20);
    assert!(size_of::<CheckRecord>() == 56 && offset_of!(CheckRecord, hash) == 52);
    assert!(size_of::<ServiceIdentity>() == 448 && offset_of!(ServiceIdentity, health) == 144);
    assert!(size_of::<BackendIdentity>() == 120 && offset_of!(BackendIdentity, configured_weight) == 104);
    assert!(offset_of!(BackendIdentity, health_since) == 112);
    assert!(size_of::<Meta>() == 64 && offset_of!(Meta, state_version) == 16);
    assert!(offset_of!(Meta, phase) == 44 && offset_of!(Meta, decided) == 48);
    assert!(size_of::<Event>() == 320);
};
