//! The records of Cilium's maps, byte by byte. What came off the wire, ports and service ids are big-endian; counts,
//! slots and backend ids are the host's.

use std::net::{IpAddr, SocketAddr};

use crate::words::words;

/// The address family of a map: its layouts differ in the length of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

words! {
    Family { V4 => "v4", V6 => "v6" }
    BackendState {
        Active => "active", Terminating => "terminating", Quarantined => "quarantined", Maintenance => "maintenance",
        Unknown => "unknown",
    }
}

/// A key of `cilium_lb4_services_v2` or `cilium_lb6_services_v2` (`struct lb4_key`, `struct lb6_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// The address and port that clients send to.
    pub address: SocketAddr,
    /// 0 for the service itself, else the number of one of its backends.
    pub slot: u16,
    /// The IP protocol; 0 for any.
    pub protocol: u8,
    /// Whether it is the scope of clients in the cluster (`internalTrafficPolicy`).
    pub internal: bool,
}

/// A value of the same maps (`struct lb4_service`, `struct lb6_service`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceValue {
    /// What the first four bytes mean depends on the slot and the flags.
    pub word: u32,
    /// Usable backends; in slot 0 alone.
    pub count: u16,
    /// The service's id: the index of its reverse NAT entry, and of its table.
    pub id: u16,
    /// The flags.
    pub flags: FrontendFlags,
    /// Backends that are not usable and follow the usable ones; in slot 0 alone.
    pub unusable: u16,
}

/// A value of `cilium_lb4_backends_v3` or `cilium_lb6_backends_v3` (`struct lb4_backend`, `struct lb6_backend`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendRecord {
    /// Address and port.
    pub address: SocketAddr,
    /// The IP protocol; 0 for any.
    pub protocol: u8,
    /// Its state.
    pub state: BackendState,
    /// The cluster that it is in; 0 for this one.
    pub cluster: u16,
}

/// The state of a backend in Cilium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendState {
    /// It gets new flows.
    Active,
    /// Its pod is ending; it gets new flows only where no backend is active.
    Terminating,
    /// Health checks fail.
    Quarantined,
    /// It was taken out by hand.
    Maintenance,
    /// It is not in the map, or its state is none that is known.
    Unknown,
}

/// The algorithm that a service asks for by annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Any usable backend.
    Random,
    /// The lookup table.
    Maglev,
}

/// A service's flags: the first byte, and the second above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontendFlags(pub u16);

/// Flags beside the type, in the order in which Cilium names them.
const NAMED: [(u16, &str); 11] = [
    (FrontendFlags::EXTERNAL_LOCAL, "local"),
    (FrontendFlags::INTERNAL_LOCAL, "internal-local"),
    (FrontendFlags::TWO_SCOPES, "two-scopes"),
    (FrontendFlags::AFFINITY, "session-affinity"),
    (FrontendFlags::ROUTABLE, "routable"),
    (FrontendFlags::SOURCE_RANGE, "check-source-range"),
    (0x0200, "46x64"),
    (FrontendFlags::L7, "l7-load-balancer"),
    (0x0800, "loopback"),
    (FrontendFlags::QUARANTINED, "quarantined"),
    (0x8000, "dsr"),
];

impl FrontendFlags {
    /// `externalIPs`.
    pub const EXTERNAL_IPS: u16 = 0x01;
    /// `NodePort`.
    pub const NODE_PORT: u16 = 0x02;
    /// `externalTrafficPolicy: Local`.
    pub const EXTERNAL_LOCAL: u16 = 0x04;
    /// `hostPort`.
    pub const HOST_PORT: u16 = 0x08;
    /// `sessionAffinity: ClientIP`.
    pub const AFFINITY: u16 = 0x10;
    /// `LoadBalancer`.
    pub const LOAD_BALANCER: u16 = 0x20;
    /// Reachable from outside.
    pub const ROUTABLE: u16 = 0x40;
    /// `loadBalancerSourceRanges`.
    pub const SOURCE_RANGE: u16 = 0x80;
    /// A `CiliumLocalRedirectPolicy`.
    pub const LOCAL_REDIRECT: u16 = 0x0100;
    /// Redirected to the node's Envoy.
    pub const L7: u16 = 0x0400;
    /// `internalTrafficPolicy: Local`.
    pub const INTERNAL_LOCAL: u16 = 0x1000;
    /// Clients inside and outside have backends of their own.
    pub const TWO_SCOPES: u16 = 0x2000;
    /// In a backend's slot: quarantined.
    pub const QUARANTINED: u16 = 0x4000;

