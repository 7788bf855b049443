//! What of a packet tells whether it is a check's.

use aya_ebpf::programs::TcContext;
use maglev_probe_abi::CheckKey;

/// How long an Ethernet header is. Tags of a VLAN do not stand in the frame here.
pub(crate) const ETHERNET: usize = 14;
/// Where in it the type stands.
pub(crate) const ETHERNET_TYPE: usize = 12;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
/// The flag of a fragment that others follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The bits that say where in its packet a fragment begins.
const OFFSET: u16 = 0x1fff;

/// A TCP packet, whole and without extension headers.
pub(crate) struct Packet {
    /// Where it comes from.
    pub(crate) source: CheckKey,
    /// Where it goes to.
    pub(crate) destination: CheckKey,
    /// Where in the frame the TCP header begins.
    pub(crate) transport: usize,
    /// The type of service, or traffic class.
    pub(crate) type_of_service: u8,
}

/// The IPv4 header without its options.
#[repr(C)]
struct Ipv4 {
    version_and_length: u8,
    type_of_service: u8,
    lengths: [u8; 4],
    fragment: [u8; 2],
    time_to_live: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

/// The IPv6 header.
#[repr(C)]
struct Ipv6 {
    version_and_class: u8,
    class_and_label: u8,
    label_and_length: [u8; 4],
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

impl Packet {
    /// Reads the packet in hand; `None` where it is another kind.
    #[inline(always)]
    pub(crate) fn read(context: &TcContext) -> Option<Self> {
        match u16::from_be(context.skb.protocol() as u16) {
            TYPE_IPV4 => Self::ipv4(context),
            TYPE_IPV6 => Self::ipv6(context),
            _ => None,
        }
    }

    #[inline(always)]
    fn ipv4(context: &TcContext) -> Option<Self> {
        let header: Ipv4 = context.load(ETHERNET).ok()?;
        let is_whole = u16::from_be_bytes(header.fragment) & (MORE_FRAGMENTS | OFFSET) == 0;
        if header.protocol != TCP || !is_whole || header.version_and_length >> 4 != 4 {
            return None;
        }
        let transport = ETHERNET + usize::from(header.version_and_length & 0x0f) * 4;
        let [source, destination]: [u16; 2] = context.load(transport).ok()?;
        let end = |[a, b, c, d]: [u8; 4], port| CheckKey {
            address: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            port,
            family: 4,
            padding: 0,
        };
        Some(Self {
            source: end(header.source, source),
            destination: end(header.destination, destination),
            transport,
            type_of_service: header.type_of_service,
        })
    }

    #[inline(always)]
    fn ipv6(context: &TcContext) -> Option<Self> {
        let header: Ipv6 = context.load(ETHERNET).ok()?;
        if header.next_header != TCP {
            return None;
        }
        let transport = ETHERNET + size_of::<Ipv6>();
        let [source, destination]: [u16; 2] = context.load(transport).ok()?;
        let end = |address, port| CheckKey { address, port, family: 6, padding: 0 };
        Some(Self {
            source: end(header.source, source),
            destination: end(header.destination, destination),
            transport,
            type_of_service: header.version_and_class << 4 | header.class_and_label >> 4,
        })
    }

    /// Whether it is an IPv4 one.
    #[inline(always)]
    pub(crate) fn is_ipv4(&self) -> bool {
        self.source.family == 4
    }
}
