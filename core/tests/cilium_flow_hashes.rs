//! Every flow that Cilium's datapath hashed (`tests/vectors/cilium-flow-hashes.json`) falls into the same slot here.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_core::flow::{hash_v4, hash_v6};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Flow>,
}

#[derive(Deserialize)]
struct Flow {
    family: String,
    client_ip: IpAddr,
    client_port: u16,
    service_port: u16,
    proto: u8,
    session_affinity: bool,
    case: String,
    seed: u32,
    table_size: u32,
    hash: u32,
    slot: u32,
    backend_id_in_case_table: u32,
    hash_pre_pr37005: u32,
    slot_pre_pr37005: u32,
}

#[derive(Deserialize)]
struct Tables {
    cases: Vec<Table>,
}

#[derive(Deserialize)]
struct Table {
    name: String,
    table: Vec<u32>,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn hash(client: IpAddr, client_port: u16, service_port: u16, protocol: u8, seed: u32) -> u32 {
    match client {
        IpAddr::V4(client) => hash_v4(client.octets(), client_port, service_port, protocol, seed),
        IpAddr::V6(client) => hash_v6(client.octets(), client_port, service_port, protocol, seed),
    }
}

#[test]
fn every_flow_has_ciliums_hash_slot_and_backend() {
    let tables: BTreeMap<String, Vec<u32>> =
        read::<Tables>("cilium-tables.json").cases.into_iter().map(|case| (case.name, case.table)).collect();
    let flows = read::<Vectors>("cilium-flow-hashes.json").vectors;
    let of = |family: &str, affinity| {
        flows.iter().filter(|flow| flow.family == family && flow.session_affinity == affinity).count()
    };
    assert!(of("v4", false) > 0 && of("v4", true) > 0 && of("v6", false) > 0 && of("v6", true) > 0);

    for flow in &flows {
        let label = format!("{}:{} to port {}", flow.client_ip, flow.client_port, flow.service_port);
        let client_port = if flow.session_affinity { 0 } else { flow.client_port };
        let hash = hash(flow.client_ip, client_port, flow.service_port, flow.proto, flow.seed);
        assert_eq!(hash, flow.hash, "hash of {label}");
        assert_eq!(hash % flow.table_size, flow.slot, "slot of {label}");
        assert_eq!(
            tables[&flow.case][flow.slot as usize], flow.backend_id_in_case_table,
            "backend of {label}"
        );
    }
}

/// Cilium before 1.17 put the ports the other way round and hashed the client's port whatever the affinity.
#[test]
fn the_older_order_is_the_ports_exchanged() {
    for flow in &read::<Vectors>("cilium-flow-hashes.json").vectors {
        let hash = hash(flow.client_ip, flow.service_port, flow.client_port, flow.proto, flow.seed);
        assert_eq!(hash, flow.hash_pre_pr37005, "older hash of {}:{}", flow.client_ip, flow.client_port);
        assert_eq!(hash % flow.table_size, flow.slot_pre_pr37005);
    }
}
