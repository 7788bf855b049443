//! The way out: the next hop, by the kernel's routes or a fixed gateway, asked for before the packet is touched, so
//! that one that cannot be sent is whole.

use core::mem::{MaybeUninit, size_of, transmute};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Lookup, xdp_action,
    },
    helpers::generated::{bpf_fib_lookup, bpf_redirect},
    programs::XdpContext,
};
use maglev_probe_abi::{
    BackendRecord, FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, Settings, Verdict,
};

use crate::{
    balance::{Choice, Flow, Outcome},
    encapsulate,
    maps::SETTINGS,
    packet::{self, Address, Ethernet, Hardware, Ipv6},
    parse::Wide,
    trace,
};

/// `AF_INET`, which is 2 on every Linux.
const FAMILY_IPV4: u8 = 2;

/// `AF_INET6`, which is 10 on every Linux.
const FAMILY_IPV6: u8 = 10;

/// Where a frame goes next.
pub(crate) struct Hop {
    /// Its hardware address.
    destination: Hardware,
    /// The hardware address to send from.
    source: Hardware,
    /// The interface to send by, or `None` for the one that the frame came in by.
    interface: Option<u32>,
}

/// Sends a packet to the backend chosen for it.
#[inline(always)]
pub(crate) fn forward(context: &XdpContext, flow: &Flow, choice: &Choice) -> Result<Outcome, Verdict> {
    let service = flow.service;
    if service.forwarding == FORWARDING_OBSERVE {
        return Ok(Outcome { verdict: Verdict::Observed, action: xdp_action::XDP_PASS });
    }
    let backend = Destination::of(choice.backend.record)?;
    // Read once: the verifier refuses a pointer into the context, which the compiler makes of several places.
    let ingress = context.ingress_ifindex() as u32;
    match (service.forwarding, backend) {
        (FORWARDING_IPIP, Destination::Ipv4(backend)) => tunnel_ipv4(context, ingress, flow, backend),
        (FORWARDING_IPIP, Destination::Ipv6(backend)) => tunnel_ipv6(context, ingress, flow, backend),
        (FORWARDING_L2, backend) => readdress(context, ingress, flow, backend),
        _ => Err(Verdict::Inconsistent),
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
    flow: &Flow,
    backend: Destination,
) -> Result<Outcome, Verdict> {
    let length = u16::try_from(flow.packet.length).map_err(|_| Verdict::TooBig)?;
    let mut question = question(ingress, backend, length);
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
    let answer = ask(context, &mut question);
    if matches!(answer, Ok(()) | Err(Verdict::NoNeighbour)) && !is_neighbour(&question, backend) {
        return Err(Verdict::NotOnSegment);
    }
    answer?;
    let hop = hop(ingress, &question);
    // SAFETY: bytes alone.
    let ethernet: &mut Ethernet = unsafe { packet::at_mut(context, 0) }.ok_or(Verdict::Malformed)?;
    ethernet.destination = hop.destination;
    ethernet.source = hop.source;
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
fn tunnel_ipv4(
    context: &XdpContext,
    ingress: u32,
    flow: &Flow,
    backend: Address,
) -> Result<Outcome, Verdict> {
    let settings = SETTINGS.get(0).ok_or(Verdict::Inconsistent)?;
    let outer = encapsulate::ipv4_header(settings, flow, backend)?;
    let hop = if settings.has_gateway != 0 {
        gateway(context, settings)?
    } else {
        let mut question = question(ingress, Destination::Ipv4(outer.destination), outer.packet_length());
        question.l4_protocol = outer.protocol;
        question.__bindgen_anon_2.tos = outer.type_of_service;
        question.__bindgen_anon_3.ipv4_src = outer.source.word();
        ask(context, &mut question)?;
        hop(ingress, &question)
    };
    encapsulate::push(context, hop.destination, hop.source, &outer)?;
    Ok(leave(&hop))
}

/// Sends the packet inside an outer IPv6 header.
#[inline(always)]
fn tunnel_ipv6(context: &XdpContext, ingress: u32, flow: &Flow, backend: Wide) -> Result<Outcome, Verdict> {
    let settings = SETTINGS.get(0).ok_or(Verdict::Inconsistent)?;
    let outer = encapsulate::ipv6_header(settings, flow, backend)?;
    let hop = if settings.has_gateway != 0 {
        gateway(context, settings)?
    } else {
        let length = (Ipv6::LENGTH + outer.payload()) as u16;
        let mut question = question(ingress, Destination::Ipv6(backend), length);
        question.l4_protocol = outer.next_header;
        question.__bindgen_anon_2.flowinfo = outer.flow_information();
        question.__bindgen_anon_3.ipv6_src = outer.source.words();
        ask(context, &mut question)?;
        hop(ingress, &question)
    };
    encapsulate::push(context, hop.destination, hop.source, &outer)?;
    Ok(leave(&hop))
}

/// The gateway, by the interface that the frame came in by and from the address that it was sent to.
#[inline(always)]
fn gateway(context: &XdpContext, settings: &Settings) -> Result<Hop, Verdict> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(Verdict::Malformed)?;
    Ok(Hop { destination: Hardware::new(settings.gateway), source: ethernet.destination, interface: None })
}

/// A question for the kernel's routes: how does a packet of that length, come in where this one came in, get there?
#[inline(always)]
fn question(ingress: u32, destination: Destination, length: u16) -> Lookup {
    // SAFETY: it is all numbers, of which zero is one.
    let mut question: Lookup = unsafe { MaybeUninit::zeroed().assume_init() };
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
    question
}

/// Asks the kernel, which writes the answer into the question.
#[inline(always)]
fn ask(context: &XdpContext, question: &mut Lookup) -> Result<(), Verdict> {
    let length = size_of::<Lookup>() as i32;
    // SAFETY: the context is the program's, and the question is as long as is said.
    let answer = unsafe { bpf_fib_lookup(context.as_ptr(), question, length, 0) };
    match u32::try_from(answer) {
        Ok(BPF_FIB_LKUP_RET_SUCCESS) => Ok(()),
        Ok(BPF_FIB_LKUP_RET_FWD_DISABLED) => Err(Verdict::ForwardingOff),
        Ok(BPF_FIB_LKUP_RET_NO_NEIGH) => Err(Verdict::NoNeighbour),
        Ok(BPF_FIB_LKUP_RET_FRAG_NEEDED) => Err(Verdict::TooBig),
        _ => Err(Verdict::NoRoute),
    }
}

/// The next hop that the kernel answered.
#[inline(always)]
fn hop(ingress: u32, answer: &Lookup) -> Hop {
    let elsewhere = answer.ifindex != ingress;
    Hop {
        destination: Hardware::new(answer.dmac),
        source: Hardware::new(answer.smac),
        interface: elsewhere.then_some(answer.ifindex),
    }
}

/// Lets the frame go.
#[inline(always)]
fn leave(hop: &Hop) -> Outcome {
    trace::leaves(hop.destination, hop.interface);
    match hop.interface {
        None => Outcome { verdict: Verdict::Transmitted, action: xdp_action::XDP_TX },
        Some(interface) => {
            // SAFETY: the helper takes two numbers, and without flags always answers that the frame is redirected.
            let action = unsafe { bpf_redirect(interface, 0) };
            Outcome { verdict: Verdict::Redirected, action: action as u32 }
        }
    }
}

/// An IPv4 address out of the room for an IPv6 address.
#[inline(always)]
fn narrow([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
    [a, b, c, d]
}
