//! Who a packet is from and to, whatever balancing makes of it: packets that it does not look at are asked for most.

use aya_ebpf::programs::XdpContext;
use maglev_probe_abi::TraceRecord;

use crate::packet::{self, Ethernet, Extension, Half, Ipv4, Ipv6, LongAddress, Tcp, Udp, protocol};

/// A VLAN tag behind an Ethernet header's addresses (IEEE 802.1Q): the tag, and what follows.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tag {
    control: Half,
    kind: Half,
}

const TAG: Half = 0x8100_u16.to_be();
const SERVICE_TAG: Half = 0x88a8_u16.to_be();
const MOST_TAGS: u8 = 2;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What an ICMP header begins with, and how long it is.
#[repr(C)]
#[derive(Clone, Copy)]
struct Icmp {
    kind: u8,
    code: u8,
    checksum: Half,
    rest: [Half; 2],
}

/// How many extension headers of an IPv6 packet are followed.
const EXTENSIONS: usize = 6;

/// What lies behind an IP header.
struct Inside {
    protocol: u8,
    offset: usize,
    /// Whether ports may be there: in later fragments none are.
    has_header: bool,
}

/// Writes down what the headers say; `None` where the packet is not IP.
#[inline(always)]
pub(super) fn describe(context: &XdpContext, record: &mut TraceRecord) -> Option<()> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }?;
    let (mut kind, mut offset) = (ethernet.kind, Ethernet::LENGTH);
    for _ in 0..MOST_TAGS {
        if kind != TAG && kind != SERVICE_TAG {
            break;
        }
        // SAFETY: bytes alone.
        let tag: &Tag = unsafe { packet::at(context, offset) }?;
        kind = tag.kind;
        offset += size_of::<Tag>();
        record.tags += 1;
    }
    let inside = match kind {
        Ethernet::IPV4 => ipv4(context, offset, record)?,
        Ethernet::IPV6 => ipv6(context, offset, record)?,
        _ => return None,
    };
    record.protocol = inside.protocol;
    if inside.has_header {
        transport(context, &inside, record);
    }
    Some(())
}

#[inline(always)]
fn ipv4(context: &XdpContext, offset: usize, record: &mut TraceRecord) -> Option<Inside> {
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(context, offset) }?;
    record.family = 4;
    record.client = narrow(header.source.word());
    record.service = narrow(header.destination.word());
    record.length = header.packet_length().into();
    let begins = header.fragment & 0x1fff_u16.to_be() == 0;
    Some(Inside {
        protocol: header.protocol,
        offset: offset + usize::from(header.version_and_length & 0x0f) * 4,
        has_header: begins,
    })
}

#[inline(always)]
fn ipv6(context: &XdpContext, offset: usize, record: &mut TraceRecord) -> Option<Inside> {
    // SAFETY: bytes alone.
    let header: &Ipv6 = unsafe { packet::at(context, offset) }?;
    record.family = 6;
    record.client = wide(header.source);
    record.service = wide(header.destination);
    record.length = (Ipv6::LENGTH + header.payload()) as u32;
    let (mut next, mut offset) = (header.next_header, offset + Ipv6::LENGTH);
    let mut has_header = true;
    for _ in 0..EXTENSIONS {
        let is_fragment = next == protocol::FRAGMENT;
        if !is_fragment
            && !matches!(next, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS)
        {
            break;
        }
        // SAFETY: bytes alone.
        let extension: &Extension = unsafe { packet::at(context, offset) }?;
        next = extension.next_header;
        if is_fragment {
            // SAFETY: bytes alone.
            let place: &Half = unsafe { packet::at(context, offset + 2) }?;
            has_header = *place & 0xfff8_u16.to_be() == 0;
            offset += 8;
        } else {
            offset += extension.length();
        }
    }
    Some(Inside { protocol: next, offset, has_header })
}

/// Ports and flags, or what an ICMP error is about.
#[inline(always)]
fn transport(context: &XdpContext, inside: &Inside, record: &mut TraceRecord) {
    match inside.protocol {
        protocol::TCP => {
            // SAFETY: bytes alone.
            if let Some(tcp) = unsafe { packet::at::<Tcp>(context, inside.offset) } {
                record.client_port = u16::from_be(tcp.source);
                record.service_port = u16::from_be(tcp.destination);
                record.flags = tcp.flags;
            }
        }
        protocol::UDP => {
            // SAFETY: bytes alone.
            if let Some(udp) = unsafe { packet::at::<Udp>(context, inside.offset) } {
                record.client_port = u16::from_be(udp.source);
                record.service_port = u16::from_be(udp.destination);
            }
        }
        ICMP | ICMPV6 => quoted(context, inside.offset, record),
        _ => {}
    }
}

/// An ICMP error quotes a packet from the service to the client, which tells whom it is about (RFC 792, RFC 4443).
#[inline(always)]
fn quoted(context: &XdpContext, offset: usize, record: &mut TraceRecord) {
    // SAFETY: bytes alone.
    let Some(icmp) = (unsafe { packet::at::<Icmp>(context, offset) }) else { return };
    record.icmp_type = icmp.kind;
    let quote = offset + size_of::<Icmp>();
    let ports = if record.family == 4 {
        if !matches!(icmp.kind, 3 | 11 | 12) {
            return;
        }
        // SAFETY: bytes alone.
        let Some(header) = (unsafe { packet::at::<Ipv4>(context, quote) }) else { return };
        record.client = narrow(header.destination.word());
        record.service = narrow(header.source.word());
        quote + usize::from(header.version_and_length & 0x0f) * 4
    } else {
        if !matches!(icmp.kind, 1..5) {
            return;
        }
        // SAFETY: bytes alone.
        let Some(header) = (unsafe { packet::at::<Ipv6>(context, quote) }) else { return };
        record.client = wide(header.destination);
        record.service = wide(header.source);
        quote + Ipv6::LENGTH
    };
    // SAFETY: bytes alone. Both TCP and UDP begin with the ports.
    if let Some(&[source, destination]) = unsafe { packet::at::<[Half; 2]>(context, ports) } {
        record.service_port = u16::from_be(source);
        record.client_port = u16::from_be(destination);
    }
}

/// An IPv4 address as records have it.
#[inline(always)]
fn narrow(word: u32) -> [u8; 16] {
    let [a, b, c, d] = word.to_ne_bytes();
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// An IPv6 address as records have it.
#[inline(always)]
fn wide(address: LongAddress) -> [u8; 16] {
    // SAFETY: sixteen bytes either way.
    unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(address.words()) }
}
