//! ICMP errors about what a service sent: servers answer clients directly, so routers on the way and the clients
//! themselves complain to the service's address. They belong to the backend that has the flow which they quote.

use aya_ebpf::programs::XdpContext;
use maglev_core::slot::Segment;
use maglev_probe_abi::Verdict;

use crate::{
    datagram::{self, Behind, Datagram, Part, Wide},
    packet::{self, Half, Icmp, Ipv4, Ipv6, protocol},
    parse::{Kind, Packet, Ports},
};

/// How much of what is behind its IP headers an error quotes at least (RFC 792).
const LEAST: usize = 8;

/// Whether messages of that kind are errors that quote a packet: unreachable, time exceeded, a parameter's problem, and
/// packet too big.
#[inline(always)]
pub(crate) fn is_error(family: u8, kind: u8) -> bool {
    if family == 4 { matches!(kind, 3 | 11 | 12) } else { matches!(kind, 1..=4) }
}

/// What is quoted of a packet.
struct Quote {
    source: Wide,
    destination: Wide,
    protocol: u8,
    /// Where what was inside begins, from the start of the frame.
    offset: usize,
    /// How long the headers in front of that are.
    headers: usize,
}

/// A packet of an error for the flow that it quotes.
#[inline(always)]
pub(crate) fn read(context: &XdpContext, error: &Datagram) -> Result<Packet, Verdict> {
    let start = error.offset + size_of::<Icmp>();
    let quote = if error.family == 4 { ipv4(context, start) } else { ipv6(context, start) };
    let quote = quote.ok_or(Verdict::ForeignQuote)?;
    let is_tracked = matches!(quote.protocol, protocol::TCP | protocol::UDP);
    // It was sent to who sent the packet.
    if !is_tracked
        || quote.source != error.destination
        || error.payload < size_of::<Icmp>() + quote.headers + LEAST
    {
        return Err(Verdict::ForeignQuote);
    }
    // SAFETY: bytes alone.
    let [service, client]: [Half; 2] =
        *unsafe { packet::at(context, quote.offset) }.ok_or(Verdict::ForeignQuote)?;
    // Like a reset it opens nothing, and is no sign that a connection goes on.
    let ports = Ports { client, service, segment: Segment::Reset };
    let packet = Packet::new(error, &ports, Kind::Quote);
    Ok(Packet { service: quote.source, client: quote.destination, protocol: quote.protocol, ..packet })
}

#[inline(always)]
fn ipv4(context: &XdpContext, start: usize) -> Option<Quote> {
    // SAFETY: bytes alone.
    let header: &Ipv4 = unsafe { packet::at(context, start) }?;
    let headers = header.header_length()?;
    // Only the first fragment of a packet says what flow it is of.
    if header.fragment & Ipv4::OFFSET != 0 {
        return None;
    }
    Some(Quote {
        source: [header.source.word(), 0, 0, 0],
        destination: [header.destination.word(), 0, 0, 0],
        protocol: header.protocol,
        offset: start + headers,
        headers,
    })
}

#[inline(always)]
fn ipv6(context: &XdpContext, start: usize) -> Option<Quote> {
    // SAFETY: bytes alone.
    let header: &Ipv6 = unsafe { packet::at(context, start) }?;
    let Behind { protocol, length, part, .. } =
        datagram::extensions(context, header.next_header, start + Ipv6::LENGTH).ok()?;
    if header.version() != 6 || part == Part::Later {
        return None;
    }
    let headers = Ipv6::LENGTH + length;
    Some(Quote {
        source: header.source.words(),
        destination: header.destination.words(),
        protocol,
        offset: start + headers,
        headers,
    })
}
