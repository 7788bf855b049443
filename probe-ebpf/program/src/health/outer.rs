//! The outer header of a check's packet: the one that the balancer gives a client's.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    programs::TcContext,
};
use maglev_probe_abi::{CheckRecord, OUTER_V4, OUTER_V6};

use crate::packet::{ETHERNET, ETHERNET_TYPE, Packet};

/// How many routers a tunnel may lead through.
const TIME_TO_LIVE: u8 = 64;
const DO_NOT_FRAGMENT: u16 = 0x4000;
/// What an outer header calls IPv4 inside.
const INNER_IPV4: u8 = 4;
/// What an outer header calls IPv6 inside.
const INNER_IPV6: u8 = 41;

/// An outer IPv4 header, as it is on the wire.
#[repr(C)]
struct Ipv4 {
    version_and_length: u8,
    type_of_service: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
    time_to_live: u8,
    protocol: u8,
    checksum: u16,
    source: [u16; 2],
    destination: [u16; 2],
}

/// An outer IPv6 header, as it is on the wire.
#[repr(C)]
struct Ipv6 {
    version_and_class: u8,
    class_and_label: u8,
    label: u16,
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

/// Puts the header in front that the record asks for, if any.
#[inline(always)]
pub(crate) fn put_on(context: &TcContext, packet: &Packet, record: &CheckRecord) -> Option<()> {
    let length = u16::try_from(context.len() as usize - ETHERNET).ok()?;
    match record.outer {
        OUTER_V4 => {
            let header = ipv4(packet, record, length.checked_add(size_of::<Ipv4>() as u16)?);
            push(context, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, 0x0800, &header)
        }
        OUTER_V6 => push(context, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, 0x86dd, &ipv6(packet, record, length)),
        _ => Some(()),
    }
}

#[inline(always)]
fn push<Header>(context: &TcContext, family: u32, kind: u16, header: &Header) -> Option<()> {
    context.adjust_room(size_of::<Header>() as i32, BPF_ADJ_ROOM_MAC, family.into()).ok()?;
    context.store(ETHERNET_TYPE, &kind.to_be(), 0).ok()?;
    context.store(ETHERNET, header, 0).ok()
}

#[inline(always)]
fn ipv4(packet: &Packet, record: &CheckRecord, total_length: u16) -> Ipv4 {
    let mut header = Ipv4 {
        version_and_length: 0x45,
        type_of_service: packet.type_of_service,
        total_length: total_length.to_be(),
        identification: 0,
        fragment: DO_NOT_FRAGMENT.to_be(),
        time_to_live: TIME_TO_LIVE,
        protocol: inner_protocol(packet),
        checksum: 0,
        source: halves(&record.outer_source),
        destination: halves(&record.backend),
    };
    header.checksum = header.right_checksum();
    header
}

/// An IPv4 address in halves as they lie in memory.
#[inline(always)]
fn halves(address: &[u8; 16]) -> [u16; 2] {
    [u16::from_ne_bytes([address[0], address[1]]), u16::from_ne_bytes([address[2], address[3]])]
}

impl Ipv4 {
    /// The sum of the header's halves in ones' complement, inverted (RFC 1071).
    #[inline(always)]
    fn right_checksum(&self) -> u16 {
        let pair = |first: u8, second: u8| u32::from(u16::from_ne_bytes([first, second]));
        let sum = pair(self.version_and_length, self.type_of_service)
            + u32::from(self.total_length)
            + u32::from(self.fragment)
            + pair(self.time_to_live, self.protocol)
            + u32::from(self.source[0])
            + u32::from(self.source[1])
            + u32::from(self.destination[0])
            + u32::from(self.destination[1]);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
}

#[inline(always)]
fn ipv6(packet: &Packet, record: &CheckRecord, payload_length: u16) -> Ipv6 {
    let class = packet.type_of_service;
    Ipv6 {
        version_and_class: 0x60 | class >> 4,
        // As the balancer makes it of the flow hash.
        class_and_label: class << 4 | (record.hash >> 16 & 0x0f) as u8,
        label: record.hash as u16,
        payload_length: payload_length.to_be(),
        next_header: inner_protocol(packet),
        hop_limit: TIME_TO_LIVE,
        source: record.outer_source,
        destination: record.backend,
    }
}

#[inline(always)]
fn inner_protocol(packet: &Packet) -> u8 {
    if packet.is_ipv4() { INNER_IPV4 } else { INNER_IPV6 }
}
