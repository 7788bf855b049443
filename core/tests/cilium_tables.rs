//! Every table that Cilium's own code built (`tests/vectors/cilium-tables.json`) is built here bit for bit.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use maglev_core::{
    health::Health,
    permutation::{Permutation, backend_key, murmur3_x64_128},
    plan::Plan,
    seed::HashSeed,
    service::{Affinity, Backend, BackendState, Forwarding, Protocol, Service, Tracking},
    table::{LookupTable, NO_BACKEND, Turn},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    hash_seed_base64: String,
    seed_murmur: u32,
    seed_jhash_v4: u32,
    seed_jhash_v6: u32,
    table_size: u32,
    backends: Vec<CaseBackend>,
    slot_counts: BTreeMap<String, u32>,
    table_sha256_le_u32: String,
    table: Vec<u32>,
    pair_of: Option<String>,
    slots_changed_vs_pair: Option<u32>,
}

#[derive(Deserialize)]
struct CaseBackend {
    id: u32,
    addr: String,
    port: u16,
    proto: String,
    weight: u16,
    hash_string: String,
    murmur3_h1: String,
    murmur3_h2: String,
    offset: u32,
    skip: u32,
}

impl CaseBackend {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.addr.parse().expect("the vectors hold addresses"), self.port)
    }

    fn protocol(&self) -> Protocol {
        match self.proto.as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            other => panic!("the vectors hold a protocol {other}"),
        }
    }
}

impl Case {
    fn seed(&self) -> HashSeed {
        self.hash_seed_base64.parse().expect("the vectors hold seeds")
    }

    fn table(&self) -> LookupTable {
        let turns = self
            .backends
            .iter()
            .map(|backend| Turn {
                owner: backend.id,
                key: backend_key(backend.address(), backend.protocol()),
                weight: u32::from(backend.weight),
            })
            .collect();
        LookupTable::fill(turns, self.table_size, self.seed().murmur())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn service(&self) -> Service {
        Service {
            name: "web".to_owned(),
            address: "192.0.2.10:80".parse().expect("an address"),
            protocol: Protocol::Tcp,
            table_size: self.table_size,
            forwarding: Forwarding::Ipip,
            affinity: Affinity::None,
            tracking: Tracking::Settling,
            settle_time: std::time::Duration::from_secs(600),
            settle_limit: None,
            health: None,
            backends: self
                .backends
                .iter()
                .map(|backend| Backend {
                    name: format!("b{}", backend.id),
                    address: backend.address(),
                    weight: backend.weight,
                    state: BackendState::Active,
                    health: Health::Unknown,
                })
                .collect(),
        }
    }
}

fn vectors() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/cilium-tables.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let vectors: Vectors = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    vectors.cases
}

fn case(name: &str) -> Case {
    vectors()
        .into_iter()
        .find(|case| case.name == name)
        .unwrap_or_else(|| panic!("the vectors hold no case {name}"))
}

fn word(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("the vectors hold hexadecimal words")
}

/// Everything that a case says is so.
fn check(name: &str) {
    let case = case(name);
    let seed = case.seed();
    assert_eq!(
        (seed.murmur(), seed.jhash_v4(), seed.jhash_v6()),
        (case.seed_murmur, case.seed_jhash_v4, case.seed_jhash_v6),
        "{name}: the seed's words"
    );

    for backend in &case.backends {
        let key = backend_key(backend.address(), backend.protocol());
        let id = backend.id;
        assert_eq!(key, backend.hash_string, "{name}: what is hashed of backend {id}");
        assert_eq!(
            murmur3_x64_128(key.as_bytes(), seed.murmur()),
            (word(&backend.murmur3_h1), word(&backend.murmur3_h2)),
            "{name}: murmur3 of backend {id}"
        );
        assert_eq!(
            Permutation::new(&key, seed.murmur(), case.table_size),
            Permutation { offset: backend.offset, skip: backend.skip },
            "{name}: permutation of backend {id}"
        );
    }

    let table = case.table();
    assert_eq!(table.slots().len(), case.table.len(), "{name}: number of slots");
    if let Some((slot, (built, expected))) =
        table.slots().iter().zip(&case.table).enumerate().find(|(_, (built, expected))| built != expected)
    {
        panic!("{name}: the first slot that differs is {slot}: {built} here, {expected} in Cilium's table");
    }

    let mut counts = BTreeMap::new();
    for owner in table.slots() {
        *counts.entry(owner.to_string()).or_insert(0) += 1;
    }
    assert_eq!(counts, case.slot_counts, "{name}: slots of each backend");

    let bytes: Vec<u8> = table.slots().iter().flat_map(|owner| owner.to_le_bytes()).collect();
    let digest = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes what is written");
        text
    });
    assert_eq!(digest, case.table_sha256_le_u32, "{name}: the table's digest");

    if case.backends.iter().all(|backend| backend.protocol() == Protocol::Tcp) {
        check_service(&case);
    }
    if let (Some(pair), Some(changed)) = (&case.pair_of, case.slots_changed_vs_pair) {
        check_pair(&case, pair, changed);
    }
}

/// The same table, built from a service: owners are indexes into its backends.
fn check_service(case: &Case) {
    let service = case.service();
    let table = LookupTable::of_service(&service, &case.seed()).expect("the size is right");
    let ids = table.slots().iter().map(|&owner| case.backends[owner as usize].id);
    if let Some((slot, _)) =
        ids.zip(&case.table).enumerate().find(|(_, (built, expected))| built != *expected)
    {
        panic!("{}: the table of the service differs first in slot {slot}", case.name);
    }
}

/// What the plan from the pair's table to this one moves is what differs between Cilium's two tables.
fn check_pair(case_after: &Case, pair: &str, changed: u32) {
    let name = &case_after.name;
    let case_before = case(pair);
    let plan = Plan::between(&case_before.service(), &case_after.service(), &case_after.seed())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(plan.moved, changed, "{name}: slots that differ from {pair}");
    let named = |owners: &[u32], slot: usize| match owners[slot] {
        NO_BACKEND => panic!("{name}: nobody owns slot {slot}"),
        owner => plan.backends[owner as usize].name.clone(),
    };
    for slot in 0..plan.before.len() {
        assert_eq!(
            named(&plan.before, slot),
            format!("b{}", case_before.table[slot]),
            "{pair}: slot {slot} in the plan"
        );
        assert_eq!(
            named(&plan.after, slot),
            format!("b{}", case_after.table[slot]),
            "{name}: slot {slot} in the plan"
        );
    }
}

macro_rules! cases {
    ($($test:ident => $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { check($name); })+

        #[test]
        fn every_case_of_the_vectors_is_a_test() {
            let names: Vec<_> = vectors().into_iter().map(|case| case.name).collect();
            assert_eq!(names, [$($name),+]);
        }
    };
}

cases! {
    three_backends_of_weight_one => "pub-01-M251-N3-w1",
    four_backends_of_unlike_weights => "pub-02-M509-N4-weighted",
    another_seed_and_mixed_protocols => "pub-03-M1021-N10-seedB",
    weighted_ipv6 => "pub-04-M4093-N25-weighted-v6",
    fifty_backends => "pub-05-M16381-N50",
    one_of_fifty_removed => "pub-06-M16381-N49-removal",
    a_single_backend => "pub-07-M251-N1",
}
