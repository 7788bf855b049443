//! The way out: the next hop, by the kernel's routes or a fixed gateway, asked for before the packet is touched, so
//! that one that cannot be sent is whole.

use core::mem::{MaybeUninit, size_of, transmute};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Lookup, xdp_md,
    },
    helpers::generated::{bpf_check_mtu, bpf_fib_lookup, bpf_redirect},
    programs::XdpContext,
};
use maglev_probe_abi::{BackendRecord, FORWARDING_IPIP, FORWARDING_L2, Settings, Verdict};

use crate::{
    aside::Aside,
    datagram::Wide,
    encapsulate,
    maps::{QUESTION, SETTINGS},
    packet::{self, Address, Ethernet, Hardware, Ipv4, Ipv6, Routed},
    parse::Packet,
    trace,
};

/// `AF_INET`, which is 2 on every Linux.
const FAMILY_IPV4: u8 = 2;

/// `AF_INET6`, which is 10 on every Linux.
const FAMILY_IPV6: u8 = 10;

/// `bpf_check_mtu`: the interface takes less.
const CHECK_FRAGMENTATION_NEEDED: i64 = 1;

/// Packets of so many bytes are sent to a gateway without a look at the interface: every link takes them that takes IPv6
/// (RFC 8200).
const EVERY_LINK_TAKES: u16 = 1280;

/// Where a frame goes next.
pub(crate) struct Hop {
    /// Its hardware address.
    destination: Hardware,
    /// The hardware address to send from.
    source: Hardware,
    /// The interface to send by, or `None` for the one that the frame came in by.
    interface: Option<u32>,
}

/// What there is to send, and where.
pub(crate) struct Forwarding<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) hash: u32,
}

/// What became of it: a verdict and, where the packet is larger than the way takes, what it takes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Answer(u64);

impl Answer {
    #[inline(always)]
    pub(crate) fn of(refusal: Refusal) -> Self {
        Self(refusal.verdict as u64 | u64::from(refusal.most) << u32::BITS)
    }

    #[inline(always)]
    pub(crate) fn verdict(self) -> Verdict {
        // SAFETY: it was made of one.
        unsafe { transmute::<u32, Verdict>(self.0 as u32) }
    }

    /// How long a packet the way takes, where that is why it was not sent, and it is known.
    #[inline(always)]
    pub(crate) fn most(self) -> u16 {
        (self.0 >> u32::BITS) as u16
    }
}

/// Why a packet is not sent.
pub(crate) struct Refusal {
    verdict: Verdict,
    /// How long a packet the way takes; 0 where that is not the reason, or is not known.
    most: u16,
}

impl Refusal {
    /// The packet is larger than the way takes.
    #[inline(always)]
    fn too_big(most: u16) -> Self {
        Self { verdict: Verdict::TooBig, most }
    }

    /// The same of a packet that so much is put in front of.
    #[inline(always)]
    fn behind(self, outer: usize) -> Self {
        Self { most: self.most.saturating_sub(outer as u16), ..self }
    }
}

impl From<Verdict> for Refusal {
    #[inline(always)]
    fn from(verdict: Verdict) -> Self {
        Self { verdict, most: 0 }
    }
}

/// Sends a packet to the backend chosen for it: in place where it goes inside an IPv4 header.
#[inline(always)]
pub(crate) fn forward(
    context: &XdpContext,
    packet: &Packet,
    hash: u32,
    forwarding: u8,
    backend: &BackendRecord,
) -> Answer {
    if packet.time_to_live <= 1 {
        return Answer::of(Verdict::TimeExceeded.into());
    }
    if forwarding == FORWARDING_IPIP && backend.family == 4 {
        let sent = tunnel_ipv4(context, &Forwarding { packet, hash }, Address::new(narrow(backend.address)));
        return Answer::of(sent.map_or_else(|refusal| refusal, Refusal::from));
    }
    Answer(forward_otherwise(context.ctx, hash, forwarding.into(), backend))
}

