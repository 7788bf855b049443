//! Which of Cilium's maps are known, and of which shape.

use maglev_core::cilium::Family;

pub(super) const HASH: u32 = 1;
pub(super) const ARRAY: u32 = 2;
pub(super) const LRU_HASH: u32 = 9;
pub(super) const HASH_OF_MAPS: u32 = 13;

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Services(Family),
    Backends(Family),
    ReverseNat(Family),
    Maglev(Family),
    /// Its entries are counted, and not looked into.
    Counted,
}

/// A map that is known: its name, what it is for, and its type, key size and value size.
pub(super) type Layout = (&'static str, Purpose, (u32, usize, usize));

pub(super) const KNOWN: [Layout; 11] = [
    ("cilium_lb4_services_v2", Purpose::Services(Family::V4), (HASH, 12, 12)),
    ("cilium_lb6_services_v2", Purpose::Services(Family::V6), (HASH, 24, 12)),
    ("cilium_lb4_backends_v3", Purpose::Backends(Family::V4), (HASH, 4, 12)),
    ("cilium_lb6_backends_v3", Purpose::Backends(Family::V6), (HASH, 4, 24)),
    ("cilium_lb4_reverse_nat", Purpose::ReverseNat(Family::V4), (HASH, 2, 6)),
    ("cilium_lb6_reverse_nat", Purpose::ReverseNat(Family::V6), (HASH, 2, 18)),
    ("cilium_lb4_maglev", Purpose::Maglev(Family::V4), (HASH_OF_MAPS, 2, 4)),
    ("cilium_lb6_maglev", Purpose::Maglev(Family::V6), (HASH_OF_MAPS, 2, 4)),
    ("cilium_lb4_affinity", Purpose::Counted, (LRU_HASH, 16, 16)),
    ("cilium_lb6_affinity", Purpose::Counted, (LRU_HASH, 24, 16)),
    ("cilium_lb_affinity_match", Purpose::Counted, (HASH, 8, 1)),
];

/// The type's name, as `bpftool` has it.
pub(super) fn type_name(kind: u32) -> String {
    match kind {
        HASH => "hash".to_owned(),
        ARRAY => "array".to_owned(),
        LRU_HASH => "lru_hash".to_owned(),
        HASH_OF_MAPS => "hash_of_maps".to_owned(),
        5 => "percpu_hash".to_owned(),
        6 => "percpu_array".to_owned(),
        10 => "lru_percpu_hash".to_owned(),
        11 => "lpm_trie".to_owned(),
        other => format!("map of type {other}"),
    }
}

/// A shape in words.
pub(super) fn shape((kind, key, value): (u32, usize, usize)) -> String {
    format!("{} with keys of {key} and values of {value} bytes", type_name(kind))
}
