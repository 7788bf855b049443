//! From a frame to the flow that Cilium looks up, or to the verdict that it is none to be judged.

use maglev_core::slot::Segment;
use maglev_probe_abi::{ObserverVerdict, ServiceKey};

use crate::packet::{self, Ethernet, Extension, Half, Ipv4, Ipv6, Linear, Tcp, protocol};

/// How many extension headers Cilium follows (`IPV6_MAX_HEADERS`, `bpf/lib/ipv6.h`).
const EXTENSIONS: usize = 4;

/// Protocols that the balancer does not know, in an IP header.
const AUTHENTICATION: u8 = 51;
const SCTP: u8 = 132;

/// The part of a tag that says which VLAN: 0 is none, and the tag says a priority alone.
const VLAN: u16 = 0x0fff;

/// The most bytes that are looked at: Ethernet with a tag, IPv6 with some extension headers, and TCP.
pub(super) const LOOKED_AT: u32 = 14 + 4 + 40 + 64 + 20;

/// What Cilium looks up and hashes.
pub(super) struct Flow {
    /// Where it is sent to.
    pub(super) frontend: ServiceKey,
    /// Who sent it; of an IPv4 address the first word.
    pub(super) client: [u32; 4],
    /// The sender's port, in network order.
    pub(super) client_port: Half,
    /// Whether it asks for a connection.
    pub(super) opens: bool,
}

/// What an IP header says.
struct Header {
    source: [u32; 4],
    destination: [u32; 4],
    family: u8,
    protocol: u8,
    /// Where what is inside begins.
    offset: usize,
}

/// Reads the headers of a frame.
#[inline(always)]
pub(super) fn read(frame: &impl Linear) -> Result<Flow, ObserverVerdict> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(frame, 0) }.ok_or(ObserverVerdict::Malformed)?;
    let (mut kind, mut start) = (ethernet.kind, Ethernet::LENGTH);
    if kind == Ethernet::TAG || kind == Ethernet::SERVICE_TAG {
        // SAFETY: bytes alone.
        let [control, behind]: &[Half; 2] =
            unsafe { packet::at(frame, start) }.ok_or(ObserverVerdict::Malformed)?;
        if is_in_vlan(u16::from_be(*control)) {
            return Err(ObserverVerdict::Tagged);
        }
        (kind, start) = (*behind, start + size_of::<[Half; 2]>());
    }
    let header = match kind {
        Ethernet::IPV4 => ipv4(frame, start)?,
        Ethernet::IPV6 => ipv6(frame, start)?,
        _ => return Err(ObserverVerdict::NotIp),
    };
    inside(frame, &header)
}

/// Whether a tag's control information names a VLAN: Cilium leaves such packets to the VLAN's own interface, or drops
/// them.
#[inline(always)]
pub(super) fn is_in_vlan(control: u16) -> bool {
    control & VLAN != 0
}

#[inline(always)]
fn ipv4(frame: &impl Linear, start: usize) -> Result<Header, ObserverVerdict> {
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(frame, start) }.ok_or(ObserverVerdict::Malformed)?;
    let length = header.header_length().ok_or(ObserverVerdict::Malformed)?;
    // Of the first fragment the ports are there; Cilium remembers them for those that follow.
    if header.fragment & Ipv4::OFFSET != 0 {
        return Err(ObserverVerdict::Fragment);
    }
    Ok(Header {
        source: [header.source.word(), 0, 0, 0],
        destination: [header.destination.word(), 0, 0, 0],
        family: 4,
        protocol: header.protocol,
        offset: start + length,
    })
}

#[inline(always)]
fn ipv6(frame: &impl Linear, start: usize) -> Result<Header, ObserverVerdict> {
    // SAFETY: bytes alone.
    let header: &Ipv6 = unsafe { packet::at(frame, start) }.ok_or(ObserverVerdict::Malformed)?;
    let (mut protocol, mut offset) = (header.next_header, start + Ipv6::LENGTH);
    for followed in 0..=EXTENSIONS {
        match protocol {
            protocol::FRAGMENT => return Err(ObserverVerdict::Fragment),
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | AUTHENTICATION => {
                if followed == EXTENSIONS {
                    return Err(ObserverVerdict::Malformed);
                }
                // SAFETY: bytes alone.
                let extension: &Extension =
                    unsafe { packet::at(frame, offset) }.ok_or(ObserverVerdict::Malformed)?;
                offset += if protocol == AUTHENTICATION {
                    // It counts in other units than the others (RFC 4302).
                    (usize::from(extension.units) + 2) * 4
                } else {
                    extension.length()
                };
                protocol = extension.next_header;
            }
            _ => break,
        }
    }
    Ok(Header {
        source: header.source.words(),
        destination: header.destination.words(),
        family: 6,
        protocol,
        offset,
    })
}

/// The ports, which are at one place in all three protocols, and what TCP's flags say.
#[inline(always)]
fn inside(frame: &impl Linear, header: &Header) -> Result<Flow, ObserverVerdict> {
    let opens = match header.protocol {
        protocol::TCP => {
            // SAFETY: bytes alone.
            let tcp: &Tcp = unsafe { packet::at(frame, header.offset) }.ok_or(ObserverVerdict::Malformed)?;
            Segment::of_flags(tcp.flags) == Segment::Opening
        }
        protocol::UDP | SCTP => false,
        _ => return Err(ObserverVerdict::OtherProtocol),
    };
    // SAFETY: bytes alone.
    let [client_port, port]: &[Half; 2] =
        unsafe { packet::at(frame, header.offset) }.ok_or(ObserverVerdict::Malformed)?;
    Ok(Flow {
        frontend: ServiceKey {
            address: bytes(header.destination),
            port: *port,
            protocol: header.protocol,
            family: header.family,
        },
        client: header.source,
        client_port: *client_port,
        opens,
    })
}

/// An address in bytes, as it lies in memory.
#[inline(always)]
pub(super) fn bytes(words: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = words.map(u32::to_ne_bytes);
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (c, d);
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}
