//! A packet's way: its service, its slot, its backend, out.

use core::mem::transmute;

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use maglev_core::{
    flow,
    slot::{Segment, SlotWord},
};
use maglev_probe_abi::{
    AFFINITY_SOURCE, BACKEND_GONE, BackendRecord, FORWARDING_OBSERVE, FlowKey, ServiceKey, ServiceRecord,
    TRACKING_ALWAYS, TRACKING_NEVER, TRACKING_SETTLING, Verdict,
};

use crate::{
    aside, clock, count,
    datagram::Wide,
    errors,
    forward::{self, Answer},
    fragments,
    maps::{BACKENDS, SERVICES, SLOTS},
    outcome::Outcome,
    parse::{self, Kind, Packet},
    rows::Cell,
    settling, trace, tracked,
};

/// Balances a packet. It lies in the hand of its processor, and not on the stack, which is small.
#[inline(always)]
pub(crate) fn balance(context: &XdpContext) -> Outcome {
    let usual = parse::parse(context).and_then(|packet| aside::take(&packet));
    let outcome = match usual.map_or_else(|| aside::look(context), Ok) {
        Ok(packet) => balance_packet(context, packet).tagged(packet.tags),
        Err(outcome) => outcome,
    };
    if outcome.is_final() { outcome } else { finish(context, outcome) }
}

/// Tells the sender of a packet why it is not sent, if that is to be done, and puts the tags back.
#[inline(always)]
fn finish(context: &XdpContext, mut outcome: Outcome) -> Outcome {
    let tags = outcome.tags();
    if outcome.family() != 0 && errors::answer(context, outcome.family(), outcome.most()) {
        let answered = match outcome.verdict() {
            Verdict::TooBig => Verdict::TooBigAnswered,
            _ => Verdict::TimeExceededAnswered,
        };
        outcome = Outcome::new(answered, xdp_action::XDP_TX);
    }
    if tags != 0 && !aside::put_tags_back(context) {
        return Outcome::new(Verdict::NoHeadroom, xdp_action::XDP_DROP);
    }
    outcome
}

#[inline(always)]
fn balance_packet(context: &XdpContext, packet: &Packet) -> Outcome {
    // SAFETY: user space replaces a service by another element, and does not write into this one; an element that is
    // deleted and used again is still some service's.
    let Some(service) = (unsafe { SERVICES.get(key(packet)) }) else {
        let verdict = if packet.kind == Kind::Quote { Verdict::ForeignQuote } else { Verdict::NotAService };
        return Outcome::new(verdict, xdp_action::XDP_PASS);
    };
    let answer = match choose(packet, service) {
        Ok((flow, choice)) => send(context, &flow, &choice),
        Err(verdict) => Answer::of(verdict.into()),
    };
    let verdict = answer.verdict();
    let action = match verdict {
        Verdict::Transmitted => xdp_action::XDP_TX,
        Verdict::Redirected => xdp_action::XDP_REDIRECT,
        // Whoever only observes takes nothing from the stack.
        _ if service.forwarding == FORWARDING_OBSERVE => xdp_action::XDP_PASS,
        Verdict::TimeExceeded | Verdict::TooBig if may_be_told(packet, answer) => {
            return Outcome::new(verdict, xdp_action::XDP_DROP).to_be_told(packet.family, answer.most());
        }
        _ => xdp_action::XDP_DROP,
    };
    Outcome::new(verdict, action)
}

/// Whether the sender is to be told why its packet is not sent: not about an error, nor about a fragment but the first
/// one (RFC 1812).
#[inline(always)]
fn may_be_told(packet: &Packet, answer: Answer) -> bool {
    let is_first = match packet.kind {
        Kind::Whole | Kind::FirstFragment => true,
        Kind::LaterFragment | Kind::Quote => false,
    };
    // Of what is too big it is not always known what would not be.
    is_first && (answer.verdict() == Verdict::TimeExceeded || answer.most() != 0)
}

/// Where a packet belongs.
#[inline(always)]
fn choose<'a>(packet: &'a Packet, service: &'a ServiceRecord) -> Result<(Flow<'a>, Choice), Verdict> {
    let hash = hash(packet, service);
    if service.table_size == 0 {
        return Err(Verdict::Inconsistent);
    }
    let slot = service.first_slot.checked_add(hash % service.table_size).ok_or(Verdict::Inconsistent)?;
    count::slot(service, slot);
    let word = SlotWord(Cell::of(&SLOTS, slot).ok_or(Verdict::Inconsistent)?.load());
    let flow = Flow { packet, service, hash, slot, word, now: clock::milliseconds() };
    trace::slot(&flow);
    let choice = match service.tracking {
        _ if packet.kind == Kind::LaterFragment => fragments::follow()?,
        TRACKING_NEVER => Choice::of(Backend::or_owner(word, word.owner())?),
        TRACKING_SETTLING => settling::choose(&flow)?,
        TRACKING_ALWAYS => tracked::choose(&flow)?,
        _ => return Err(Verdict::Inconsistent),
    };
    trace::chosen(choice.backend.number);
    Ok((flow, choice))
}

