//! The connections that are led.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    path::Path,
};

use aya::{Ebpf, maps::Map};
use maglev_core::{
    config::{Ipv4Net, Ipv6Net},
    seed::HashSeed,
    service::{Forwarding, Service},
};
use maglev_probe_abi::{CheckKey, CheckRecord, OUTER_NONE, OUTER_V4, OUTER_V6, map};

use crate::{
    error::DatapathError,
    kernel::{KernelMap, MapKind},
    record::octets,
};

/// What becomes of a packet of a service on its way to any backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelTerms {
    /// The service, without its backends.
    pub(crate) service: Service,
    /// What its flows are hashed with.
    pub(crate) seed: HashSeed,
    /// Where outer IPv4 headers come from.
    pub(crate) source_v4: Option<Ipv4Net>,
    /// Where outer IPv6 headers come from.
    pub(crate) source_v6: Option<Ipv6Net>,
}

/// The connections that are led the way of clients' packets, each from before its first packet until after its last.
#[derive(Debug)]
pub struct Connections {
    map: KernelMap<CheckKey, CheckRecord>,
}

/// A connection that is led for as long as this lives: to be let go of after its socket.
#[derive(Debug)]
pub struct Admission<'a> {
    connections: &'a Connections,
    key: CheckKey,
}

impl TunnelTerms {
    /// The address that the service's clients send to.
    #[must_use]
    pub fn service(&self) -> SocketAddr {
        self.service.address
    }

    /// How the connection from `own` to `target`, an address of the same family at a backend, is led.
    fn record(&self, own: SocketAddr, target: SocketAddr) -> CheckRecord {
        let hash = self.service.flow_hash(&self.seed, own);
        let none = CheckRecord {
            backend: octets(target.ip()),
            service: octets(self.service.address.ip()),
            outer_source: [0; 16],
            port: target.port().to_be(),
            outer: OUTER_NONE,
            is_carried: 0,
            hash,
        };
        let (outer, source) = match (self.service.forwarding, target.ip()) {
            (Forwarding::L2 | Forwarding::Observe, _) => return none,
            (Forwarding::Ipip, IpAddr::V4(_)) => {
                (OUTER_V4, self.source_v4.map(|net| source_v4(net, hash).into()))
            }
            (Forwarding::Ipip, IpAddr::V6(_)) => {
                (OUTER_V6, self.source_v6.map(|net| source_v6(net, hash).into()))
            }
        };
        // Without a source it is the connection's own: what a configuration cannot ask for.
        CheckRecord { outer, outer_source: octets(source.unwrap_or(own.ip())), ..none }
    }
}

/// The address whose host bits are the flow's, as the program fills them.
fn source_v4(net: Ipv4Net, hash: u32) -> std::net::Ipv4Addr {
    let [network, mask] = [net.addr(), net.hostmask()].map(|part| u32::from_ne_bytes(part.octets()));
    (network | hash & mask).to_ne_bytes().into()
}

/// The same: the flow fills the last 32 bits at most.
fn source_v6(net: Ipv6Net, hash: u32) -> std::net::Ipv6Addr {
    let (mut octets, mask) = (net.addr().octets(), net.hostmask().octets());
    for ((octet, mask), hash) in octets[12..].iter_mut().zip(&mask[12..]).zip(hash.to_ne_bytes()) {
        *octet |= hash & mask;
    }
    octets.into()
}

impl Connections {
    /// Those of the loaded programs.
    pub(super) fn of(ebpf: &Ebpf) -> Result<Self, DatapathError> {
        let failed = |error| DatapathError::of_io(&format!("use the map `{}`", map::CHECKS), error);
        let Some(Map::HashMap(data)) = ebpf.map(map::CHECKS) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let descriptor = data.fd().as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Self { map: KernelMap::of_descriptor(descriptor, Path::new(map::CHECKS), MapKind::Hash)? })
    }

    /// Leads the connection of a socket that is bound to `own`, an address and port that no other socket has, and is to
    /// be connected to `target`: a backend's own address, and the port that the service is asked at.
    ///
    /// # Errors
    ///
    /// When the kernel does not take it.
    pub fn admit(
        &self,
        terms: &TunnelTerms,
        own: SocketAddr,
        target: SocketAddr,
    ) -> Result<Admission<'_>, DatapathError> {
        let key = CheckKey {
            address: octets(own.ip()),
            port: own.port().to_be(),
            family: if own.is_ipv4() { 4 } else { 6 },
            padding: 0,
        };
        self.map.set(&key, &terms.record(own, target))?;
        Ok(Admission { connections: self, key })
    }
}

impl Admission<'_> {
    /// Whether a packet has gone that way. One that left by an interface without the program went to the backend's own
    /// address, and whatever answered there says nothing of the tunnel.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn is_carried(&self) -> Result<bool, DatapathError> {
        Ok(self.connections.map.get(&self.key)?.is_some_and(|record| record.is_carried == 1))
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        // What stays would name a port that nobody has: the next one to have it for a check writes over it.
        let _ = self.connections.map.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_fills_the_host_bits() {
        let hash = u32::from_ne_bytes([0xab, 0xcd, 0xef, 0x12]);
        assert_eq!(source_v4("10.0.0.0/8".parse().unwrap(), hash).octets(), [10, 0xcd, 0xef, 0x12]);
        assert_eq!(source_v4("10.1.2.3/32".parse().unwrap(), hash).octets(), [10, 1, 2, 3]);
        let v6 = |net: &str| source_v6(net.parse().unwrap(), hash).to_string();
        assert_eq!(v6("2001:db8::/64"), "2001:db8::abcd:ef12");
        assert_eq!(v6("2001:db8::/112"), "2001:db8::ef12");
        assert_eq!(v6("2001:db8::1/128"), "2001:db8::1");
    }
}
