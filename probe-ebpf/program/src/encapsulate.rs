//! An outer IPv4 header around a packet.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use maglev_probe_abi::{Settings, Verdict};

use crate::{
    balance::Flow,
    packet::{self, Address, Ethernet, Half, Hardware, Ipv4, protocol},
};

/// How many routers a tunnel may lead through.
const TIME_TO_LIVE: u8 = 64;

/// The flag that forbids fragmentation. It is set whatever the packet inside says: fragments of two packets whose
/// identification is 0 would be taken for one, and what is never fragmented needs no identification (RFC 6864).
const DO_NOT_FRAGMENT: Half = 0x4000_u16.to_be();

/// Ethernet and IPv4, as they stand in front of a packet in a tunnel.
#[repr(C)]
struct Front {
    ethernet: Ethernet,
    outer: Ipv4,
}

/// The outer header for a packet to that backend.
#[inline(always)]
pub(crate) fn outer_header(settings: &Settings, flow: &Flow, backend: Address) -> Result<Ipv4, Verdict> {
    let length = flow.packet.length.checked_add(Ipv4::LENGTH as u16).ok_or(Verdict::TooBig)?;
    let mask = u32::from_ne_bytes(settings.tunnel_host_mask_v4);
    // A source of its own for each flow, if there is a prefix: the backend's queues are chosen by it.
    let source = u32::from_ne_bytes(settings.tunnel_source_v4) | (flow.hash & mask);
    let mut header = Ipv4 {
        version_and_length: 0x45,
        type_of_service: flow.packet.type_of_service,
        total_length: length.to_be(),
        identification: 0,
        fragment: DO_NOT_FRAGMENT,
        time_to_live: TIME_TO_LIVE,
        protocol: protocol::IPV4,
        checksum: 0,
        source: Address::new(source.to_ne_bytes()),
        destination: backend,
    };
    header.checksum = checksum(&header);
    Ok(header)
}

/// The checksum of a header in which it is zero: the sum of its halves in ones' complement, inverted. It comes out in
/// the order of bytes that the halves are in.
#[inline(always)]
fn checksum(header: &Ipv4) -> Half {
    let pair = |first: u8, second: u8| u32::from(Half::from_ne_bytes([first, second]));
    let sum = pair(header.version_and_length, header.type_of_service)
        + u32::from(header.total_length)
        + u32::from(header.fragment)
        + pair(header.time_to_live, header.protocol)
        + header.source.sum()
        + header.destination.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as Half)
}

/// Puts the header between the packet and a new Ethernet header.
#[inline(always)]
pub(crate) fn push(
    context: &XdpContext,
    destination: Hardware,
    source: Hardware,
    outer: &Ipv4,
) -> Result<(), Verdict> {
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    if unsafe { bpf_xdp_adjust_head(context.ctx, -(Ipv4::LENGTH as i32)) } != 0 {
        return Err(Verdict::NoHeadroom);
    }
    // SAFETY: bytes alone.
    let front: &mut Front = unsafe { packet::at_mut(context, 0) }.ok_or(Verdict::NoHeadroom)?;
    front.ethernet = Ethernet { destination, source, kind: Ethernet::IPV4 };
    front.outer = *outer;
    Ok(())
}
