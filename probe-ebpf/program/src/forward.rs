//! The way out: the next hop, by the kernel's routes or a fixed gateway, asked for before the packet is touched, so
//! that one that cannot be sent is whole.

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Lookup, xdp_action,
    },
    helpers::generated::{bpf_fib_lookup, bpf_redirect},
    programs::XdpContext,
};
use maglev_probe_abi::{FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, Settings, Verdict};

use crate::{
    balance::{Choice, Flow, Outcome},
    encapsulate,
    maps::SETTINGS,
    packet::{self, Address, Ethernet, Hardware, Ipv4, protocol},
};

/// `AF_INET`, which is 2 on every Linux.
const FAMILY_IPV4: u8 = 2;

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
    let record = choice.backend.record;
    if record.family != 4 {
        return Err(Verdict::Inconsistent);
    }
    let backend = Address::new(narrow(record.address));
    match service.forwarding {
        FORWARDING_IPIP => tunnel(context, flow, backend),
        FORWARDING_L2 => readdress(context, flow, backend),
        _ => Err(Verdict::Inconsistent),
    }
}

/// Sends the packet with the backend's hardware address.
#[inline(always)]
fn readdress(context: &XdpContext, flow: &Flow, backend: Address) -> Result<Outcome, Verdict> {
    let mut question = question(context, backend, flow.packet.length);
    question.l4_protocol = flow.packet.protocol;
    question.sport = flow.packet.client_port;
    question.dport = flow.packet.service_port;
    question.__bindgen_anon_2.tos = flow.packet.type_of_service;
    question.__bindgen_anon_3.ipv4_src = flow.packet.client[0];
    let answer = ask(context, &mut question);
    // SAFETY: the kernel has left the address in the question, or put a gateway's in its place.
    let next = unsafe { question.__bindgen_anon_4.ipv4_dst };
    if matches!(answer, Ok(()) | Err(Verdict::NoNeighbour))
        && (question.family != FAMILY_IPV4 || next != backend.word())
    {
        return Err(Verdict::NotOnSegment);
    }
    answer?;
    let hop = hop(context, &question);
    // SAFETY: bytes alone.
    let ethernet: &mut Ethernet = unsafe { packet::at_mut(context, 0) }.ok_or(Verdict::Malformed)?;
    ethernet.destination = hop.destination;
    ethernet.source = hop.source;
    Ok(leave(&hop))
}

/// Sends the packet inside an outer header.
#[inline(always)]
fn tunnel(context: &XdpContext, flow: &Flow, backend: Address) -> Result<Outcome, Verdict> {
    let settings = SETTINGS.get(0).ok_or(Verdict::Inconsistent)?;
    let outer = encapsulate::outer_header(settings, flow, backend)?;
    let hop =
        if settings.has_gateway != 0 { gateway(context, settings)? } else { tunnel_hop(context, &outer)? };
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

/// The next hop of an outer header, by the kernel's routes.
#[inline(always)]
fn tunnel_hop(context: &XdpContext, outer: &Ipv4) -> Result<Hop, Verdict> {
    let mut question = question(context, outer.destination, outer.packet_length());
    question.l4_protocol = protocol::IPV4;
    question.__bindgen_anon_2.tos = outer.type_of_service;
    question.__bindgen_anon_3.ipv4_src = outer.source.word();
    ask(context, &mut question)?;
    Ok(hop(context, &question))
}

/// A question for the kernel's routes: how does a packet of that length, come in where this one came in, get there?
#[inline(always)]
fn question(context: &XdpContext, destination: Address, length: u16) -> Lookup {
    // SAFETY: it is all numbers, of which zero is one.
    let mut question: Lookup = unsafe { MaybeUninit::zeroed().assume_init() };
    question.family = FAMILY_IPV4;
    question.__bindgen_anon_1.tot_len = length;
    question.ifindex = context.ingress_ifindex() as u32;
    question.__bindgen_anon_4.ipv4_dst = destination.word();
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
fn hop(context: &XdpContext, answer: &Lookup) -> Hop {
    let elsewhere = answer.ifindex != context.ingress_ifindex() as u32;
    Hop {
        destination: Hardware::new(answer.dmac),
        source: Hardware::new(answer.smac),
        interface: elsewhere.then_some(answer.ifindex),
    }
}

/// Lets the frame go.
#[inline(always)]
fn leave(hop: &Hop) -> Outcome {
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
