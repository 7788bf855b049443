//! What the program asks the kernel's routes, asked from here: it asks as of packets that come in, and has every way
//! that the answer may be.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteType},
};

use super::{neighbour::family, netlink::request};

/// Somebody that packets come from, of whom no route speaks but the default one (RFC 5737, RFC 3849).
const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// Where the packets come from that the way is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The interfaces that they come in by; none where packets of this host are meant.
    pub interfaces: Vec<u32>,
    /// The sources of outer headers, of either family, as far as there are any.
    pub sources: Vec<IpAddr>,
}

impl Origin {
    /// The routes that packets from here to `destination` take, with all hops of each: rules may have another one for
    /// each interface. Where the kernel routes nothing that comes in, the one of the host's own packets.
    pub(super) fn routes(&self, destination: IpAddr) -> io::Result<Vec<RouteMessage>> {
        let source = self.sources.iter().copied().find(|source| source.is_ipv4() == destination.is_ipv4());
        let mut routes = Vec::new();
        for &interface in &self.interfaces {
            // Unlike the program's helper the kernel refuses here what comes from an address of its own, or by an
            // interface that does not lead back: then others are asked for.
            let client = if destination.is_ipv4() { CLIENT_V4 } else { CLIENT_V6 };
            let answer = source
                .into_iter()
                .chain([client, destination])
                .find_map(|source| ask(destination, Some(source), Some(interface)).ok());
            routes.extend(answer);
        }
        if routes.is_empty() {
            let of_source = source.and_then(|source| ask(destination, Some(source), None).ok());
            routes.push(of_source.map_or_else(|| ask(destination, None, None), Ok)?);
        }
        Ok(routes)
    }
}

/// The route to `destination` as it is in the table, with all of its hops.
fn ask(destination: IpAddr, source: Option<IpAddr>, interface: Option<u32>) -> io::Result<RouteMessage> {
    let route = answer(destination, source, interface, RouteFlags::FibMatch)?;
    if !matches!(route.header.kind, RouteType::Unicast | RouteType::Local) {
        return Err(io::ErrorKind::HostUnreachable.into());
    }
    Ok(route)
}

/// The route to `destination` that this host's own packets take at present, with what was learned of that way.
pub(super) fn current(destination: IpAddr) -> io::Result<RouteMessage> {
    answer(destination, None, None, RouteFlags::empty())
}

fn answer(
    destination: IpAddr,
    source: Option<IpAddr>,
    interface: Option<u32>,
    flags: RouteFlags,
) -> io::Result<RouteMessage> {
    let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.flags = flags;
    message.header.destination_prefix_length = whole(destination);
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    if let Some(source) = source {
        message.header.source_prefix_length = whole(source);
        message.attributes.push(RouteAttribute::Source(source.into()));
    }
    message.attributes.extend(interface.map(RouteAttribute::Iif));
    request(RouteNetlinkMessage::GetRoute(message), 0)?
        .into_iter()
        .find_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        })
        .ok_or_else(|| io::ErrorKind::HostUnreachable.into())
}
