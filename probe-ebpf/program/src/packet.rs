//! Bytes of the packet, each look at them within bounds that the verifier has seen checked.

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};

use crate::checksum;

/// A packet as far as a program can look at it: from the one address to the other.
pub(crate) trait Linear {
    /// Where it begins.
    fn start(&self) -> usize;
    /// Where what can be looked at ends.
    fn end(&self) -> usize;
}

impl Linear for XdpContext {
    #[inline(always)]
    fn start(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.data_end()
    }
}

/// The `T` that lies `offset` bytes into the packet, or `None` where the packet ends before it does. What a program
/// can look at is the linear part of a packet of several fragments.
///
/// Headers are looked at in units of two bytes, for frames begin at even addresses: by single bytes it takes twice the
/// loads, and larger units lie across their alignment, behind an Ethernet header of fourteen bytes.
#[inline(always)]
fn place<T>(context: &impl Linear, offset: usize) -> Option<*mut T> {
    const { assert!(align_of::<T>() <= 2) };
    let start = context.start() + offset;
    (start + size_of::<T>() <= context.end()).then_some(start as *mut T)
}

/// What lies there, to be read.
///
/// # Safety
///
/// `T` must have no invalid values, and the reference must not be used once the packet's head is moved.
#[inline(always)]
pub(crate) unsafe fn at<T>(context: &impl Linear, offset: usize) -> Option<&T> {
    // SAFETY: all of it lies before the packet's end; the caller answers for the rest.
    place(context, offset).map(|place| unsafe { &*place })
}

/// What lies there, to be written.
///
/// # Safety
///
/// As for [`at`], and there must be no other reference to it.
#[expect(clippy::mut_from_ref, reason = "the context tells where the packet is, and does not hold it")]
#[inline(always)]
pub(crate) unsafe fn at_mut<T>(context: &XdpContext, offset: usize) -> Option<&mut T> {
    // SAFETY: all of it lies before the packet's end; the caller answers for the rest.
    place(context, offset).map(|place| unsafe { &mut *place })
}

/// Whether the frame, with all of its fragments, is at least so long. To ask how long it is would be a call for each
/// packet.
#[inline(always)]
pub(crate) fn reaches(context: &XdpContext, length: usize) -> bool {
    if context.data() + length <= context.data_end() {
        return true;
    }
    let context: *mut xdp_md = context.ctx;
    // SAFETY: it is the context that the program was given.
    length as u64 <= unsafe { bpf_xdp_get_buff_len(context) }
}

/// Numbers of two bytes in network order.
pub(crate) type Half = u16;

/// A hardware address.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hardware([Half; 3]);

impl Hardware {
    #[inline(always)]
    pub(crate) fn new(bytes: [u8; 6]) -> Self {
        Self([0, 2, 4].map(|place| Half::from_ne_bytes([bytes[place], bytes[place + 1]])))
    }

    /// Whether it is several hosts'.
    #[inline(always)]
    pub(crate) fn is_group(self) -> bool {
        self.0[0] & 0x0100_u16.to_be() != 0
    }

    #[inline(always)]
    pub(crate) fn is_zero(self) -> bool {
        self.0[0] | self.0[1] | self.0[2] == 0
    }
}

/// An IPv4 address.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Address([Half; 2]);

impl Address {
    #[inline(always)]
    pub(crate) fn new([a, b, c, d]: [u8; 4]) -> Self {
        Self([Half::from_ne_bytes([a, b]), Half::from_ne_bytes([c, d])])
    }

    /// Its four bytes as they lie in memory.
    #[inline(always)]
    pub(crate) fn word(self) -> u32 {
        let [low, high] = self.0;
        u32::from(low) | u32::from(high) << 16
    }

    /// The sum of its halves.
    #[inline(always)]
    pub(crate) fn sum(self) -> u32 {
        u32::from(self.0[0]) + u32::from(self.0[1])
    }
}

/// An IPv6 address.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct LongAddress([Half; 8]);

impl LongAddress {
    #[inline(always)]
    pub(crate) fn new(words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        let low = |word: u32| word as Half;
        let high = |word: u32| (word >> 16) as Half;
        Self([low(a), high(a), low(b), high(b), low(c), high(c), low(d), high(d)])
    }

    /// The sum of its halves.
    #[inline(always)]
    pub(crate) fn sum(self) -> u32 {
        self.0.iter().map(|half| u32::from(*half)).sum()
    }

    /// Its sixteen bytes as they lie in memory.
    #[inline(always)]
    pub(crate) fn words(self) -> [u32; 4] {
        let word = |place: usize| u32::from(self.0[place]) | u32::from(self.0[place + 1]) << 16;
        [word(0), word(2), word(4), word(6)]
    }
}

/// The Ethernet header.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ethernet {
    pub(crate) destination: Hardware,
    pub(crate) source: Hardware,
    pub(crate) kind: Half,
}

impl Ethernet {
    pub(crate) const IPV4: Half = 0x0800_u16.to_be();
    pub(crate) const IPV6: Half = 0x86dd_u16.to_be();
    /// What announces a VLAN tag (IEEE 802.1Q).
    pub(crate) const TAG: Half = 0x8100_u16.to_be();
    /// What announces a service's tag (IEEE 802.1ad).
    pub(crate) const SERVICE_TAG: Half = 0x88a8_u16.to_be();
    pub(crate) const LENGTH: usize = size_of::<Self>();
}

/// The IPv4 header without its options.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ipv4 {
    pub(crate) version_and_length: u8,
    pub(crate) type_of_service: u8,
    pub(crate) total_length: Half,
    pub(crate) identification: Half,
    pub(crate) fragment: Half,
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: Half,
    pub(crate) source: Address,
    pub(crate) destination: Address,
}