/// The same in any other way, of the packet in hand. A global function, which the verifier looks at once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn forward_otherwise(
    context: *mut xdp_md,
    hash: u32,
    forwarding: u32,
    backend: *const BackendRecord,
) -> u64 {
    // SAFETY: this processor's own element of the map, which has just been written; and whoever calls has a backend.
    let (packet, backend) = unsafe { (Aside::here().map(|aside| &(*aside).packet), backend.as_ref()) };
    let (Some(packet), Some(backend)) = (packet, backend) else {
        return Answer::of(Verdict::Inconsistent.into()).0;
    };
    let sent = leave_for(&XdpContext::new(context), &Forwarding { packet, hash }, forwarding as u8, backend);
    Answer::of(sent.map_or_else(|refusal| refusal, Refusal::from)).0
}

#[inline(always)]
fn leave_for(
    context: &XdpContext,
    flow: &Forwarding,
    forwarding: u8,
    backend: &BackendRecord,
) -> Result<Verdict, Refusal> {
    let backend = Destination::of(backend)?;
    // Read once: the verifier refuses a pointer into the context, which the compiler makes of several places.
    let ingress = context.ingress_ifindex() as u32;
    match (forwarding, backend) {
        (FORWARDING_IPIP, Destination::Ipv6(backend)) => tunnel_ipv6(context, ingress, flow, backend),
        (FORWARDING_L2, backend) => readdress(context, ingress, flow, backend),
        _ => Err(Verdict::Inconsistent.into()),
    }
}

/// An address that the kernel is asked the way to.
#[derive(Clone, Copy)]
enum Destination {
    Ipv4(Address),
    Ipv6(Wide),
}

impl Destination {
    #[inline(always)]
    fn of(record: &BackendRecord) -> Result<Self, Verdict> {
        match record.family {
            4 => Ok(Self::Ipv4(Address::new(narrow(record.address)))),
            // SAFETY: all bytes are valid, and stand as they lie in memory.
            6 => Ok(Self::Ipv6(unsafe { transmute::<[u8; 16], Wide>(record.address) })),
            _ => Err(Verdict::Inconsistent),
        }
    }
}

/// Sends the packet with the backend's hardware address, which is asked for by the backend's address, of whichever
/// family.
#[inline(always)]
fn readdress(
    context: &XdpContext,
    ingress: u32,
    flow: &Forwarding,
    backend: Destination,
) -> Result<Verdict, Refusal> {
    let length = u16::try_from(flow.packet.length).map_err(|_| Verdict::TooBig)?;
    let question = question(ingress, backend, length)?;
    question.l4_protocol = flow.packet.protocol;
    question.sport = flow.packet.client_port;
    question.dport = flow.packet.service_port;
    match backend {
        Destination::Ipv4(_) => {
            question.__bindgen_anon_2.tos = flow.packet.type_of_service;
            if flow.packet.family == 4 {
                question.__bindgen_anon_3.ipv4_src = flow.packet.client[0];
            }
        }
        Destination::Ipv6(_) => {
            question.__bindgen_anon_2.flowinfo = (u32::from(flow.packet.type_of_service) << 20).to_be();
            if flow.packet.family == 6 {
                question.__bindgen_anon_3.ipv6_src = flow.packet.client;
            }
        }
    }
    let answer = ask(context, question);
    let is_answered = matches!(answer, Ok(()) | Err(Refusal { verdict: Verdict::NoNeighbour, .. }));
    if is_answered && !is_neighbour(question, backend) {
        return Err(Verdict::NotOnSegment.into());
    }
    answer?;
    let hop = hop(ingress, flow, question)?;
    // SAFETY: bytes alone.
    let ethernet: &mut Ethernet = unsafe { packet::at_mut(context, 0) }.ok_or(Verdict::Malformed)?;
    ethernet.destination = hop.destination;
    ethernet.source = hop.source;
    // SAFETY: bytes alone, and none of those above.
    let packet: &mut Routed =
        unsafe { packet::at_mut(context, Ethernet::LENGTH) }.ok_or(Verdict::Malformed)?;
    packet.count_down(flow.packet.family);
    Ok(leave(&hop))
}

