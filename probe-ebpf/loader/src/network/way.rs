//! The way that the kernel knows to an address, and who is next on it.

use std::{io, net::IpAddr};

use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteType};

use super::{
    neighbour::{self, Neighbour, NextHop},
    question::{Origin, current},
};

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whether the address is this host's own.
    pub is_local: bool,
    /// Who packets may go to next: flows are spread over several. There is always one, unless the address is this
    /// host's own.
    pub hops: Vec<Hop>,
    /// The largest packet, where the route says another one than the interface.
    pub mtu: Option<u32>,
}

/// Who is next on a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who packets go to: the address itself, or a router.
    pub next: IpAddr,
    /// The interface that they leave by.
    pub interface: u32,
    /// What the kernel knows of it; `None` where it has never heard of it.
    pub neighbour: Option<Neighbour>,
}

impl Way {
    /// Asks the routes and neighbours of the calling thread's network namespace for the way of packets from `origin`.
    ///
    /// # Errors
    ///
    /// When there is no way, or the kernel does not tell.
    pub fn to(destination: IpAddr, origin: &Origin) -> io::Result<Self> {
        let mut routes = origin.routes(destination)?;
        let is_local = routes.iter().any(|route| route.header.kind == RouteType::Local);
        let hops = neighbour::next_hops(destination, origin)?
            .into_iter()
            .map(|hop| {
                let NextHop { neighbour: next, interface } = hop;
                Ok(Hop { next, interface, neighbour: neighbour::known(hop)? })
            })
            .collect::<io::Result<_>>()?;
        routes.extend(current(destination));
        Ok(Self { is_local, hops, mtu: routes.iter().filter_map(mtu).min() })
    }
}

fn mtu(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match *metric {
            RouteMetric::Mtu(mtu) => Some(mtu),
            _ => None,
        }),
        _ => None,
    })
}
