//! What a service is: its address, its backends, and how its packets are hashed, tracked and forwarded.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    flow::{hash_v4, hash_v6},
    health::{Health, HealthCheck},
    seed::HashSeed,
    words::words,
};

/// The longest name of a service or backend, in bytes.
pub const MAX_NAME: usize = 63;

/// The weight of a backend of which nothing is said (Cilium's `DefaultBackendWeight`).
pub const DEFAULT_WEIGHT: u16 = 100;

/// The table size of a service of which nothing is said: Cilium's default.
pub const DEFAULT_TABLE_SIZE: u32 = 16_381;

/// The settle time of a service of which nothing is said.
pub const DEFAULT_SETTLE_TIME: Duration = Duration::from_secs(600);

/// A service: one address, port and protocol, and the backends that share its flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique in a configuration, at most [`MAX_NAME`] bytes.
    pub name: String,
    /// The address and port that clients send to.
    pub address: SocketAddr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The number of slots of its lookup table: a prime.
    pub table_size: u32,
    /// How a packet gets to its backend.
    pub forwarding: Forwarding,
    /// What of a client is hashed.
    pub affinity: Affinity,
    /// Which flows are remembered.
    pub tracking: Tracking,
    /// How long a slot that changed owner holds silent flows at the owner before.
    pub settle_time: Duration,
    /// The longest that a slot goes on settling, however busy its flows are; `None` for no limit.
    pub settle_limit: Option<Duration>,
    /// What is checked of its backends; `None` where nothing is.
    pub health: Option<HealthCheck>,
    /// The backends, in the order of the configuration. The order does not matter to the table.
    pub backends: Vec<Backend>,
}

/// A backend of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// Its name, unique in its service, at most [`MAX_NAME`] bytes.
    pub name: String,
    /// Its address and port. The port counts for the table; packets keep the port that they were sent to.
    pub address: SocketAddr,
    /// Its weight, 1 to 65535.
    pub weight: u16,
    /// Whether the operator lets it get new flows.
    pub state: BackendState,
    /// What its checks say of it; no part of a configuration.
    pub health: Health,
}

/// Whether a backend gets new flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendState {
    /// It has slots and gets new flows.
    #[default]
    Active,
    /// It has no slots; flows that it has stay with it.
    Draining,
}

/// The transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
}

/// How a packet gets to its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// Inside an outer IPv4 or IPv6 header; the backend answers the client directly.
    Ipip,
    /// With the backend's MAC address; the backend is on the same segment.
    L2,
    /// Not at all: it is counted and passed to this host's own stack.
    Observe,
}

/// What of a client is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// Address and port: each flow for itself.
    #[default]
    None,
    /// The address alone: all flows of a client go to one backend.
    SourceIp,
}

/// Which flows of a service are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// Those opened while their slot settles (TCP alone).
    Settling,
    /// Every flow, the least recently used forgotten first.
    Always,
    /// None: the table alone decides.
    Never,
}

words! {
    BackendState { Active => "active", Draining => "draining" }
    Protocol { Tcp => "tcp", Udp => "udp" }
    Forwarding { Ipip => "ipip", L2 => "l2", Observe => "observe" }
    Affinity { None => "none", SourceIp => "source-ip" }
    Tracking { Settling => "settling", Always => "always", Never => "never" }
}

impl Protocol {
    /// The protocol's number in an IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// What a service of this protocol tracks when its configuration does not say.
    #[must_use]
    pub const fn default_tracking(self) -> Tracking {
        match self {
            Self::Tcp => Tracking::Settling,
            Self::Udp => Tracking::Always,
        }
    }
}

impl Backend {
    /// Whether it has slots and gets new flows: it is active, and not unhealthy.
    #[must_use]
    pub fn gets_flows(&self) -> bool {
        self.state == BackendState::Active && self.health != Health::Unhealthy
    }
}

impl Service {
    /// The backends that get slots.
    pub fn active_backends(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(|backend| backend.gets_flows())
    }

    /// The hash of a client's flow, as the program computes it; modulo the table's size it is the flow's slot.
    #[must_use]
    pub const fn flow_hash(&self, seed: &HashSeed, client: SocketAddr) -> u32 {
        let client_port = match self.affinity {
            Affinity::None => client.port(),
            Affinity::SourceIp => 0,
        };
        let (port, protocol) = (self.address.port(), self.protocol.number());
        match client.ip() {
            IpAddr::V4(address) => hash_v4(address.octets(), client_port, port, protocol, seed.jhash_v4()),
            IpAddr::V6(address) => hash_v6(address.octets(), client_port, port, protocol, seed.jhash_v6()),
        }
    }

    /// The backend of that name.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}
