//! The way that the kernel knows to an address, and who is next on it.

use std::{io, net::IpAddr};

use netlink_packet_route::route::{RouteAttribute, RouteMetric, RouteType};

use super::neighbour::{self, Neighbour, NextHop};

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whether the address is this host's own.
    pub is_local: bool,
    /// Who packets go to next: the address itself, or a router.
    pub next: IpAddr,
    /// The interface that they leave by.
    pub interface: u32,
    /// The largest packet, where the route says another one than the interface.
    pub mtu: Option<u32>,
    /// What the kernel knows of who is next; `None` where it has never heard of it.
    pub neighbour: Option<Neighbour>,
}

impl Way {
    /// Asks the routes and neighbours of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When there is no way, or the kernel does not tell.
    pub fn to(destination: IpAddr) -> io::Result<Self> {
        let route = neighbour::route(destination)?;
        let hop = neighbour::hop_of(destination, &route)?;
        let NextHop { neighbour: next, interface } = hop;
        let mtu = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match *metric {
                RouteMetric::Mtu(mtu) => Some(mtu),
                _ => None,
            }),
            _ => None,
        });
        Ok(Self {
            is_local: route.header.kind == RouteType::Local,
            next,
            interface,
            mtu,
            neighbour: neighbour::known(hop)?,
        })
    }
}
