//! What is sent, byte for byte: packets in tunnels, errors, replies to echo requests.

use std::net::IpAddr;

use super::headers::{Frame, Packet};
use crate::site::{TUNNEL_HOST_MASK_V4, TUNNEL_SOURCE_V4, TUNNEL_SOURCE_V6};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The sum of the bytes, by halves, in ones' complement (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("it is folded")
}

/// A checksum where one half of what it sums up has become another one: equation 3 of RFC 1624.
fn updated(checksum: u16, before: u16, after: u16) -> u16 {
    !sum(&[(!checksum).to_be_bytes(), (!before).to_be_bytes(), after.to_be_bytes()].concat())
}

fn update(bytes: &mut [u8], checksum: usize, changed: usize, change: impl FnOnce(&mut [u8])) {
    let half = |bytes: &[u8], place: usize| u16::from_be_bytes([bytes[place], bytes[place + 1]]);
    let before = half(bytes, changed);
    change(bytes);
    let checked = updated(half(bytes, checksum), before, half(bytes, changed));
    bytes[checksum..checksum + 2].copy_from_slice(&checked.to_be_bytes());
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn be(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("lengths were looked at before").to_be_bytes()
}

/// An IPv4 header without options that forbids fragments (RFC 791).
fn ipv4_header(class: u8, length: usize, protocol: u8, source: &[u8], destination: &[u8]) -> Vec<u8> {
    let [high, low] = be(length);
    let mut header = vec![0x45, class, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend([source, destination].concat());
    let checksum = !sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// An IPv6 header (RFC 8200).
fn ipv6_header(
    class: u8,
    label: [u8; 3],
    payload: usize,
    next: u8,
    source: &[u8],
    destination: &[u8],
) -> Vec<u8> {
    let [high, low] = be(payload);
    let mut header = vec![0x60 | class >> 4, class << 4 | label[0], label[1], label[2], high, low, next, 64];
    header.extend([source, destination].concat());
    header
}

fn kind(family: u8) -> [u8; 2] {
    if family == 4 { [0x08, 0x00] } else { [0x86, 0xdd] }
}

/// The packet as a router sends it on: its time to live is one less (RFC 1812), and an IPv4 checksum knows.
fn routed(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.rest.to_vec();
    if frame.family == 6 {
        bytes[7] -= 1;
    } else {
        update(&mut bytes, 10, 8, |bytes| bytes[8] -= 1);
    }
    bytes
}

/// The hardware addresses that a frame is sent to and from.
pub(crate) struct Hop<'a> {
    pub(crate) destination: &'a [u8],
    pub(crate) source: &'a [u8],
}

/// The packet, with other hardware addresses.
pub(crate) fn readdressed(frame: &Frame, hop: &Hop) -> Vec<u8> {
    [hop.destination, hop.source, frame.tags, &kind(frame.family), &routed(frame)].concat()
}

/// The packet in a tunnel to a backend.
pub(crate) fn tunnelled(frame: &Frame, packet: &Packet, hop: &Hop, hash: u32, backend: IpAddr) -> Vec<u8> {
    let [h0, h1, h2, h3] = hash.to_le_bytes();
    let protocol = if frame.family == 4 { 4 } else { 41 };
    let (family, outer) = match backend {
        IpAddr::V4(_) => {
            let mut source = TUNNEL_SOURCE_V4;
            for ((byte, hashed), mask) in source.iter_mut().zip([h0, h1, h2, h3]).zip(TUNNEL_HOST_MASK_V4) {
                *byte |= hashed & mask;
            }
            let length = packet.bytes.len() + 20;
            (4, ipv4_header(packet.class, length, protocol, &source, &octets(backend)))
        }
        IpAddr::V6(_) => {
            let mut source = TUNNEL_SOURCE_V6;
            source[14] |= h2;
            source[15] |= h3;
            let label = [h2 & 0x0f, h0, h1];
            (6, ipv6_header(packet.class, label, packet.bytes.len(), protocol, &source, &octets(backend)))
        }
    };
    [hop.destination, hop.source, frame.tags, &kind(family), &outer, &routed(frame)].concat()
}

/// Whether there is one host that an answer would go to: RFC 1122, 3.2.2; RFC 4443, 2.4 (e).
pub(crate) fn may_be_answered(frame: &Frame, packet: &Packet) -> bool {
    let is_host = match packet.source {
        IpAddr::V4(source) => {
            let [first, ..] = source.octets();
            first != 0 && !source.is_loopback() && first < 224
        }
        IpAddr::V6(source) => !source.is_multicast() && !source.is_unspecified(),
    };
    is_host && frame.destination[0] & 1 == 0
}

/// Why a packet is not sent on.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    TimeExceeded,
    TooBig(usize),
}

/// The error to who sent the packet: RFC 792, 1191 and 1812, RFC 4443; `None` where none would be of use.
pub(crate) fn error(frame: &Frame, packet: &Packet, reason: Reason) -> Option<Vec<u8>> {
    let (source, destination) = (octets(packet.destination), octets(packet.source));
    let quoted = |most: usize| &packet.bytes[..packet.bytes.len().min(most) & !1];
    let answer = if frame.family == 4 {
        let mut message = match reason {
            Reason::TimeExceeded => vec![11, 0, 0, 0, 0, 0, 0, 0],
            Reason::TooBig(most) => [&[3, 4, 0, 0, 0, 0], &be(most)[..]].concat(),
        };
        message.extend(quoted(576 - 28));
        let checksum = !sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        [ipv4_header(0xc0, message.len() + 20, ICMP, &source, &destination), message].concat()
    } else {
        let mut message = match reason {
            Reason::TimeExceeded => vec![3, 0, 0, 0, 0, 0, 0, 0],
            Reason::TooBig(most) => {
                let most = most.max(1280);
                if packet.bytes.len() <= most {
                    return None;
                }
                [&[2, 0, 0, 0, 0, 0], &be(most)[..]].concat()
            }
        };
        message.extend(quoted(1280 - 48));
        let pseudo_header = [&source, &destination, &be(message.len())[..], &[0, ICMPV6]].concat();
        let checksum = !sum(&[&pseudo_header[..], &message].concat());
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        [ipv6_header(0, [0; 3], message.len(), ICMPV6, &source, &destination), message].concat()
    };
    Some([frame.source, frame.destination, frame.tags, &kind(frame.family), &answer].concat())
}

/// The reply to an echo request, which is the request but for addresses, type and time to live.
pub(crate) fn reply(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.rest.to_vec();
    if frame.family == 4 {
        update(&mut bytes, 10, 8, |bytes| bytes[8] = 64);
        let (source, destination) = bytes[12..20].split_at_mut(4);
        source.swap_with_slice(destination);
        update(&mut bytes, 22, 20, |bytes| bytes[20] = 0);
    } else {
        bytes[7] = 64;
        let (source, destination) = bytes[8..40].split_at_mut(16);
        source.swap_with_slice(destination);
        update(&mut bytes, 42, 40, |bytes| bytes[40] = 129);
    }
    [frame.source, frame.destination, frame.tags, &kind(frame.family), &bytes].concat()
}
