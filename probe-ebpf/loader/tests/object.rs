//! The kept object is the one that its sources give, and has the maps that user space counts on.

#[path = "../../../xtask/src/sources.rs"]
mod sources;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use aya_obj::{Object, generated::bpf_map_type};
use maglev_probe_abi::{
    BackendCounters, BackendIdentity, BackendRecord, CheckKey, CheckRecord, DecapSettings, DecapVerdict,
    EVENTS, Event, FRAGMENTED_PACKETS, FirstFragment, FlowKey, FragmentKey, FragmentPorts, FrontendRecord,
    MAX_BACKENDS, MAX_FRONTENDS, MAX_SERVICES, Meta, OBSERVED_FRAGMENTED_PACKETS, ObserverSettings,
    ObserverVerdict, Row, SETTLING_BUCKETS, SIMULTANEOUS_CHECKS, ServiceCounters, ServiceIdentity,
    ServiceKey, ServiceRecord, Settings, SettlingBucket, TRACE_ROOM, TRACKED_FLOWS, TraceFilter, TraceState,
    TrackedFlow, Verdict, map, observer_map, program,
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_kept_object_is_what_its_sources_give() {
    let now = sources::digests(root()).unwrap();
    let recorded = fs::read_to_string(root().join(sources::RECORD)).unwrap_or_default();
    let recorded: BTreeMap<&str, &str> = recorded
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, path)| (path, digest))
        .collect();
    let mut differing: Vec<&str> = now
        .0
        .iter()
        .filter(|(path, digest)| recorded.get(path.as_str()) != Some(&digest.as_str()))
        .map(|(path, _)| path.as_str())
        .collect();
    differing.extend(recorded.keys().filter(|path| !now.0.contains_key(**path)));
    assert!(
        differing.is_empty(),
        "{} was built of other sources: {} changed since.\nBuild it again, and commit it: cargo xtask build-ebpf",
        sources::FOLDER,
        differing.join(", ")
    );
}

