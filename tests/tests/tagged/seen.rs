//! Frames as an independent parser reads them, with every length and checksum in them recomputed.

use std::net::IpAddr;

use etherparse::{Icmpv4Header, IpNumber, LinkExtSlice, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) to: [u8; 6],
    pub(crate) from: [u8; 6],
    /// Its VLAN tags: the type that announces each, and what it says.
    pub(crate) tags: Vec<(u16, u16)>,
    /// From the IP header on, to the end of the frame.
    pub(crate) packet: &'a [u8],
}

impl<'a> Seen<'a> {
    /// Reads a frame.
    #[track_caller]
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        let sliced =
            SlicedPacket::from_ethernet(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
        let Some(LinkSlice::Ethernet2(link)) = sliced.link else { panic!("no Ethernet: {frame:02x?}") };
        let mut announced = link.ether_type();
        let mut tags = Vec::new();
        let mut packet = link.payload_slice();
        for extension in sliced.link_exts {
            let LinkExtSlice::Vlan(tag) = extension else { panic!("not a VLAN tag: {frame:02x?}") };
            let flags = u16::from(tag.priority_code_point().value()) << 13
                | u16::from(tag.drop_eligible_indicator()) << 12;
            tags.push((announced.0, flags | tag.vlan_identifier().value()));
            announced = tag.ether_type();
            packet = tag.payload_slice();
        }
        assert!(sliced.net.is_some(), "no IP: {frame:02x?}");
        Self { to: link.destination(), from: link.source(), tags, packet }
    }
}

/// A packet that was read: one IP header and what is behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) time_to_live: u8,
    /// Of its ICMP header, where it has one.
    pub(crate) icmp: Option<(u8, u8)>,
    /// Behind the IP header and its extensions or, of ICMP, behind the ICMP header.
    pub(crate) payload: &'a [u8],
    /// Whether the payload is a packet: the header is a tunnel's.
    pub(crate) is_tunnel: bool,
}

impl<'a> Packet<'a> {
    /// Reads a packet, which must end with `bytes`, and makes sure of its lengths and checksums, and those of one inside.
    #[track_caller]
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let sliced = SlicedPacket::from_ip(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        let (from, to, time_to_live, payload): (IpAddr, IpAddr, _, _) = match sliced.net {
            Some(NetSlice::Ipv4(net)) => {
                let header = net.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum(), "{header:?}");
                assert_eq!(usize::from(header.total_len), bytes.len());
                (header.source.into(), header.destination.into(), header.time_to_live, net.payload().clone())
            }
            Some(NetSlice::Ipv6(net)) => {
                let header = net.header().to_header();
                assert_eq!(usize::from(header.payload_length) + 40, bytes.len());
                (header.source.into(), header.destination.into(), header.hop_limit, net.payload().clone())
            }
            net => panic!("not IP: {net:?}"),
        };
        let is_tunnel = [IpNumber::IPV4, IpNumber::IPV6].contains(&payload.ip_number);
        if is_tunnel {
            Self::of(payload.payload);
        }
        let (icmp, payload) = match &sliced.transport {
            Some(TransportSlice::Icmpv4(icmp)) => (Some((icmp.type_u8(), icmp.code_u8())), icmp.payload()),
            Some(TransportSlice::Icmpv6(icmp)) => (Some((icmp.type_u8(), icmp.code_u8())), icmp.payload()),
            _ => (None, payload.payload),
        };
        if let Some(transport) = sliced.transport {
            assert_checksum(&transport, from, to);
        }
        Self { from, to, time_to_live, icmp, payload, is_tunnel }
    }
}

/// Makes sure of the checksum behind the IP header.
#[track_caller]
fn assert_checksum(transport: &TransportSlice<'_>, from: IpAddr, to: IpAddr) {
    let (found, right) = match (transport, from, to) {
        (TransportSlice::Tcp(tcp), IpAddr::V4(from), IpAddr::V4(to)) => {
            (tcp.checksum(), tcp.calc_checksum_ipv4(from.octets(), to.octets()).unwrap())
        }
        (TransportSlice::Tcp(tcp), IpAddr::V6(from), IpAddr::V6(to)) => {
            (tcp.checksum(), tcp.calc_checksum_ipv6(from.octets(), to.octets()).unwrap())
        }
        (TransportSlice::Udp(udp), IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = udp.to_header();
            (
                udp.checksum(),
                header.calc_checksum_ipv4_raw(from.octets(), to.octets(), udp.payload()).unwrap(),
            )
        }
        (TransportSlice::Udp(udp), IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = udp.to_header();
            (
                udp.checksum(),
                header.calc_checksum_ipv6_raw(from.octets(), to.octets(), udp.payload()).unwrap(),
            )
        }
        (TransportSlice::Icmpv4(icmp), ..) => {
            (icmp.checksum(), Icmpv4Header::with_checksum(icmp.icmp_type(), icmp.payload()).checksum)
        }
        (TransportSlice::Icmpv6(icmp), IpAddr::V6(from), IpAddr::V6(to)) => {
            let right = icmp.icmp_type().calc_checksum(from.octets(), to.octets(), icmp.payload()).unwrap();
            (icmp.checksum(), right)
        }
        _ => panic!("{transport:?} from {from} to {to}"),
    };
    assert_eq!(found, right, "checksum of {transport:?} from {from} to {to}");
}

/// The packet as a router sends it on: its time to live is one less, and an IPv4 header's checksum is made anew.
pub(crate) fn routed(packet: &[u8]) -> Vec<u8> {
    let mut routed = packet.to_vec();
    match SlicedPacket::from_ip(packet).unwrap().net {
        Some(NetSlice::Ipv4(net)) => {
            let mut header = net.header().to_header();
            header.time_to_live -= 1;
            header.header_checksum = header.calc_header_checksum();
            routed[..header.header_len()].copy_from_slice(&header.to_bytes());
        }
        _ => routed[7] -= 1,
    }
    routed
}
