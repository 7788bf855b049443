//! From a frame to what balancing needs to know of it, or to the verdict that leaves it to the stack.

use aya_ebpf::programs::XdpContext;
use maglev_core::slot::Segment;
use maglev_probe_abi::Verdict;

use crate::packet::{self, Ethernet, Extension, Half, Ipv4, Ipv6, Tcp, Udp, protocol};

/// An address of either family, in words as they lie in memory; of an IPv4 address the first word, the rest zero.
pub(crate) type Wide = [u32; 4];

/// How many extension headers of an IPv6 packet are followed: nobody sends more, and the verifier counts.
const EXTENSIONS: usize = 6;

/// What balancing needs to know of a packet.
pub(crate) struct Packet {
    /// Where it is sent to.
    pub(crate) service: Wide,
    /// Who sent it.
    pub(crate) client: Wide,
    /// The port that it is sent to, in network order.
    pub(crate) service_port: u16,
    /// The sender's port, in network order.
    pub(crate) client_port: u16,
    /// The number of its protocol in the IP header.
    pub(crate) protocol: u8,
    /// 4 or 6.
    pub(crate) family: u8,
    /// The type of service, or traffic class, which an outer header repeats.
    pub(crate) type_of_service: u8,
    /// What kind of segment it is; of UDP always [`Segment::Other`].
    pub(crate) segment: Segment,
    /// Its length from the IP header on.
    pub(crate) length: u32,
}

impl Packet {
    /// Its length from the Ethernet header on, without what fills a short frame up.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.length) + Ethernet::LENGTH as u64
    }
}

/// What the headers say.
#[inline(always)]
pub(crate) fn parse(context: &XdpContext) -> Result<Packet, Verdict> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(Verdict::Malformed)?;
    match ethernet.kind {
        Ethernet::IPV4 => parse_ipv4(context),
        Ethernet::IPV6 => parse_ipv6(context),
        _ => Err(Verdict::NotIp),
    }
}

#[inline(always)]
fn parse_ipv4(context: &XdpContext) -> Result<Packet, Verdict> {
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(Verdict::Malformed)?;
    let header_length = header.header_length().ok_or(Verdict::Malformed)?;
    let packet_length = header.packet_length();
    let payload = usize::from(packet_length).checked_sub(header_length).ok_or(Verdict::Malformed)?;
    if !packet::reaches(context, Ethernet::LENGTH + usize::from(packet_length)) {
        return Err(Verdict::Malformed);
    }
    if header.is_fragment() {
        return Err(Verdict::Fragment);
    }
    let ports = ports(context, header.protocol, Ethernet::LENGTH + header_length, payload)?;
    Ok(Packet {
        service: [header.destination.word(), 0, 0, 0],
        client: [header.source.word(), 0, 0, 0],
        service_port: ports.service,
        client_port: ports.client,
        protocol: header.protocol,
        family: 4,
        type_of_service: header.type_of_service,
        segment: ports.segment,
        length: packet_length.into(),
    })
}

#[inline(always)]
fn parse_ipv6(context: &XdpContext) -> Result<Packet, Verdict> {
    // SAFETY: bytes alone.
    let header: &Ipv6 = unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(Verdict::Malformed)?;
    let payload = header.payload();
    if header.version() != 6 || !packet::reaches(context, Ethernet::LENGTH + Ipv6::LENGTH + payload) {
        return Err(Verdict::Malformed);
    }
    let (protocol, extensions) = extensions(context, header.next_header)?;
    let rest = payload.checked_sub(extensions).ok_or(Verdict::Malformed)?;
    let ports = ports(context, protocol, Ethernet::LENGTH + Ipv6::LENGTH + extensions, rest)?;
    Ok(Packet {
        service: header.destination.words(),
        client: header.source.words(),
        service_port: ports.service,
        client_port: ports.client,
        protocol,
        family: 6,
        type_of_service: header.class(),
        segment: ports.segment,
        length: (Ipv6::LENGTH + payload) as u32,
    })
}

/// What follows the extension headers of an IPv6 packet, and how long they are.
#[inline(always)]
fn extensions(context: &XdpContext, first: u8) -> Result<(u8, usize), Verdict> {
    let (mut next, mut length) = (first, 0);
    for _ in 0..=EXTENSIONS {
        match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {}
            protocol::FRAGMENT => return Err(Verdict::Fragment),
            _ => return Ok((next, length)),
        }
        // SAFETY: bytes alone.
        let extension: &Extension = unsafe { packet::at(context, Ethernet::LENGTH + Ipv6::LENGTH + length) }
            .ok_or(Verdict::Malformed)?;
        next = extension.next_header;
        length += extension.length();
    }
    Err(Verdict::ExtensionHeaders)
}

/// What the header behind those of IP says.
struct Ports {
    client: Half,
    service: Half,
    segment: Segment,
}

/// The ports of what lies `offset` bytes into the frame and is so long.
#[inline(always)]
fn ports(context: &XdpContext, protocol: u8, offset: usize, payload: usize) -> Result<Ports, Verdict> {
    match protocol {
        protocol::TCP => {
            // SAFETY: bytes alone.
            let tcp: &Tcp = unsafe { packet::at(context, offset) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(tcp.header_length >> 4) * 4;
            if length < size_of::<Tcp>() || length > payload {
                return Err(Verdict::Malformed);
            }
            Ok(Ports { client: tcp.source, service: tcp.destination, segment: Segment::of_flags(tcp.flags) })
        }
        protocol::UDP => {
            // SAFETY: bytes alone.
            let udp: &Udp = unsafe { packet::at(context, offset) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(u16::from_be(udp.length));
            if length < size_of::<Udp>() || length > payload {
                return Err(Verdict::Malformed);
            }
            Ok(Ports { client: udp.source, service: udp.destination, segment: Segment::Other })
        }
        _ => Err(Verdict::OtherProtocol),
    }
}
