//! What is simulated where nothing else is said: the services of `maglev-top demo`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use maglev_core::health::Health;
use maglev_core::service::{
    Affinity, Backend, BackendState, DEFAULT_WEIGHT, Forwarding, Protocol, Service, Tracking,
};

/// `web` over TCP with a table of 16,381 slots and `dns` over UDP with one of 509, on five backends.
#[must_use]
pub fn demonstration() -> Vec<Service> {
    let service = |name: &str, last, port, protocol: Protocol, table_size, tracking| Service {
        name: name.to_owned(),
        address: SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), port)),
        protocol,
        table_size,
        forwarding: Forwarding::Ipip,
        affinity: Affinity::None,
        tracking,
        settle_time: Duration::from_secs(10),
        settle_limit: None,
        health: None,
        backends: (1..=5).map(|number| backend(number, port)).collect(),
    };
    vec![
        service("web", 10, 80, Protocol::Tcp, 16_381, Tracking::Settling),
        service("dns", 53, 53, Protocol::Udp, 509, Tracking::Always),
    ]
}

/// Two more machines that are in no service.
#[must_use]
pub fn spares() -> Vec<Backend> {
    vec![backend(6, 80), backend(7, 80)]
}

fn backend(number: u8, port: u16) -> Backend {
    Backend {
        name: format!("b{number}"),
        address: SocketAddr::from((Ipv4Addr::new(10, 0, 1, 10 + number), port)),
        weight: DEFAULT_WEIGHT,
        state: BackendState::Active,
        health: Health::Unknown,
    }
}
