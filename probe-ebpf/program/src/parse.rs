//! From a frame to what balancing needs to know of it, or to the verdict that leaves it to the stack.

use aya_ebpf::programs::XdpContext;
use maglev_core::slot::Segment;
use maglev_probe_abi::Verdict;

use crate::{
    datagram::{self, Datagram, Part, Wide},
    link,
    packet::{self, Ethernet, Half, Tcp, Udp, protocol},
};

/// What balancing needs to know of a packet.
#[derive(Clone, Copy)]
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
    /// How many routers it may still come through.
    pub(crate) time_to_live: u8,
    /// How many VLAN tags it came with, which are off and are to be put back.
    pub(crate) tags: u8,
    /// What kind of packet it is.
    pub(crate) kind: Kind,
    /// What kind of segment it is; of UDP always [`Segment::Other`], of a quote [`Segment::Reset`].
    pub(crate) segment: Segment,
    /// Its length from the IP header on.
    pub(crate) length: u32,
}

/// What kind of packet it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    FirstFragment,
    LaterFragment,
    /// An ICMP error about a packet from the service to the client. Of these are all that is said of addresses, ports
    /// and protocol: the other way round than the packet that is quoted has them.
    Quote,
}

impl Packet {
    /// Its length from the Ethernet header on, without what fills a short frame up.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.length) + link::length(self.tags) as u64
    }

    /// A packet of those ports.
    #[inline(always)]
    pub(crate) fn new(datagram: &Datagram, ports: &Ports, kind: Kind) -> Self {
        Self {
            service: datagram.destination,
            client: datagram.source,
            service_port: ports.service,
            client_port: ports.client,
            protocol: datagram.protocol,
            family: datagram.family,
            type_of_service: datagram.type_of_service,
            time_to_live: datagram.time_to_live,
            tags: 0,
            kind,
            segment: ports.segment,
            length: datagram.length,
        }
    }
}

/// What the headers of a packet of the usual kinds say: TCP or UDP, whole, without tags, options and extension headers.
/// [`crate::aside`] looks at the others, and says what is wrong with them.
#[inline(always)]
pub(crate) fn parse(context: &XdpContext) -> Option<Packet> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }?;
    let datagram = match ethernet.kind {
        Ethernet::IPV4 => datagram::ipv4::<false>(context).ok()?,
        Ethernet::IPV6 => datagram::ipv6::<false>(context).ok()?,
        _ => return None,
    };
    if datagram.part != Part::Whole {
        return None;
    }
    Some(Packet::new(&datagram, &ports(context, &datagram).ok()?, Kind::Whole))
}

/// What the header behind those of IP says.
pub(crate) struct Ports {
    pub(crate) client: Half,
    pub(crate) service: Half,
    pub(crate) segment: Segment,
}

/// The ports of a packet or of its first fragment, which need not have all of it.
#[inline(always)]
pub(crate) fn ports(context: &XdpContext, datagram: &Datagram) -> Result<Ports, Verdict> {
    let holds = |length: usize, least: usize| {
        length >= least && if datagram.part == Part::First { least } else { length } <= datagram.payload
    };
    match datagram.protocol {
        protocol::TCP => {
            // SAFETY: bytes alone.
            let tcp: &Tcp = unsafe { packet::at(context, datagram.offset) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(tcp.header_length >> 4) * 4;
            if !holds(length, size_of::<Tcp>()) {
                return Err(Verdict::Malformed);
            }
            Ok(Ports { client: tcp.source, service: tcp.destination, segment: Segment::of_flags(tcp.flags) })
        }
        protocol::UDP => {
            // SAFETY: bytes alone.
            let udp: &Udp = unsafe { packet::at(context, datagram.offset) }.ok_or(Verdict::Malformed)?;
            let length = usize::from(u16::from_be(udp.length));
            if !holds(length, size_of::<Udp>()) {
                return Err(Verdict::Malformed);
            }
            Ok(Ports { client: udp.source, service: udp.destination, segment: Segment::Other })
        }
        _ => Err(Verdict::OtherProtocol),
    }
}