#[test]
fn the_object_has_the_maps_and_programs_that_user_space_counts_on() {
    const NO_PREALLOC: u32 = 1;
    const MMAPABLE: u32 = 1 << 10;
    use bpf_map_type::{
        BPF_MAP_TYPE_ARRAY as ARRAY, BPF_MAP_TYPE_HASH as HASH, BPF_MAP_TYPE_LRU_HASH as LRU_HASH,
        BPF_MAP_TYPE_PERCPU_ARRAY as PERCPU_ARRAY, BPF_MAP_TYPE_PROG_ARRAY as PROG_ARRAY,
        BPF_MAP_TYPE_RINGBUF as RINGBUF,
    };
    fn entry<K, V>(kind: bpf_map_type, entries: u32, flags: u32) -> [u32; 5] {
        [kind as u32, size(size_of::<K>()), size(size_of::<V>()), entries, flags]
    }
    fn size(bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap()
    }
    let path = env::var_os("MAGLEV_EBPF_OBJECT")
        .map_or_else(|| root().join(sources::FOLDER).join("maglev.bpf.o"), PathBuf::from);
    let mut expected = BTreeMap::from([
        (map::SERVICES, entry::<ServiceKey, ServiceRecord>(HASH, MAX_SERVICES, 0)),
        (map::BACKENDS, entry::<u32, BackendRecord>(ARRAY, MAX_BACKENDS, 0)),
        (map::SETTINGS, entry::<u32, Settings>(ARRAY, 1, 0)),
        (map::SLOTS, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (map::DEADLINES, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (map::SETTLE_LIMITS, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (map::SLOT_HITS, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (map::BACKEND_COUNTERS, entry::<u32, BackendCounters>(PERCPU_ARRAY, MAX_BACKENDS, 0)),
        (map::SERVICE_COUNTERS, entry::<u32, ServiceCounters>(PERCPU_ARRAY, MAX_SERVICES + 1, 0)),
        (map::ADDRESSES, entry::<ServiceKey, u32>(HASH, MAX_SERVICES, 0)),
        (map::ERROR_ALLOWANCE, entry::<u32, [u64; 2]>(PERCPU_ARRAY, 1, 0)),
        (map::FRAGMENTS, entry::<FragmentKey, FirstFragment>(LRU_HASH, FRAGMENTED_PACKETS, 0)),
        (map::ASIDE, entry::<u32, [u64; 16]>(PERCPU_ARRAY, 1, 0)),
        (map::QUESTION, entry::<u32, [u64; 8]>(PERCPU_ARRAY, 1, 0)),
        (map::CLOCK, entry::<u32, [u64; 2]>(PERCPU_ARRAY, 1, 0)),
        (map::VERDICTS, entry::<u32, u64>(PERCPU_ARRAY, Verdict::COUNT, 0)),
        (map::SETTLING_FLOWS, entry::<u32, SettlingBucket>(ARRAY, SETTLING_BUCKETS, 0)),
        (map::TRACKED_FLOWS, entry::<FlowKey, TrackedFlow>(LRU_HASH, TRACKED_FLOWS, 0)),
        (map::SERVICE_IDENTITIES, entry::<u32, ServiceIdentity>(HASH, MAX_SERVICES, 0)),
        (map::BACKEND_IDENTITIES, entry::<u32, BackendIdentity>(HASH, MAX_BACKENDS, 0)),
        (map::META, entry::<u32, Meta>(ARRAY, 1, 0)),
        (map::EVENTS, entry::<u32, Event>(ARRAY, EVENTS, 0)),
        (map::DECAP_SETTINGS, entry::<u32, DecapSettings>(ARRAY, 1, 0)),
        (map::DECAP_VERDICTS, entry::<u32, u64>(PERCPU_ARRAY, DecapVerdict::COUNT, 0)),
    ]);
    let tracers = [(map::TRACERS, entry::<u32, u32>(PROG_ARRAY, 1, 0))];
    let found = Found::read(&path);
    assert_eq!(found.maps(), expected.clone().into_iter().chain(tracers).collect());
    assert_eq!(found.programs(), [program::MAGLEV, program::DECAP]);

    // What is traced with runs on the same maps, and has some of its own.
    expected.extend([
        (map::TRACE_FILTER, entry::<u32, TraceFilter>(ARRAY, 1, 0)),
        (map::TRACE_STATE, entry::<u32, TraceState>(PERCPU_ARRAY, 1, 0)),
        (map::TRACE_RECORDS, [RINGBUF as u32, 0, 0, TRACE_ROOM, 0]),
    ]);
    let found = Found::read(&path.with_file_name("trace.bpf.o"));
    assert_eq!(found.maps(), expected);
    assert_eq!(found.programs(), [program::DECAP, program::TRACE]);

    // What observes a Cilium node has maps of its own alone.
    let found = Found::read(&path.with_file_name("observer.bpf.o"));
    let expected = BTreeMap::from([
        (observer_map::FRONTENDS, entry::<ServiceKey, FrontendRecord>(HASH, MAX_FRONTENDS, NO_PREALLOC)),
        (observer_map::SETTINGS, entry::<u32, ObserverSettings>(ARRAY, 1, 0)),
        (observer_map::HITS, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (observer_map::CONNECTIONS, entry::<u32, Row>(ARRAY, 1, MMAPABLE)),
        (
            observer_map::FRAGMENTS,
            entry::<FragmentKey, FragmentPorts>(LRU_HASH, OBSERVED_FRAGMENTED_PACKETS, 0),
        ),
        (observer_map::VERDICTS, entry::<u32, u64>(PERCPU_ARRAY, ObserverVerdict::COUNT, 0)),
    ]);
    assert_eq!(found.maps(), expected);
    assert_eq!(found.programs(), [program::OBSERVE_TCX, program::OBSERVE_XDP]);

    let found = Found::read(&path.with_file_name("health.bpf.o"));
    let checks = entry::<CheckKey, CheckRecord>(HASH, SIMULTANEOUS_CHECKS, 0);
    assert_eq!(found.maps(), BTreeMap::from([(map::CHECKS, checks)]));
    assert_eq!(found.programs(), [program::CHECK_IN, program::CHECK_OUT]);
}

/// An object that was built.
struct Found(Object);

impl Found {
    fn read(path: &Path) -> Self {
        Self(Object::parse(&fs::read(path).unwrap()).unwrap())
    }

    /// The type, key size, value size, entries and flags of its maps, by name.
    fn maps(&self) -> BTreeMap<&str, [u32; 5]> {
        let described = |map: &aya_obj::Map| {
            [map.map_type(), map.key_size(), map.value_size(), map.max_entries(), map.map_flags()]
        };
        self.0.maps.iter().map(|(name, map)| (name.as_str(), described(map))).collect()
    }

    fn programs(&self) -> Vec<&str> {
        let mut programs: Vec<&str> = self.0.programs.keys().map(String::as_str).collect();
        programs.sort_unstable();
        programs
    }
}
