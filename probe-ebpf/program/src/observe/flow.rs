//! From a frame to the flow that Cilium looks up, or to the verdict that it is none to be judged.

use maglev_core::slot::Segment;
use maglev_probe_abi::{FragmentKey, FragmentPorts, ObserverVerdict, ServiceKey};

use super::fragments;
use crate::packet::{self, Ethernet, Extension, Half, Ipv4, Ipv6, Linear, Tcp, protocol};

/// How many extension headers Cilium follows: of its rounds (`IPV6_MAX_HEADERS`, `bpf/lib/ipv6.h`) one is left for what is
/// behind them.
const EXTENSIONS: usize = 3;

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
    /// Whether others follow that have no ports.
    pub(super) is_first_fragment: bool,
    /// What they have in common with it, in network order.
    identification: Half,
}

impl Flow {
    /// What it has in common with the fragments that follow.
    #[inline(always)]
    pub(super) fn fragment(&self) -> FragmentKey {
        let ServiceKey { address, protocol, .. } = self.frontend;
        fragments::key(bytes(self.client), address, self.identification, protocol)
    }

    /// The ports, which those do not have.
    #[inline(always)]
    pub(super) fn ports(&self) -> FragmentPorts {
        FragmentPorts { client: self.client_port, service: self.frontend.port }
    }
}

/// What an IP header says.
struct Header {
    source: [u32; 4],
    destination: [u32; 4],
    family: u8,
    protocol: u8,
    /// Where what is inside begins.
    offset: usize,
    fragment: Fragment,
    identification: Half,
}

/// What part of its packet it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fragment {
    /// All of it.
    Whole,
    /// The part with the ports.
    First,
    /// A part without.
    Later,
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
    let fragment = if header.fragment & Ipv4::OFFSET != 0 {
        Fragment::Later
    } else if header.fragment & Ipv4::MORE_FRAGMENTS != 0 {
        Fragment::First
    } else {
        Fragment::Whole
    };
    Ok(Header {
        source: [header.source.word(), 0, 0, 0],
        destination: [header.destination.word(), 0, 0, 0],
        family: 4,
        protocol: header.protocol,
        offset: start + length,
        fragment,
        identification: header.identification,
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
        fragment: Fragment::Whole,
        identification: 0,
    })
}

/// The ports, which are at one place in all three protocols, and what TCP's flags say. A later fragment has those of its
/// first one.
#[inline(always)]
fn inside(frame: &impl Linear, header: &Header) -> Result<Flow, ObserverVerdict> {
    let opens = match header.protocol {
        protocol::TCP | protocol::UDP | SCTP if header.fragment == Fragment::Later => false,
        protocol::TCP => {
            // SAFETY: bytes alone.
            let tcp: &Tcp = unsafe { packet::at(frame, header.offset) }.ok_or(ObserverVerdict::Malformed)?;
            Segment::of_flags(tcp.flags) == Segment::Opening
        }
        protocol::UDP | SCTP => false,
        _ => return Err(ObserverVerdict::OtherProtocol),
    };
    let address = bytes(header.destination);
    let FragmentPorts { client, service } = if header.fragment == Fragment::Later {
        let key = fragments::key(bytes(header.source), address, header.identification, header.protocol);
        fragments::recall(&key).ok_or(ObserverVerdict::Fragment)?
    } else {
        // SAFETY: bytes alone.
        let [client, service]: &[Half; 2] =
            unsafe { packet::at(frame, header.offset) }.ok_or(ObserverVerdict::Malformed)?;
        FragmentPorts { client: *client, service: *service }
    };
    Ok(Flow {
        frontend: ServiceKey { address, port: service, protocol: header.protocol, family: header.family },
        client: header.source,
        client_port: client,
        opens,
        is_first_fragment: header.fragment == Fragment::First,
        identification: header.identification,
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
