//! The maps, under the names that `maglev_probe_abi::observer_map` gives them. The loader sets the sizes of those of rows.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use maglev_probe_abi::{
    FragmentKey, FragmentPorts, FrontendRecord, MAX_FRONTENDS, OBSERVED_FRAGMENTED_PACKETS, ObserverSettings,
    ObserverVerdict, Row, ServiceKey,
};

/// Rows that user space maps into its memory.
pub(super) type Rows = Array<Row, 1, { BPF_F_MMAPABLE as usize }>;

/// Those of Cilium's, by address, port and protocol.
#[btf_map(name = "frontends")]
pub(super) static FRONTENDS: HashMap<
    ServiceKey,
    FrontendRecord,
    { MAX_FRONTENDS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// What holds for all of them.
#[btf_map(name = "settings")]
pub(super) static SETTINGS: Array<ObserverSettings, 1> = Array::new();

/// Packets by stripe and slot.
#[btf_map(name = "hits")]
pub(super) static HITS: Rows = Rows::new();

/// Connections begun, likewise.
#[btf_map(name = "connections")]
pub(super) static CONNECTIONS: Rows = Rows::new();

/// Ports of first fragments, the least recently used forgotten first.
#[btf_map(name = "fragments")]
pub(super) static FRAGMENTS: LruHashMap<
    FragmentKey,
    FragmentPorts,
    { OBSERVED_FRAGMENTED_PACKETS as usize },
> = LruHashMap::new();

/// By verdict.
#[btf_map(name = "verdicts")]
pub(super) static VERDICTS: PerCpuArray<u64, { ObserverVerdict::COUNT as usize }> = PerCpuArray::new();
