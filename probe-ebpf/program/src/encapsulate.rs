//! An outer IP header, of either family, around a packet of either family.

use core::mem::transmute;

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use maglev_probe_abi::{Settings, Verdict};

use crate::{
    datagram::Wide,
    forward::Forwarding,
    packet::{self, Address, Ethernet, Half, Hardware, Ipv4, Ipv6, LongAddress, Routed, protocol},
    parse::Packet,
};

/// How many routers a tunnel may lead through.
const TIME_TO_LIVE: u8 = 64;

/// A header that packets can be put behind.
pub(crate) trait Outer: Copy {
    /// What an Ethernet header calls it.
    const KIND: Half;
}

impl Outer for Ipv4 {
    const KIND: Half = Ethernet::IPV4;
}

impl Outer for Ipv6 {
    const KIND: Half = Ethernet::IPV6;
}

/// Ethernet and IP, as they stand in front of a packet in a tunnel, and how that packet begins.
#[repr(C)]
struct Front<Header> {
    ethernet: Ethernet,
    outer: Header,
    inner: Routed,
}

/// The outer header for a packet to a backend that has an IPv4 address.
#[inline(always)]
pub(crate) fn ipv4_header(settings: &Settings, flow: &Forwarding, backend: Address) -> Result<Ipv4, Verdict> {
    let length = u16::try_from(flow.packet.length + Ipv4::LENGTH as u32).map_err(|_| Verdict::TooBig)?;
    let mask = u32::from_ne_bytes(settings.tunnel_host_mask_v4);
    // A source of its own for each flow, if there is a prefix: the backend's queues are chosen by it.
    let source = u32::from_ne_bytes(settings.tunnel_source_v4) | (flow.hash & mask);
    let mut header = Ipv4 {
        version_and_length: Ipv4::WITHOUT_OPTIONS,
        type_of_service: flow.packet.type_of_service,
        total_length: length.to_be(),
        identification: 0,
        // Whatever the packet inside says: fragments of two packets whose identification is 0 would be taken for one, and
        // what is never fragmented needs no identification (RFC 6864).
        fragment: Ipv4::DO_NOT_FRAGMENT,
        time_to_live: TIME_TO_LIVE,
        protocol: inner_protocol(flow),
        checksum: 0,
        source: Address::new(source.to_ne_bytes()),
        destination: backend,
    };
    header.checksum = header.right_checksum();
    Ok(header)
}

/// The outer header for a packet to a backend that has an IPv6 address.
#[inline(always)]
pub(crate) fn ipv6_header(settings: &Settings, flow: &Forwarding, backend: Wide) -> Result<Ipv6, Verdict> {
    // The whole packet's, with the outer header: the kernel is asked for the way of it in sixteen bits.
    u16::try_from(flow.packet.length + Ipv6::LENGTH as u32).map_err(|_| Verdict::TooBig)?;
    // SAFETY: all bytes are valid, and stand as they lie in memory.
    let [a, b, c, d] = unsafe { transmute::<[u8; 16], Wide>(settings.tunnel_source_v6) };
    let mask = u32::MAX.checked_shr(settings.tunnel_prefix_v6.saturating_sub(96)).unwrap_or(0).to_be();
    let class = flow.packet.type_of_service;
    Ok(Ipv6 {
        version_and_class: 0x60 | class >> 4,
        // The label is the flow's: routers choose among equal ways by it (RFC 6438).
        class_and_label: class << 4 | (flow.hash >> 16 & 0x0f) as u8,
        label: flow.hash as Half,
        payload_length: (flow.packet.length as u16).to_be(),
        next_header: inner_protocol(flow),
        hop_limit: TIME_TO_LIVE,
        source: LongAddress::new([a, b, c, d | (flow.hash & mask)]),
        destination: LongAddress::new(backend),
    })
}

/// What an outer header calls the packet inside.
#[inline(always)]
fn inner_protocol(flow: &Forwarding) -> u8 {
    if flow.packet.family == 6 { protocol::IPV6 } else { protocol::IPV4 }
}

/// Puts the header between the packet and a new Ethernet header, and counts the packet's time to live down: what is sent
/// by a tunnel is forwarded (RFC 2003, RFC 2473).
#[inline(always)]
pub(crate) fn push<Header: Outer>(
    context: &XdpContext,
    packet: &Packet,
    destination: Hardware,
    source: Hardware,
    outer: &Header,
) -> Result<(), Verdict> {
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    if unsafe { bpf_xdp_adjust_head(context.ctx, -(size_of::<Header>() as i32)) } != 0 {
        return Err(Verdict::NoHeadroom);
    }
    // SAFETY: bytes alone.
    let front: &mut Front<Header> = unsafe { packet::at_mut(context, 0) }.ok_or(Verdict::NoHeadroom)?;
    front.ethernet = Ethernet { destination, source, kind: Header::KIND };
    front.outer = *outer;
    front.inner.count_down(packet.family);
    Ok(())
}