/// Whether the answered way leads to the backend itself: the kernel leaves the address in the question, or puts a
/// gateway's in its place.
#[inline(always)]
fn is_neighbour(answer: &Lookup, backend: Destination) -> bool {
    match backend {
        // SAFETY: it is all numbers.
        Destination::Ipv4(backend) => unsafe {
            answer.family == FAMILY_IPV4 && answer.__bindgen_anon_4.ipv4_dst == backend.word()
        },
        Destination::Ipv6([a, b, c, d]) => {
            // SAFETY: as above.
            let next = unsafe { answer.__bindgen_anon_4.ipv6_dst };
            answer.family == FAMILY_IPV6 && (next[0] ^ a) | (next[1] ^ b) | (next[2] ^ c) | (next[3] ^ d) == 0
        }
    }
}

/// Sends the packet inside an outer IPv4 header.
#[inline(always)]
fn tunnel_ipv4(context: &XdpContext, flow: &Forwarding, backend: Address) -> Result<Verdict, Refusal> {
    let settings = SETTINGS.get(0).ok_or(Verdict::Inconsistent)?;
    let outer = encapsulate::ipv4_header(settings, flow, backend)?;
    let hop = if settings.has_gateway != 0 {
        gateway(context, settings, outer.packet_length()).map_err(|refusal| refusal.behind(Ipv4::LENGTH))?
    } else {
        let ingress = context.ingress_ifindex() as u32;
        let question = question(ingress, Destination::Ipv4(outer.destination), outer.packet_length())?;
        question.l4_protocol = outer.protocol;
        question.__bindgen_anon_2.tos = outer.type_of_service;
        question.__bindgen_anon_3.ipv4_src = outer.source.word();
        ask(context, question).map_err(|refusal| refusal.behind(Ipv4::LENGTH))?;
        hop(ingress, flow, question)?
    };
    encapsulate::push(context, flow.packet, hop.destination, hop.source, &outer)?;
    Ok(leave(&hop))
}

/// Sends the packet inside an outer IPv6 header.
#[inline(always)]
fn tunnel_ipv6(
    context: &XdpContext,
    ingress: u32,
    flow: &Forwarding,
    backend: Wide,
) -> Result<Verdict, Refusal> {
    let settings = SETTINGS.get(0).ok_or(Verdict::Inconsistent)?;
    let outer = encapsulate::ipv6_header(settings, flow, backend)?;
    let length = (Ipv6::LENGTH + outer.payload()) as u16;
    let hop = if settings.has_gateway != 0 {
        gateway(context, settings, length).map_err(|refusal| refusal.behind(Ipv6::LENGTH))?
    } else {
        let question = question(ingress, Destination::Ipv6(backend), length)?;
        question.l4_protocol = outer.next_header;
        question.__bindgen_anon_2.flowinfo = outer.flow_information();
        question.__bindgen_anon_3.ipv6_src = outer.source.words();
        ask(context, question).map_err(|refusal| refusal.behind(Ipv6::LENGTH))?;
        hop(ingress, flow, question)?
    };
    encapsulate::push(context, flow.packet, hop.destination, hop.source, &outer)?;
    Ok(leave(&hop))
}

/// The gateway, by the interface that the frame came in by and from the address that it was sent to.
#[inline(always)]
fn gateway(context: &XdpContext, settings: &Settings, length: u16) -> Result<Hop, Refusal> {
    if length > EVERY_LINK_TAKES {
        require_room(context, length)?;
    }
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(Verdict::Malformed)?;
    Ok(Hop { destination: Hardware::new(settings.gateway), source: ethernet.destination, interface: None })
}

