//! The maps, under the names that `maglev_probe_abi::map` gives them. The loader sets the sizes of those of rows, and
//! may set others.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, bpf_fib_lookup},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use maglev_probe_abi::{
    BackendCounters, BackendIdentity, BackendRecord, DecapSettings, DecapVerdict, EVENTS, Event,
    FRAGMENTED_PACKETS, FirstFragment, FlowKey, FragmentKey, MAX_BACKENDS, MAX_SERVICES, Meta, Row,
    SETTLING_BUCKETS, ServiceCounters, ServiceIdentity, ServiceKey, ServiceRecord, Settings, SettlingBucket,
    TRACKED_FLOWS, TrackedFlow, Verdict,
};

use crate::{allowance::Allowance, aside::Aside, clock::Reading};

/// Rows that user space maps into its memory.
pub(crate) type Rows = Array<Row, 1, { BPF_F_MMAPABLE as usize }>;

/// By address, port and protocol.
#[btf_map(name = "services")]
pub(crate) static SERVICES: HashMap<ServiceKey, ServiceRecord, { MAX_SERVICES as usize }> = HashMap::new();

/// By number.
#[btf_map(name = "backends")]
pub(crate) static BACKENDS: Array<BackendRecord, { MAX_BACKENDS as usize }> = Array::new();

/// What holds for all services.
#[btf_map(name = "settings")]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();

/// Who owns what, and owned it before.
#[btf_map(name = "slots")]
pub(crate) static SLOTS: Rows = Rows::new();

/// Until when a slot settles.
#[btf_map(name = "deadlines")]
pub(crate) static DEADLINES: Rows = Rows::new();

/// Until when a slot settles at most.
#[btf_map(name = "settle_limits")]
pub(crate) static SETTLE_LIMITS: Rows = Rows::new();

/// Packets by processor and slot.
#[btf_map(name = "slot_hits")]
pub(crate) static SLOT_HITS: Rows = Rows::new();

/// By backend number.
#[btf_map(name = "backend_counters")]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<BackendCounters, { MAX_BACKENDS as usize }> =
    PerCpuArray::new();

/// By service number.
#[btf_map(name = "service_counters")]
pub(crate) static SERVICE_COUNTERS: PerCpuArray<ServiceCounters, { MAX_SERVICES as usize + 1 }> =
    PerCpuArray::new();

/// By verdict.
#[btf_map(name = "verdicts")]
pub(crate) static VERDICTS: PerCpuArray<u64, { Verdict::COUNT as usize }> = PerCpuArray::new();

/// The time, as a processor last saw it.
#[btf_map(name = "clock")]
pub(crate) static CLOCK: PerCpuArray<Reading, 1> = PerCpuArray::new();

/// Flows opened while their slot settles.
#[btf_map(name = "settling_flows")]
pub(crate) static SETTLING_FLOWS: Array<SettlingBucket, { SETTLING_BUCKETS as usize }> = Array::new();

/// Flows of services that track every flow.
#[btf_map(name = "tracked_flows")]
pub(crate) static TRACKED: LruHashMap<FlowKey, TrackedFlow, { TRACKED_FLOWS as usize }> = LruHashMap::new();

/// Where the first fragments of packets went.
#[btf_map(name = "fragments")]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FirstFragment, { FRAGMENTED_PACKETS as usize }> =
    LruHashMap::new();

/// The packet in hand, where it is none of the usual kinds.
#[btf_map(name = "aside")]
pub(crate) static ASIDE: PerCpuArray<Aside, 1> = PerCpuArray::new();

/// The addresses whose echo requests are answered: without port and protocol.
#[btf_map(name = "addresses")]
pub(crate) static ADDRESSES: HashMap<ServiceKey, u32, { MAX_SERVICES as usize }> = HashMap::new();

/// How many ICMP errors may be sent.
#[btf_map(name = "error_allowance")]
pub(crate) static ERROR_ALLOWANCE: PerCpuArray<Allowance, 1> = PerCpuArray::new();

/// What the kernel's routes are asked.
#[btf_map(name = "question")]
pub(crate) static QUESTION: PerCpuArray<bpf_fib_lookup, 1> = PerCpuArray::new();

/// By verdict of the decapsulating program.
#[btf_map(name = "decap_verdicts")]
pub(crate) static DECAP_VERDICTS: PerCpuArray<u64, { DecapVerdict::COUNT as usize }> = PerCpuArray::new();

/// What the decapsulating program takes.
#[btf_map(name = "decap_settings")]
pub(crate) static DECAP_SETTINGS: Array<DecapSettings, 1> = Array::new();

// User space's own, declared here so that one object makes all maps; being exported they stay, though no program
// reads them.

/// What is said of a service.
#[btf_map(name = "service_ids")]
static SERVICE_IDENTITIES: HashMap<u32, ServiceIdentity, { MAX_SERVICES as usize }> = HashMap::new();

/// What is said of a backend.
#[btf_map(name = "backend_ids")]
static BACKEND_IDENTITIES: HashMap<u32, BackendIdentity, { MAX_BACKENDS as usize }> = HashMap::new();

/// The state as a whole.
#[btf_map(name = "meta")]
static META: Array<Meta, 1> = Array::new();

/// What was changed.
#[btf_map(name = "events")]
static EVENT_RING: Array<Event, { EVENTS as usize }> = Array::new();
