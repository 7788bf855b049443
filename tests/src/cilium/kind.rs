//! The node that `docs/cilium-nodes.md` walks: Cilium in a kind cluster, with a table size and a seed of its own.

use maglev_core::{
    seed::HashSeed,
    table::{LookupTable, Turn},
};

use super::rig::{Frontend, Rig};

/// The cluster's `maglev.hashSeed`.
pub(super) const SEED: &str = "cUnyPf8gC7rYyRUy";

/// What `kubectl get services -A -o json` prints, of which names are taken.
pub const SERVICES: &str = r#"{"items": [
  {"metadata": {"name": "nginx", "namespace": "default"},
   "spec": {"clusterIP": "10.96.83.12", "ports": [{"port": 80, "nodePort": 31080}]},
   "status": {"loadBalancer": {"ingress": [{"ip": "172.18.255.200"}]}}},
  {"metadata": {"name": "echo", "namespace": "default"},
   "spec": {"clusterIP": "10.96.120.7", "ports": [{"port": 8080, "nodePort": 30080}]}},
  {"metadata": {"name": "cilium-gateway-http", "namespace": "default"},
   "spec": {"clusterIP": "10.96.44.1", "ports": [{"port": 80}]},
   "status": {"loadBalancer": {"ingress": [{"ip": "172.18.255.201"}]}}},
  {"metadata": {"name": "httpbin", "namespace": "default"},
   "spec": {"clusterIP": "10.96.200.5", "ports": [{"port": 8000}]}}
]}"#;

const PODS: [(u32, &str); 7] = [
    (1, "10.244.1.17:80"),
    (2, "10.244.1.42:80"),
    (3, "10.244.2.9:80"),
    (4, "10.244.1.30:8080"),
    (5, "10.244.2.31:8080"),
    (6, "10.244.1.50:80"),
    (7, "10.244.2.77:80"),
];

/// Tables of Cilium's size of the chart's `maglev.tableSize=251`.
const SIZE: u32 = 251;

/// The node, with three pods behind nginx; `None` without the privileges, which is said.
///
/// # Panics
///
/// When its maps cannot be written.
#[must_use]
pub fn kind_node() -> Option<Rig> {
    let rig = Rig::new(SIZE)?;
    for (id, address) in PODS.into_iter().take(6) {
        rig.backend(id, address.parse().unwrap(), 6, 0);
    }
    let service = |id, address, flags, word, usable| {
        rig.frontend(&Frontend { id, address, flags, word, usable, unusable: &[] });
    };
    let envoy = u32::from(15_735_u16.to_be());
    nginx(&rig, &[1, 2, 3]);
    for (id, address, flags) in
        [(8, "10.96.120.7:8080", 0), (9, "0.0.0.0:30080", 0x42), (10, "172.18.0.3:30080", 0x42)]
    {
        service(id, address, flags, 0, &[4, 5]);
    }
    rig.table(10, false, &table(&[4, 5]));
    service(11, "10.96.44.1:80", 0x0400, envoy, &[]);
    service(12, "172.18.255.201:80", 0x0460, envoy, &[]);
    service(13, "10.96.200.5:8000", 0, 0, &[6]);
    Some(rig)
}

/// A fourth pod behind nginx.
///
/// # Panics
///
/// When the maps cannot be written.
pub fn scale_up(rig: &Rig) {
    let (id, address) = PODS[6];
    rig.backend(id, address.parse().unwrap(), 6, 0);
    nginx(rig, &[1, 2, 3, 7]);
}

fn nginx(rig: &Rig, pods: &[u32]) {
    for (id, address, flags, has_table) in [
        (4, "10.96.83.12:80", 0, false),
        (5, "172.18.255.200:80", 0x60, true),
        (6, "0.0.0.0:31080", 0x42, false),
        (7, "172.18.0.3:31080", 0x42, true),
    ] {
        rig.frontend(&Frontend { id, address, flags, word: 0, usable: pods, unusable: &[] });
        if has_table {
            rig.table(id, false, &table(pods));
        }
    }
}

fn table(pods: &[u32]) -> Vec<u32> {
    let seed: HashSeed = SEED.parse().expect("a seed");
    let turns = PODS.iter().filter(|(id, _)| pods.contains(id)).map(|(id, address)| Turn {
        owner: *id,
        key: format!("[{address}/TCP,State:active]"),
        weight: 100,
    });
    LookupTable::fill(turns.collect(), SIZE, seed.murmur()).expect("a table").slots().to_vec()
}
