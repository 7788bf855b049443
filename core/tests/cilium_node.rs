//! Verification on tables that Cilium's own code built: right ones match, weights are found, a flipped slot is.

use std::collections::BTreeMap;

use maglev_core::{
    cilium::{
        BackendRecord, BackendState, Family, FrontendFlags, InnerTable, Node, Reason, ServiceKey,
        ServiceValue, Snapshot, TablePresence, Verdict, WeightFit, recognises, verify,
    },
    seed::HashSeed,
};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/cilium-tables.json");
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// A node whose one service has the case's backends and table.
fn node(case: &Value) -> Node {
    let address = "192.0.2.10:80".parse().unwrap();
    let backends = case["backends"].as_array().unwrap();
    let mut snapshot = Snapshot { maglev: [Family::V4].into(), ..Snapshot::default() };
    let mut entry = |slot, word, count| {
        let flags = FrontendFlags(if slot == 0 { FrontendFlags::LOAD_BALANCER } else { 0 });
        let value = ServiceValue { word, count, id: 5, flags, unusable: 0 };
        snapshot.services.push((ServiceKey { address, slot, protocol: 6, internal: false }, value));
    };
    entry(0, 0, u16::try_from(backends.len()).unwrap());
    for (slot, backend) in (1..).zip(backends) {
        entry(slot, number(&backend["id"]), 0);
    }
    for backend in backends {
        let ip = backend["addr"].as_str().unwrap().parse().unwrap();
        let record = BackendRecord {
            address: std::net::SocketAddr::new(ip, u16::try_from(number(&backend["port"])).unwrap()),
            protocol: if backend["proto"] == "UDP" { 17 } else { 6 },
            state: BackendState::Active,
            cluster: 0,
        };
        assert_eq!(record.key(), backend["hash_string"].as_str().unwrap());
        snapshot.backends.insert(number(&backend["id"]), record);
    }
    let slots = case["table"].as_array().unwrap().iter().map(number).collect();
    snapshot.tables.insert((Family::V4, 5), InnerTable { map: 7, slots, bytes: 0 });
    Node::of(snapshot)
}

fn seed(case: &Value) -> HashSeed {
    case["hash_seed_base64"].as_str().unwrap().parse().unwrap()
}

#[test]
fn ciliums_own_tables_match_or_are_said_to_need_weights() {
    let mut seen = BTreeMap::new();
    for case in cases() {
        let node = node(&case);
        let name = case["name"].as_str().unwrap().to_owned();
        let verification = verify(&node.frontends[0], &seed(&case));
        assert_ne!(verification.verdict, Verdict::Differs, "{name}: {:?}", verification.reason);
        seen.insert(name, verification);
    }
    let verdict = |name: &str| (seen[name].verdict, seen[name].weights.clone());
    for name in ["pub-01-M251-N3-w1", "pub-03-M1021-N10-seedB", "pub-05-M16381-N50", "pub-07-M251-N1"] {
        assert_eq!(verdict(name), (Verdict::Matches, WeightFit::Equal), "{name}");
    }
    let (verdict, weights) = verdict("pub-02-M509-N4-weighted");
    assert_eq!(verdict, Verdict::Matches);
    let WeightFit::Inferred(weights) = weights else { panic!("{weights:?}") };
    assert!(weights.iter().max() > weights.iter().min(), "{weights:?}");
}

#[test]
fn a_flipped_slot_is_found() {
    for name in ["pub-01-M251-N3-w1", "pub-05-M16381-N50"] {
        let case = cases().into_iter().find(|case| case["name"] == name).unwrap();
        let mut node = node(&case);
        let frontend = &mut node.frontends[0];
        let table = frontend.table.as_mut().unwrap();
        let other = *table.slots.iter().find(|&&id| id != table.slots[17]).unwrap();
        let right = std::mem::replace(&mut table.slots[17], other);
        let verification = verify(frontend, &seed(&case));
        assert_eq!(verification.verdict, Verdict::Differs, "{name}: {:?}", verification.reason);
        let found: Vec<_> =
            verification.differing.iter().map(|one| (one.slot, one.kernel, one.expected)).collect();
        assert_eq!(found, [(17, other, right)], "{name}");
    }
}

#[test]
fn another_seed_is_no_fault() {
    let case = cases().into_iter().find(|case| case["name"] == "pub-05-M16381-N50").unwrap();
    let other = "cUnyPf8gC7rYyRUy".parse().unwrap();
    assert_ne!(other, seed(&case));
    let verification = verify(&node(&case).frontends[0], &other);
    assert_eq!(verification.verdict, Verdict::Unexplained);
    assert!(verification.reason.unwrap().contains("another seed"));
    assert!(verification.differing.is_empty());
}

#[test]
fn the_default_seed_is_recognised_and_no_other_taken_for_it() {
    for case in cases() {
        let several = case["backends"].as_array().unwrap().len() > 1;
        let default = seed(&case) == HashSeed::default();
        let recognised = recognises(&node(&case).frontends[0], &HashSeed::default());
        assert_eq!(recognised, several && default, "{}", case["name"]);
    }
}

#[test]
fn what_has_no_table_is_told_why() {
    let case = &cases()[0];
    let base = node(case).frontends.remove(0);
    let told = |edit: &dyn Fn(&mut maglev_core::cilium::Frontend)| {
        let mut frontend = base.clone();
        edit(&mut frontend);
        let explanation = frontend.explain();
        (explanation.table, explanation.reason)
    };
    assert_eq!(told(&|_| ()), (TablePresence::Present, None));
    assert_eq!(told(&|one| one.usable.clear()), (TablePresence::Stale, Some(Reason::NoBackends)));
    assert_eq!(told(&|one| one.table = None), (TablePresence::Absent, Some(Reason::Unknown)));
    assert_eq!(
        told(&|one| {
            one.table = None;
            one.flags.0 |= FrontendFlags::L7;
            one.usable.clear();
        }),
        (TablePresence::Absent, Some(Reason::L7Redirect))
    );
    assert_eq!(
        told(&|one| {
            one.table = None;
            one.address.set_ip([0, 0, 0, 0].into());
        }),
        (TablePresence::Absent, Some(Reason::Wildcard))
    );
    assert_eq!(
        told(&|one| {
            one.table = None;
            one.maglev = false;
        }),
        (TablePresence::Absent, Some(Reason::Random))
    );
}
