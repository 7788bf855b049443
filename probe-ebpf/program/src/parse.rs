//! From a frame to what balancing needs to know of it, or to the verdict that leaves it to the stack.

use aya_ebpf::programs::XdpContext;
use maglev_core::slot::Segment;
use maglev_probe_abi::Verdict;

use crate::packet::{self, Ethernet, Ipv4, Tcp, Udp, protocol};

/// An address of either family, in words as they lie in memory; of an IPv4 address the first word, the rest zero.
pub(crate) type Wide = [u32; 4];

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
    /// The type of service, which an outer header repeats.
    pub(crate) type_of_service: u8,
    /// What kind of segment it is; of UDP always [`Segment::Other`].
    pub(crate) segment: Segment,
    /// Its length from the IP header on.
    pub(crate) length: u16,
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
    let payload = usize::from(packet_length).checked_sub(header_length).ok_or(Verdict::Malformed)?;
    if !packet::reaches(context, Ethernet::LENGTH + usize::from(packet_length)) {
        return Err(Verdict::Malformed);
    }
    if header.is_fragment() {
        return Err(Verdict::Fragment);
    }
    let ports = Ethernet::LENGTH + header_length;
    let (client_port, service_port, segment) = match header.protocol {
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
        service: [header.destination.word(), 0, 0, 0],
        client: [header.source.word(), 0, 0, 0],
        service_port,
        client_port,
        protocol: header.protocol,
        family: 4,
        type_of_service: header.type_of_service,
        segment,
        length: packet_length,
    })
}
