//! What the IP headers of a packet say.

use aya_ebpf::programs::XdpContext;
use maglev_probe_abi::Verdict;

use crate::packet::{self, Ethernet, Extension, FragmentHeader, Half, Ipv4, Ipv6, protocol};

/// An address of either family, in words as they lie in memory; of an IPv4 address the first word, the rest zero.
pub(crate) type Wide = [u32; 4];

/// How many extension headers of an IPv6 packet are followed: nobody sends more, and the verifier counts.
const EXTENSIONS: usize = 6;

/// What the IP headers of a packet say.
pub(crate) struct Datagram {
    pub(crate) source: Wide,
    pub(crate) destination: Wide,
    /// 4 or 6.
    pub(crate) family: u8,
    /// The number of the protocol of what is inside; of a later fragment of an IPv6 packet that of the next header.
    pub(crate) protocol: u8,
    /// Or traffic class.
    pub(crate) type_of_service: u8,
    /// Or hop limit.
    pub(crate) time_to_live: u8,
    /// Which part of a packet it is.
    pub(crate) part: Part,
    /// What the parts of a packet have in common, in network order.
    pub(crate) identification: u32,
    /// The packet's length from its first header on.
    pub(crate) length: u32,
    /// Where what is inside begins, from the start of the frame.
    pub(crate) offset: usize,
    /// How long what is inside is.
    pub(crate) payload: usize,
}

/// Which part of a packet it is that was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// The first fragment of several.
    First,
    /// A fragment that others went before.
    Later,
}

impl Part {
    /// Of a fragment that begins so far into its packet and that others follow, or not.
    #[inline(always)]
    fn of(begins: Half, is_followed: bool) -> Self {
        match (begins, is_followed) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// Reads the header of an IPv4 packet. Where no options are asked for, only a header without is one.
#[inline(always)]
pub(crate) fn ipv4<const OPTIONS: bool>(context: &XdpContext) -> Result<Datagram, Verdict> {
    let start = Ethernet::LENGTH;
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(context, start) }.ok_or(Verdict::Malformed)?;
    if !OPTIONS && header.version_and_length != Ipv4::WITHOUT_OPTIONS {
        return Err(Verdict::Malformed);
    }
    let header_length = header.header_length().ok_or(Verdict::Malformed)?;
    let packet_length = header.packet_length();
    let payload = usize::from(packet_length).checked_sub(header_length).ok_or(Verdict::Malformed)?;
    if !packet::reaches(context, start + usize::from(packet_length)) {
        return Err(Verdict::Malformed);
    }
    Ok(Datagram {
        source: [header.source.word(), 0, 0, 0],
        destination: [header.destination.word(), 0, 0, 0],
        family: 4,
        protocol: header.protocol,
        type_of_service: header.type_of_service,
        time_to_live: header.time_to_live,
        part: Part::of(header.fragment & Ipv4::OFFSET, header.fragment & Ipv4::MORE_FRAGMENTS != 0),
        identification: header.identification.into(),
        length: packet_length.into(),
        offset: start + header_length,
        payload,
    })
}

/// Reads the headers of an IPv6 packet. Where extension headers are not asked for, what follows is what is inside.
#[inline(always)]
pub(crate) fn ipv6<const EXTENSIONS: bool>(context: &XdpContext) -> Result<Datagram, Verdict> {
    let start = Ethernet::LENGTH;
    // SAFETY: bytes alone.
    let header: &Ipv6 = unsafe { packet::at(context, start) }.ok_or(Verdict::Malformed)?;
    let payload = header.payload();
    if header.version() != 6 || !packet::reaches(context, start + Ipv6::LENGTH + payload) {
        return Err(Verdict::Malformed);
    }
    let behind = if EXTENSIONS {
        extensions(context, header.next_header, start + Ipv6::LENGTH)?
    } else {
        Behind::nothing(header.next_header)
    };
    Ok(Datagram {
        source: header.source.words(),
        destination: header.destination.words(),
        family: 6,
        protocol: behind.protocol,
        type_of_service: header.class(),
        time_to_live: header.hop_limit,
        part: behind.part,
        identification: behind.identification,
        length: (Ipv6::LENGTH + payload) as u32,
        offset: start + Ipv6::LENGTH + behind.length,
        payload: payload.checked_sub(behind.length).ok_or(Verdict::Malformed)?,
    })
}

/// What follows the extension headers of an IPv6 packet.
pub(crate) struct Behind {
    /// Its protocol.
    pub(crate) protocol: u8,
    /// How long the extension headers are.
    pub(crate) length: usize,
    /// Which part of a packet it is.
    pub(crate) part: Part,
    identification: u32,
}

impl Behind {
    /// What follows no extension header.
    #[inline(always)]
    fn nothing(protocol: u8) -> Self {
        Self { protocol, length: 0, part: Part::Whole, identification: 0 }
    }
}

/// Follows the extension headers, of which the first one is of that kind and begins there, up to a later fragment's
/// own.
#[inline(always)]
pub(crate) fn extensions(context: &XdpContext, first: u8, offset: usize) -> Result<Behind, Verdict> {
    let mut behind = Behind::nothing(first);
    for followed in 0..=EXTENSIONS {
        match behind.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | protocol::FRAGMENT
                if followed == EXTENSIONS =>
            {
                break;
            }
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                // SAFETY: bytes alone.
                let extension: &Extension =
                    unsafe { packet::at(context, offset + behind.length) }.ok_or(Verdict::Malformed)?;
                behind.protocol = extension.next_header;
                behind.length += extension.length();
            }
            protocol::FRAGMENT => {
                // SAFETY: bytes alone.
                let fragment: &FragmentHeader =
                    unsafe { packet::at(context, offset + behind.length) }.ok_or(Verdict::Malformed)?;
                behind.protocol = fragment.next_header;
                behind.length += size_of::<FragmentHeader>();
                behind.part = fragment.part();
                behind.identification = fragment.identification();
                if behind.part == Part::Later {
                    return Ok(behind);
                }
            }
            _ => return Ok(behind),
        }
    }
    Err(Verdict::ExtensionHeaders)
}

impl FragmentHeader {
    /// A fragment that neither begins late nor is followed is a whole packet (RFC 6946).
    #[inline(always)]
    fn part(self) -> Part {
        Part::of(self.place & 0xfff8_u16.to_be(), self.place & 1_u16.to_be() != 0)
    }
}