    /// Whether any of `flags` is set.
    #[must_use]
    pub const fn has(self, flags: u16) -> bool {
        self.0 & flags != 0
    }

    /// The names of what is set, the type apart.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        NAMED.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect()
    }
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The length of an address, in bytes.
    #[must_use]
    pub const fn address_length(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl ServiceKey {
    /// The key in `bytes`; `None` where they are not as many as a key has.
    #[must_use]
    pub fn decode(family: Family, bytes: &[u8]) -> Option<Self> {
        let (address, rest) = endpoint(family, bytes)?;
        let [slot @ .., protocol, scope, _, _]: [u8; 6] = rest.try_into().ok()?;
        Some(Self { address, slot: u16::from_ne_bytes(slot), protocol, internal: scope == 1 })
    }

    /// Whether it is an entry by which newer versions drop what is for an address and no service of it.
    #[must_use]
    pub const fn is_wildcard_drop(&self, value: &ServiceValue) -> bool {
        self.address.port() == 0 && self.protocol == 0 && value.id == 0
    }
}

impl ServiceValue {
    /// The value in `bytes`; `None` where they are not twelve.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [w0, w1, w2, w3, c0, c1, i0, i1, f0, f1, q0, q1]: [u8; 12] = bytes.try_into().ok()?;
        Some(Self {
            word: u32::from_ne_bytes([w0, w1, w2, w3]),
            count: u16::from_ne_bytes([c0, c1]),
            id: u16::from_be_bytes([i0, i1]),
            flags: FrontendFlags(u16::from_le_bytes([f0, f1])),
            unusable: u16::from_ne_bytes([q0, q1]),
        })
    }

    /// The port of Envoy's listener, where the service is redirected to it. It stands in the word as a 16-bit number
    /// in network order, widened.
    #[must_use]
    pub fn proxy_port(&self) -> Option<u16> {
        let port = u16::try_from(self.word & 0xffff).unwrap_or_default();
        self.flags.has(FrontendFlags::L7).then_some(u16::from_be(port))
    }

    /// The algorithm asked for by annotation.
    #[must_use]
    pub const fn algorithm(&self) -> Option<Algorithm> {
        match (self.flags.has(FrontendFlags::L7), self.word >> 24) {
            (false, 1) => Some(Algorithm::Random),
            (false, 2) => Some(Algorithm::Maglev),
            _ => None,
        }
    }
}

impl BackendRecord {
    /// The value in `bytes`; `None` where they are not as many as a value has.
    #[must_use]
    pub fn decode(family: Family, bytes: &[u8]) -> Option<Self> {
        let (address, rest) = endpoint(family, bytes)?;
        let [protocol, state, c0, c1, _, _]: [u8; 6] = rest.try_into().ok()?;
        let state = match state {
            0 => BackendState::Active,
            1 => BackendState::Terminating,
            2 => BackendState::Quarantined,
            3 => BackendState::Maintenance,
            _ => BackendState::Unknown,
        };
        Some(Self { address, protocol, state, cluster: u16::from_ne_bytes([c0, c1]) })
    }

    /// The text that Cilium ≥ 1.17 hashes and sorts it by (`Backend.String` in `pkg/loadbalancer`). The state in it is
    /// always `active`, also where terminating backends have to do.
    #[must_use]
    pub fn key(&self) -> String {
        self.key_with(match self.protocol {
            0 => "/ANY",
            6 => "/TCP",
            17 => "/UDP",
            132 => "/SCTP",
            _ => "/NONE",
        })
    }