/// Sends a packet where it belongs, and counts it if it is sent.
#[inline(always)]
fn send(context: &XdpContext, flow: &Flow, choice: &Choice) -> Answer {
    let Flow { packet, service, hash, .. } = *flow;
    let answer = if service.forwarding == FORWARDING_OBSERVE {
        Answer::of(Verdict::Observed.into())
    } else {
        forward::forward(context, packet, hash, service.forwarding, choice.backend.record)
    };
    if let Verdict::Transmitted | Verdict::Redirected | Verdict::Observed = answer.verdict() {
        count::sent(flow, choice);
        if packet.kind == Kind::FirstFragment {
            fragments::remember(choice.backend.number, choice.backend.record.generation, flow.now);
        }
    }
    answer
}

/// The service that a packet is for. It is written in whole words: the kernel reads it so, and would wait for what
/// was written in smaller pieces.
#[inline(always)]
fn key(packet: &Packet) -> ServiceKey {
    let [a, b, c, d] = packet.service;
    let rest =
        u32::from(packet.service_port) | u32::from(packet.protocol) << 16 | u32::from(packet.family) << 24;
    // SAFETY: all bytes are valid, and stand where the record has them.
    unsafe { transmute::<[u32; 5], ServiceKey>([a, b, c, d, rest]) }
}

/// The flow hash; a service with source affinity does not hash the client's port.
#[inline(always)]
fn hash(packet: &Packet, service: &ServiceRecord) -> u32 {
    let client_port = if service.affinity == AFFINITY_SOURCE { 0 } else { u16::from_be(packet.client_port) };
    let service_port = u16::from_be(packet.service_port);
    if packet.family == 6 {
        // SAFETY: all bytes are valid, and stand as they lie in memory.
        let client = unsafe { transmute::<Wide, [u8; 16]>(packet.client) };
        flow::hash_v6(client, client_port, service_port, packet.protocol, service.hash_seed)
    } else {
        let client = packet.client[0].to_ne_bytes();
        flow::hash_v4(client, client_port, service_port, packet.protocol, service.hash_seed)
    }
}

/// A packet, where it belongs, and when it came.
pub(crate) struct Flow<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) service: &'a ServiceRecord,
    pub(crate) hash: u32,
    /// Counted from the first slot of all services.
    pub(crate) slot: u32,
    pub(crate) word: SlotWord,
    /// In milliseconds since boot.
    pub(crate) now: u64,
}

impl Flow<'_> {
    /// What the packet's flow is remembered under, in whole words like the service.
    #[inline(always)]
    pub(crate) fn key(&self) -> FlowKey {
        let [a, b, c, d] = self.packet.client;
        let words = [a, b, c, d, self.service.number, u32::from(self.packet.client_port)];
        // SAFETY: all bytes are valid, and stand where the record has them.
        unsafe { transmute::<[u32; 6], FlowKey>(words) }
    }

    /// Whether the packet opens a TCP connection.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        self.packet.segment == Segment::Opening
    }
}

/// A backend that can be sent to.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) number: u32,
    pub(crate) record: &'static BackendRecord,
}

impl Backend {
    /// The backend of that number, unless nobody has it.
    #[inline(always)]
    pub(crate) fn present(number: u32) -> Option<Self> {
        if number == 0 {
            return None;
        }
        let record = BACKENDS.get(number)?;
        (record.state != BACKEND_GONE).then_some(Self { number, record })
    }

    /// The backend of that number, or the slot's owner where it is gone.
    #[inline(always)]
    pub(crate) fn or_owner(word: SlotWord, number: u32) -> Result<Self, Verdict> {
        let owner = word.owner();
        if let Some(backend) = Self::present(number) {
            return Ok(backend);
        }
        if number != owner
            && let Some(backend) = Self::present(owner)
        {
            return Ok(backend);
        }
        Err(if owner == 0 { Verdict::NoBackend } else { Verdict::BackendGone })
    }
}

/// The backend that a packet goes to.
pub(crate) struct Choice {
    pub(crate) backend: Backend,
    /// Whether the packet could not be remembered, and so went to its slot's previous owner.
    pub(crate) unremembered: bool,
    /// Whether the flow is to be stored among the tracked ones once its packet is sent.
    pub(crate) track: bool,
}

impl Choice {
    /// Nothing but the backend.
    #[inline(always)]
    pub(crate) fn of(backend: Backend) -> Self {
        Self { backend, unremembered: false, track: false }
    }
}
