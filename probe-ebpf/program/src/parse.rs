//! From a frame to what balancing needs to know of it, or to the verdict that leaves it to the stack.

use aya_ebpf::programs::XdpContext;
use maglev_core::slot::Segment;
use maglev_probe_abi::{ServiceKey, Verdict};

use crate::packet::{self, Ethernet, Ipv4, Tcp, Udp, protocol};

/// What balancing needs to know of a packet.
pub(crate) struct Packet {
    /// Where it is sent to.
    pub(crate) service: ServiceKey,
    /// Who sent it; of an IPv4 address the first four bytes, the rest zero.
    pub(crate) client: [u8; 16],
    /// The sender's port, in network order.
    pub(crate) client_port: u16,
    /// What kind of segment it is; of UDP always [`Segment::Other`].
    pub(crate) segment: Segment,
    /// The type of service, which an outer header repeats.
    pub(crate) type_of_service: u8,
    /// Its length from the IP header on.
    pub(crate) packet_length: u16,
    /// Its length from the Ethernet header on, with what fills the frame up.
    pub(crate) frame_length: u64,
}

/// What the headers say.
#[inline(always)]
pub(crate) fn parse(context: &XdpContext) -> Result<Packet, Verdict> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(Verdict::Malformed)?;
    match ethernet.kind {
        Ethernet::IPV4 => parse_ipv4(context),
        Ethernet::IPV6 => Err(Verdict::Ipv6),
        _ => Err(Verdict::NotIp),
    }
}

#[inline(always)]
fn parse_ipv4(context: &XdpContext) -> Result<Packet, Verdict> {
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(Verdict::Malformed)?;
    let header_length = header.header_length().ok_or(Verdict::Malformed)?;
    let packet_length = header.packet_length();
    let frame_length = packet::length(context);
    let payload = usize::from(packet_length).wrapping_sub(header_length);
    if usize::from(packet_length) < header_length
        || u64::from(packet_length) + Ethernet::LENGTH as u64 > frame_length
    {
        return Err(Verdict::Malformed);
    }
    if header.is_fragment() {
        return Err(Verdict::Fragment);
    }
    let ports = Ethernet::LENGTH + header_length;
    let (client_port, port, segment) = match header.protocol {
        protocol::TCP => {
            // SAFETY: bytes alone.
            let tcp: &Tcp = unsafe { packet::at(context, ports) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(tcp.header_length >> 4) * 4;
            if length < size_of::<Tcp>() || length > payload {
                return Err(Verdict::Malformed);
            }
            (tcp.source, tcp.destination, Segment::of_flags(tcp.flags))
        }
        protocol::UDP => {
            // SAFETY: bytes alone.
            let udp: &Udp = unsafe { packet::at(context, ports) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(u16::from_be(udp.length));
            if length < size_of::<Udp>() || length > payload {
                return Err(Verdict::Malformed);
            }
            (udp.source, udp.destination, Segment::Other)
        }
        _ => return Err(Verdict::OtherProtocol),
    };
    Ok(Packet {
        service: ServiceKey {
            address: wide(header.destination.bytes()),
            port,
            protocol: header.protocol,
            family: 4,
        },
        client: wide(header.source.bytes()),
        client_port,
        segment,
        type_of_service: header.type_of_service,
        packet_length,
        frame_length,
    })
}

/// An IPv4 address in the room for an IPv6 address.
#[inline(always)]
fn wide([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// An IPv4 address out of the room for an IPv6 address.
#[inline(always)]
pub(crate) fn narrow([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
    [a, b, c, d]
}
