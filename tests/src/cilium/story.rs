//! The node of the story: a load balancer's service, one with a node port, a Gateway's, and one of every other kind.

use maglev_core::{
    seed::HashSeed,
    table::{LookupTable, Turn},
};

use super::rig::{Frontend, Rig};

const LOAD_BALANCER: u16 = 0x60;
const NODE_PORT: u16 = 0x42;

/// The table of backends of those ids at `10.244.0.<id>:8080`.
///
/// # Panics
///
/// When no table has that size.
#[must_use]
pub fn table_of(ids: &[u32], size: u32) -> Vec<u32> {
    let turn =
        |&id: &u32| Turn { owner: id, key: format!("[10.244.0.{id}:8080/TCP,State:active]"), weight: 100 };
    let turns = ids.iter().map(turn).collect();
    LookupTable::fill(turns, size, HashSeed::default().murmur()).unwrap().slots().to_vec()
}

/// The story's node and more: a service of every kind; `None` without the privileges, which is said.
///
/// # Panics
///
/// When its maps cannot be written.
#[must_use]
pub fn story() -> Option<Rig> {
    let rig = Rig::new(251)?;
    for (id, state) in [(1, 0), (2, 0), (3, 0), (4, 1), (5, 2)] {
        rig.backend(id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, state);
    }
    rig.backend(9, "[fd00::9]:8080".parse().unwrap(), 6, 0);
    let all: &[u32] = &[1, 2, 3];
    let service = |id, address, flags, word, usable, unusable| {
        rig.frontend(&Frontend { id, address, flags, word, usable, unusable });
    };
    service(5, "192.0.2.10:80", LOAD_BALANCER, 0, all, &[4, 5]);
    service(6, "192.0.2.11:443", LOAD_BALANCER | 0x0400, u32::from(15_735_u16.to_be()), &[], &[]);
    service(7, "0.0.0.0:30080", NODE_PORT, 0, all, &[]);
    service(8, "10.0.0.5:30080", NODE_PORT, 0, all, &[]);
    service(9, "10.96.0.10:80", 0, 0, all, &[]);
    service(10, "198.51.100.1:80", 0x41, 10_800, &[1, 2], &[]);
    service(11, "10.0.0.5:8080", 0x48, 0, &[1], &[]);
    service(12, "192.0.2.12:80", LOAD_BALANCER, 0, &[], &[4]);
    service(13, "192.0.2.13:80", LOAD_BALANCER | 0x10, 10_800, all, &[]);
    service(14, "[2001:db8::10]:80", LOAD_BALANCER, 0, &[9], &[]);
    service(15, "192.0.2.15:80", LOAD_BALANCER, 1 << 24, all, &[]);
    service(16, "169.254.20.10:53", 0x0100, 0, &[1], &[]);
    for id in [5, 8, 12, 13] {
        rig.table(id, false, &table_of(all, 251));
    }
    rig.table(10, false, &table_of(&[1, 2], 251));
    rig.table(11, false, &table_of(&[1], 251));
    rig.table(14, true, &[9; 251]);
    Some(rig)
}