/// Refuses a packet that is longer than what the interface takes that the frame came in by.
#[inline(always)]
fn require_room(context: &XdpContext, length: u16) -> Result<(), Refusal> {
    let mut most = u32::from(length);
    // SAFETY: the context is the program's; the helper takes the length of a packet, and leaves there what an interface
    // takes, of which 0 is the frame's own.
    let answer = unsafe { bpf_check_mtu(context.as_ptr(), 0, &raw mut most, 0, 0) };
    if answer == CHECK_FRAGMENTATION_NEEDED {
        return Err(Refusal::too_big(u16::try_from(most).unwrap_or(0)));
    }
    Ok(())
}

/// A question for the kernel's routes: how does a packet of that length, come in where this one came in, get there?
/// Each processor has room for one, which the stack of a program has not.
#[inline(always)]
fn question(ingress: u32, destination: Destination, length: u16) -> Result<&'static mut Lookup, Verdict> {
    let question = QUESTION.get_ptr_mut(0).ok_or(Verdict::Inconsistent)?;
    // SAFETY: this processor's own element of the map, which nobody else has in hand; it is all numbers.
    let question = unsafe {
        question.write(MaybeUninit::zeroed().assume_init());
        &mut *question
    };
    question.__bindgen_anon_1.tot_len = length;
    question.ifindex = ingress;
    match destination {
        Destination::Ipv4(address) => {
            question.family = FAMILY_IPV4;
            question.__bindgen_anon_4.ipv4_dst = address.word();
        }
        Destination::Ipv6(address) => {
            question.family = FAMILY_IPV6;
            question.__bindgen_anon_4.ipv6_dst = address;
        }
    }
    Ok(question)
}

/// Asks the kernel, which writes the answer into the question.
#[inline(always)]
fn ask(context: &XdpContext, question: &mut Lookup) -> Result<(), Refusal> {
    let length = size_of::<Lookup>() as i32;
    // SAFETY: the context is the program's, and the question is as long as is said.
    let answer = unsafe { bpf_fib_lookup(context.as_ptr(), question, length, 0) };
    Err(match u32::try_from(answer) {
        Ok(BPF_FIB_LKUP_RET_SUCCESS) => return Ok(()),
        Ok(BPF_FIB_LKUP_RET_FWD_DISABLED) => Verdict::ForwardingOff.into(),
        Ok(BPF_FIB_LKUP_RET_NO_NEIGH) => Verdict::NoNeighbour.into(),
        // SAFETY: it is a number.
        Ok(BPF_FIB_LKUP_RET_FRAG_NEEDED) => Refusal::too_big(unsafe { question.__bindgen_anon_1.mtu_result }),
        _ => Verdict::NoRoute.into(),
    })
}

/// The next hop that the kernel answered.
#[inline(always)]
fn hop(ingress: u32, flow: &Forwarding, answer: &Lookup) -> Result<Hop, Verdict> {
    let elsewhere = answer.ifindex != ingress;
    // Its tags are of the link that it came by.
    if elsewhere && flow.packet.tags != 0 {
        return Err(Verdict::TaggedElsewhere);
    }
    Ok(Hop {
        destination: Hardware::new(answer.dmac),
        source: Hardware::new(answer.smac),
        interface: elsewhere.then_some(answer.ifindex),
    })
}

/// Lets the frame go.
#[inline(always)]
fn leave(hop: &Hop) -> Verdict {
    trace::leaves(hop.destination, hop.interface);
    let Some(interface) = hop.interface else { return Verdict::Transmitted };
    // SAFETY: the helper takes two numbers, and without flags always answers that the frame is redirected.
    unsafe { bpf_redirect(interface, 0) };
    Verdict::Redirected
}

/// An IPv4 address out of the room for an IPv6 address.
#[inline(always)]
fn narrow([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
    [a, b, c, d]
}
