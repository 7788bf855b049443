//! How long it takes to fill a table from its backends: `cargo bench -p maglev-core`.

use std::net::SocketAddr;

use maglev_core::{
    health::Health,
    seed::HashSeed,
    service::{Backend, BackendState, Protocol},
    table::LookupTable,
};

fn main() {
    divan::main();
}

fn backends(count: u32, weight: impl Fn(u32) -> u16) -> Vec<Backend> {
    (0..count)
        .map(|index| Backend {
            name: format!("backend-{index}"),
            address: SocketAddr::from(((0x0a00_0001 + index).to_be_bytes(), 8080)),
            weight: weight(index),
            state: BackendState::Active,
            health: Health::Unknown,
        })
        .collect()
}

fn run(bencher: divan::Bencher<'_, '_>, (table_size, count): (u32, u32), weight: impl Fn(u32) -> u16) {
    let backends = backends(count, weight);
    let seed = HashSeed::default();
    bencher.bench_local(|| {
        LookupTable::of_backends(divan::black_box(&backends), Protocol::Tcp, table_size, &seed)
    });
}

const CASES: [(u32, u32); 6] =
    [(16_381, 100), (65_537, 3), (65_537, 10), (65_537, 100), (65_537, 1000), (131_071, 1000)];

#[divan::bench(args = CASES, sample_count = 200)]
fn equal_weights(bencher: divan::Bencher<'_, '_>, case: (u32, u32)) {
    run(bencher, case, |_| 100);
}

#[divan::bench(args = CASES, sample_count = 200)]
fn unequal_weights(bencher: divan::Bencher<'_, '_>, case: (u32, u32)) {
    run(bencher, case, |index| u16::try_from(100 * (1 + (index % 5) * (index % 3 + 1))).unwrap_or(u16::MAX));
}