impl Ipv4 {
    pub(crate) const LENGTH: usize = size_of::<Self>();
    /// What a header begins with that has no options.
    pub(crate) const WITHOUT_OPTIONS: u8 = 0x45;
    /// The flag that forbids fragments.
    pub(crate) const DO_NOT_FRAGMENT: Half = 0x4000_u16.to_be();
    /// The flag of a fragment that others follow.
    pub(crate) const MORE_FRAGMENTS: Half = 0x2000_u16.to_be();
    /// The bits that say where in its packet a fragment begins.
    pub(crate) const OFFSET: Half = 0x1fff_u16.to_be();

    /// The header's length with its options, or `None` where the header contradicts itself.
    #[inline(always)]
    pub(crate) fn header_length(&self) -> Option<usize> {
        let length = usize::from(self.version_and_length & 0x0f) * 4;
        (self.version_and_length >> 4 == 4 && length >= Self::LENGTH).then_some(length)
    }

    /// The length of the whole packet, by the header.
    #[inline(always)]
    pub(crate) fn packet_length(&self) -> u16 {
        u16::from_be(self.total_length)
    }

    /// The checksum that the header should have, whatever it has: the sum of its halves in ones'
    /// complement, inverted. It comes out in the order of bytes that the halves are in.
    #[inline(always)]
    pub(crate) fn right_checksum(&self) -> Half {
        let pair = |first: u8, second: u8| u32::from(Half::from_ne_bytes([first, second]));
        let sum = pair(self.version_and_length, self.type_of_service)
            + u32::from(self.total_length)
            + u32::from(self.identification)
            + u32::from(self.fragment)
            + pair(self.time_to_live, self.protocol)
            + self.source.sum()
            + self.destination.sum();
        checksum::folded(sum)
    }

    /// Whether this is a part of a packet: more fragments follow, or others went before.
    #[inline(always)]
    pub(crate) fn is_fragment(&self) -> bool {
        self.fragment & (Self::MORE_FRAGMENTS | Self::OFFSET) != 0
    }
}

/// The IPv6 header without its extensions.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ipv6 {
    pub(crate) version_and_class: u8,
    pub(crate) class_and_label: u8,
    pub(crate) label: Half,
    pub(crate) payload_length: Half,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: LongAddress,
    pub(crate) destination: LongAddress,
}

impl Ipv6 {
    pub(crate) const LENGTH: usize = size_of::<Self>();

    #[inline(always)]
    pub(crate) fn version(&self) -> u8 {
        self.version_and_class >> 4
    }

    /// The traffic class, which is what IPv4 calls the type of service.
    #[inline(always)]
    pub(crate) fn class(&self) -> u8 {
        self.version_and_class << 4 | self.class_and_label >> 4
    }

    /// Traffic class and label, as the kernel's routes are asked with them.
    #[inline(always)]
    pub(crate) fn flow_information(&self) -> u32 {
        u32::from_ne_bytes([self.version_and_class & 0x0f, self.class_and_label, 0, 0])
            | u32::from(self.label) << 16
    }

    /// The length of what follows the header, by the header.
    #[inline(always)]
    pub(crate) fn payload(&self) -> usize {
        usize::from(u16::from_be(self.payload_length))
    }
}

/// What the extension headers of IPv6 begin with.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Extension {
    pub(crate) next_header: u8,
    pub(crate) units: u8,
}

impl Extension {
    /// The whole header's length.
    #[inline(always)]
    pub(crate) fn length(self) -> usize {
        (usize::from(self.units) + 1) * 8
    }
}

/// The header of a fragment of an IPv6 packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FragmentHeader {
    pub(crate) next_header: u8,
    reserved: u8,
    /// Where in its packet it begins, and in the last bit whether others follow.
    pub(crate) place: Half,
    identification: [Half; 2],
}

impl FragmentHeader {
    /// What the fragments of a packet have in common, in network order.
    #[inline(always)]
    pub(crate) fn identification(self) -> u32 {
        u32::from(self.identification[0]) | u32::from(self.identification[1]) << 16
    }
}

/// What of an IP header of either family a router changes, and what lies in front.
#[repr(C)]
pub(crate) struct Routed {
    length_and_more: [Half; 3],
    next_header: u8,
    hop_limit: u8,
    time_to_live: u8,
    protocol: u8,
    checksum: Half,
}

impl Routed {
    /// Takes one from the time to live, of which there is more than one, of a packet of that family. The checksum of an
    /// IPv4 header grows by what is taken from what it sums up (RFC 1624).
    #[inline(always)]
    pub(crate) fn count_down(&mut self, family: u8) {
        if family == 6 {
            self.hop_limit -= 1;
        } else {
            self.time_to_live -= 1;
            let sum = u32::from(self.checksum) + u32::from(0x0100_u16.to_be());
            self.checksum = (sum + u32::from(sum >= 0xffff)) as Half;
        }
    }
}

/// The TCP header without its options.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Tcp {
    pub(crate) source: Half,
    pub(crate) destination: Half,
    pub(crate) numbers: [Half; 4],
    pub(crate) header_length: u8,
    pub(crate) flags: u8,
    pub(crate) window_and_sums: [Half; 3],
}

/// The UDP header.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Udp {
    pub(crate) source: Half,
    pub(crate) destination: Half,
    pub(crate) length: Half,
    pub(crate) checksum: Half,
}

/// What messages of ICMP begin with, of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Icmp {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) checksum: Half,
    pub(crate) rest: [Half; 2],
}

/// Numbers of protocols in an IP header.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}
