//! Next hops and their MAC addresses. An XDP program sends no ARP: the kernel is told to keep them resolved by itself
//! (`NTF_EXT_MANAGED`, Linux 5.16).

use std::{io, net::IpAddr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteMessage, RouteNextHopFlags, RouteProtocol, RouteType, RouteVia,
    },
};

use super::{netlink::request, question::Origin};

/// Who a neighbour was made by (`NDA_PROTOCOL`): a number that nobody is listed with in `rtnetlink.h`.
const OURS: RouteProtocol = RouteProtocol::Other(109);

/// Where packets to an address go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    /// The neighbour that they go to: the address itself, or a router.
    pub(crate) neighbour: IpAddr,
    /// The interface that they leave by.
    pub(crate) interface: u32,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Whether its hardware address is known.
    pub resolution: Resolution,
    /// Whether the kernel keeps it resolved by itself.
    pub is_managed: bool,
    /// Its hardware address, as far as it was ever known and has six bytes.
    pub hardware_address: Option<[u8; 6]>,
}

/// Whether a neighbour's hardware address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was written down by hand, or the link needs none.
    Fixed,
    /// It was confirmed lately.
    Confirmed,
    /// It was known, and is not confirmed at present; it is used all the same.
    Unconfirmed,
    /// It is being asked for, and nobody has answered yet.
    Asked,
    /// Nobody answered.
    Failed,
}

impl Neighbour {
    fn of_message(message: &NeighbourMessage) -> Self {
        let resolution = match message.header.state {
            NeighbourState::Permanent | NeighbourState::Noarp => Resolution::Fixed,
            NeighbourState::Reachable => Resolution::Confirmed,
            NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => Resolution::Unconfirmed,
            NeighbourState::Incomplete | NeighbourState::None => Resolution::Asked,
            // Failed, or a state that is not known.
            _ => Resolution::Failed,
        };
        let hardware_address = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        });
        Self { resolution, is_managed: is_managed(message), hardware_address }
    }
}

/// What the kernel knows of a neighbour; `None` where it has never heard of it.
pub(super) fn known(hop: NextHop) -> io::Result<Option<Neighbour>> {
    Ok(existing(hop)?.as_ref().map(Neighbour::of_message))
}

/// Who may be next on the way to `destination` for packets from `origin`; nobody where it is this host's own address.
pub(crate) fn next_hops(destination: IpAddr, origin: &Origin) -> io::Result<Vec<NextHop>> {
    let mut hops = Vec::new();
    for route in origin.routes(destination)? {
        if route.header.kind != RouteType::Local {
            hops.extend(
                hops_of(destination, &route)?
                    .into_iter()
                    .filter(|hop| !hops.contains(hop))
                    .collect::<Vec<_>>(),
            );
        }
    }
    Ok(hops)
}

/// Where a route to `destination` may lead next.
pub(super) fn hops_of(destination: IpAddr, route: &RouteMessage) -> io::Result<Vec<NextHop>> {
    let paths = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(paths) => Some(paths),
        _ => None,
    });
    let hops: Vec<NextHop> = match paths {
        Some(paths) => paths
            .iter()
            .filter(|path| !path.flags.contains(RouteNextHopFlags::Dead))
            .map(|path| NextHop {
                neighbour: router(&path.attributes).unwrap_or(destination),
                interface: path.interface_index,
            })
            .collect(),
        None => route
            .attributes
            .iter()
            .filter_map(|attribute| match attribute {
                RouteAttribute::Oif(interface) => Some(NextHop {
                    neighbour: router(&route.attributes).unwrap_or(destination),
                    interface: *interface,
                }),
                _ => None,
            })
            .collect(),
    };
    if hops.is_empty() { Err(io::ErrorKind::HostUnreachable.into()) } else { Ok(hops) }
}

/// The router of a route or of one of its paths, if it leads to one; that of IPv4 may have an IPv6 address (RFC 5549).
fn router(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match *attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(router)) | RouteAttribute::Via(RouteVia::Inet(router)) => {
            Some(router.into())
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(router))
        | RouteAttribute::Via(RouteVia::Inet6(router)) => Some(router.into()),
        _ => None,
    })
}

/// Has the kernel resolve `hop` and keep it resolved. What somebody else has set up there is left as it is.
pub(crate) fn keep_neighbour(hop: NextHop) -> io::Result<()> {
    if existing(hop)?.is_some_and(|neighbour| is_permanent(&neighbour) || is_managed(&neighbour)) {
        return Ok(());
    }
    let mut message = message(hop);
    message.header.state = NeighbourState::None;
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    message.attributes.push(NeighbourAttribute::Protocol(OURS));
    request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE).map(drop)
}

/// Ends that.
pub(crate) fn forget_neighbour(hop: NextHop) -> io::Result<()> {
    absent_is_none(request(RouteNetlinkMessage::DelNeighbour(message(hop)), 0)).map(drop)
}

/// The neighbours that are kept resolved and ours, in the calling thread's network namespace.
pub(crate) fn kept_neighbours() -> io::Result<Vec<NextHop>> {
    let answers = request(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()), NLM_F_DUMP)?;
    Ok(answers
        .iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(neighbour) => Some(neighbour),
            _ => None,
        })
        .filter(|neighbour| neighbour.attributes.contains(&NeighbourAttribute::Protocol(OURS)))
        .filter_map(|neighbour| {
            let address = neighbour.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
                _ => None,
            })?;
            Some(NextHop { neighbour: address, interface: neighbour.header.ifindex })
        })
        .collect())
}

fn existing(hop: NextHop) -> io::Result<Option<NeighbourMessage>> {
    let answers = absent_is_none(request(RouteNetlinkMessage::GetNeighbour(message(hop)), 0))?;
    Ok(answers.into_iter().flatten().find_map(|answer| match answer {
        RouteNetlinkMessage::NewNeighbour(neighbour) => Some(neighbour),
        _ => None,
    }))
}

fn absent_is_none<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(None),
        answer => answer.map(Some),
    }
}

fn is_permanent(neighbour: &NeighbourMessage) -> bool {
    matches!(neighbour.header.state, NeighbourState::Permanent | NeighbourState::Noarp)
}

fn is_managed(neighbour: &NeighbourMessage) -> bool {
    neighbour.attributes.iter().any(
        |attribute| matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Managed)),
    )
}

fn message(hop: NextHop) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(hop.neighbour);
    message.header.ifindex = hop.interface;
    message.attributes.push(NeighbourAttribute::Destination(hop.neighbour.into()));
    message
}

pub(super) const fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