    /// The text that Cilium before 1.17 hashed: without the protocol.
    #[must_use]
    pub fn older_key(&self) -> String {
        self.key_with("")
    }

    fn key_with(&self, protocol: &str) -> String {
        let cluster = if self.cluster == 0 { String::new() } else { format!("@{}", self.cluster) };
        let (ip, port) = (self.address.ip(), self.address.port());
        match ip {
            IpAddr::V4(ip) => format!("[{ip}{cluster}:{port}{protocol},State:active]"),
            IpAddr::V6(ip) => format!("[[{ip}{cluster}]:{port}{protocol},State:active]"),
        }
    }
}

/// A value of a reverse NAT map: where the service of that id is.
#[must_use]
pub fn reverse_nat_value(family: Family, bytes: &[u8]) -> Option<SocketAddr> {
    endpoint(family, bytes).filter(|(_, rest)| rest.is_empty()).map(|(address, _)| address)
}

/// An address and a port, as they stand in packets, and what follows them.
fn endpoint(family: Family, bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (address, rest) = bytes.split_at_checked(family.address_length())?;
    let ip = match family {
        Family::V4 => <[u8; 4]>::try_from(address).ok()?.into(),
        Family::V6 => <[u8; 16]>::try_from(address).ok()?.into(),
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_service_names_envoys_port() {
        let key = ServiceKey::decode(Family::V4, &[192, 0, 2, 11, 1, 187, 0, 0, 6, 0, 0, 0]).unwrap();
        assert_eq!((key.address.to_string().as_str(), key.slot, key.protocol), ("192.0.2.11:443", 0, 6));
        // 15735 is 0x3d77: its two bytes in network order, then zeros.
        let value = ServiceValue::decode(&[0x3d, 0x77, 0, 0, 0, 0, 0, 33, 0x60, 0x04, 0, 0]).unwrap();
        assert_eq!((value.id, value.proxy_port(), value.count), (33, Some(15735), 0));
        assert_eq!(value.flags.names(), ["routable", "l7-load-balancer"]);
    }

    #[test]
    fn counts_and_slots_are_the_hosts() {
        let mut bytes = [0; 24];
        bytes[0] = 0xfd;
        bytes[16..18].copy_from_slice(&80_u16.to_be_bytes());
        bytes[18..20].copy_from_slice(&300_u16.to_ne_bytes());
        bytes[20] = 17;
        bytes[21] = 1;
        let key = ServiceKey::decode(Family::V6, &bytes).unwrap();
        assert_eq!(
            (key.address.to_string().as_str(), key.slot, key.protocol, key.internal),
            ("[fd00::]:80", 300, 17, true)
        );
        assert_eq!(ServiceKey::decode(Family::V4, &bytes), None, "24 bytes are no IPv4 key");

        let mut value = [0; 12];
        value[0..4].copy_from_slice(&0x0200_2a30_u32.to_ne_bytes());
        value[4..6].copy_from_slice(&500_u16.to_ne_bytes());
        value[6..8].copy_from_slice(&500_u16.to_be_bytes());
        let value = ServiceValue::decode(&value).unwrap();
        assert_eq!((value.count, value.id, value.algorithm()), (500, 500, Some(Algorithm::Maglev)));
    }

    #[test]
    fn keys_are_written_as_cilium_writes_them() {
        let record = |address: &str, protocol, cluster| BackendRecord {
            address: address.parse().unwrap(),
            protocol,
            state: BackendState::Terminating,
            cluster,
        };
        assert_eq!(record("10.0.0.1:80", 6, 0).key(), "[10.0.0.1:80/TCP,State:active]");
        assert_eq!(record("10.0.0.1:80", 6, 0).older_key(), "[10.0.0.1:80,State:active]");
        assert_eq!(record("10.0.0.1:80", 0, 3).key(), "[10.0.0.1@3:80/ANY,State:active]");
        assert_eq!(record("[fd00::1]:80", 132, 0).key(), "[[fd00::1]:80/SCTP,State:active]");
    }
}
