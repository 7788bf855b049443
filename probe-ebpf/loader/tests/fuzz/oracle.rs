//! What must become of a frame, by `docs/datapath.md` and the RFCs. It knows nothing of the program's code: only the flow
//! hash and the rules of settling are shared, which have tests of their own.

pub(crate) mod answers;
pub(crate) mod headers;
mod memory;

use std::net::IpAddr;

use maglev_core::{
    flow,
    slot::{Recalled, Route, Segment, SlotWord, route},
};
use maglev_probe_abi::{
    AFFINITY_SOURCE, BACKEND_ACTIVE, BACKEND_GONE, FORWARDING_L2, FlowKey, TRACKING_ALWAYS,
    TRACKING_SETTLING, Verdict,
};

use self::{
    answers::{Hop, Reason},
    headers::{Frame, Packet, Part, half},
    memory::Memory,
};
use crate::{
    routes::Way,
    site::{self, MTU, SERVICES, Service, Ways},
    support::{GATEWAY, SEED, TABLE_SIZE, TCP, UDP, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX},
    tally::Tally,
};

/// What must become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) verdict: Verdict,
    pub(crate) action: u32,
    pub(crate) frame: Vec<u8>,
}

/// What is remembered of frames before, and what must have been counted.
pub(crate) struct Oracle {
    ways: Ways,
    memory: Memory,
    pub(crate) tally: Tally,
}

/// What a packet is to the balancer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    First,
    /// A later fragment, and the backend of the first one, if that is still the same.
    Later(Option<u32>),
    /// An ICMP error about a packet from the service to the client.
    Quote,
}

/// A packet of a flow.
struct Subject {
    kind: Kind,
    service: (IpAddr, u16),
    client: (IpAddr, u16),
    protocol: u8,
    segment: Segment,
}

/// A packet of a flow for a service.
struct Bound<'a> {
    subject: &'a Subject,
    service: &'static Service,
    hash: u32,
    word: SlotWord,
    key: FlowKey,
}

/// Where a packet goes.
struct Choice {
    backend: u32,
    unremembered: bool,
    track: bool,
}

impl Choice {
    fn of(backend: u32) -> Self {
        Self { backend, unremembered: false, track: false }
    }
}

/// The backend of that number: its address and its state.
fn backend(number: u32) -> Option<(IpAddr, u8)> {
    let (_, address, state) = site::BACKENDS.iter().find(|(known, _, _)| *known == number)?;
    (*state != BACKEND_GONE).then(|| (site::address(address), *state))
}

/// The first of the two that is there.
fn present(number: u32, owner: u32) -> Result<u32, Verdict> {
    [number, owner].into_iter().find(|number| backend(*number).is_some()).ok_or(if owner == 0 {
        Verdict::NoBackend
    } else {
        Verdict::BackendGone
    })
}

impl Oracle {
    /// One that remembers what [`crate::kernel`] has left in the memory of fragments.
    pub(crate) fn new(ways: Ways) -> Self {
        Self { ways, memory: Memory::with_old_fragments(), tally: Tally::default() }
    }

    /// The buckets of the memory that flows are in.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = u32> {
        self.memory.buckets()
    }

    /// What must become of the next frame.
    pub(crate) fn expect(&mut self, frame: &[u8]) -> Expected {
        let expected = self.balance(frame).unwrap_or_else(|verdict| Expected {
            verdict,
            action: XDP_PASS,
            frame: frame.to_vec(),
        });
        self.tally.count_verdict(expected.verdict);
        expected
    }

    /// What is sent, answered or dropped; else the verdict by which it passes.
    fn balance(&mut self, bytes: &[u8]) -> Result<Expected, Verdict> {
        let frame = Frame::read(bytes)?;
        let packet = Packet::read(frame.family, frame.rest)?;
        let subject = match (packet.part, packet.protocol) {
            (Part::Later, _) => self.follow(&packet)?,
            (part, TCP | UDP) => transport(&packet, part)?,
            (Part::First, _) => return Err(Verdict::Fragment),
            (Part::Whole, 1) if frame.family == 4 => match message(&packet)? {
                3 | 11 | 12 => quote(&packet)?,
                8 => return echo(&frame, &packet),
                _ => return Err(Verdict::OtherProtocol),
            },
            (Part::Whole, 58) if frame.family == 6 => match message(&packet)? {
                1..=4 => quote(&packet)?,
                128 => return echo(&frame, &packet),
                _ => return Err(Verdict::OtherProtocol),
            },
            (Part::Whole, _) => return Err(Verdict::OtherProtocol),
        };
        let (address, port) = subject.service;
        let service = SERVICES
            .iter()
            .find(|service| {
                (service.address(), service.port, service.protocol) == (address, port, subject.protocol)
            })
            .ok_or(if subject.kind == Kind::Quote { Verdict::ForeignQuote } else { Verdict::NotAService })?;
        Ok(self.serve(bytes, &frame, &packet, &subject, service))
    }

    /// A later fragment, which goes where the first one went.
    fn follow(&self, packet: &Packet) -> Result<Subject, Verdict> {
        let first = self.memory.first_fragment(packet).ok_or(Verdict::FragmentWithoutFirst)?;
        Ok(Subject {
            kind: Kind::Later(first.backend.filter(|number| backend(*number).is_some())),
            service: (packet.destination, first.service_port),
            client: (packet.source, first.client_port),
            protocol: first.protocol,
            segment: Segment::Other,
        })
    }

    fn serve(
        &mut self,
        bytes: &[u8],
        frame: &Frame,
        packet: &Packet,
        subject: &Subject,
        service: &'static Service,
    ) -> Expected {
        let refused = |verdict| Expected {
            verdict,
            action: if service.observes() { XDP_PASS } else { XDP_DROP },
            frame: bytes.to_vec(),
        };
        let hash = hash(subject, service);
        let place = hash % TABLE_SIZE;
        self.tally.count_slot(service.first_slot() + place);
        let key = FlowKey {
            client: site::wide(subject.client.0),
            service: service.number,
            client_port: subject.client.1.to_be(),
            padding: 0,
        };
        let bound = Bound { subject, service, hash, word: service.word(place), key };
        let choice = match self.choose(&bound) {
            Ok(choice) => choice,
            Err(verdict) => return refused(verdict),
        };
        let sent = if service.observes() {
            Expected { verdict: Verdict::Observed, action: XDP_PASS, frame: bytes.to_vec() }
        } else {
            match self.send(frame, packet, &bound, choice.backend) {
                Ok(sent) => sent,
                Err((verdict, None)) => return refused(verdict),
                Err((verdict, Some(frame))) => return Expected { verdict, action: XDP_TX, frame },
            }
        };
        let length = packet.bytes.len() + 14 + frame.tags.len();
        self.count(&bound, &choice, length);
        if subject.kind == Kind::First {
            self.memory.remember_first(packet, subject.client.1, subject.service.1, choice.backend);
        }
        sent
    }

    /// Where a packet goes: the table of `docs/datapath.md`.
    fn choose(&mut self, flow: &Bound) -> Result<Choice, Verdict> {
        let (word, segment) = (flow.word, flow.subject.segment);
        if let Kind::Later(first) = flow.subject.kind {
            return first.map(Choice::of).ok_or(Verdict::BackendGone);
        }
        match flow.service.tracking {
            TRACKING_SETTLING if word.previous() != 0 => self.settle(flow),
            TRACKING_ALWAYS => {
                if let Some(number) = self.memory.tracked(&flow.key)
                    && let Some((_, state)) = backend(number)
                    && (segment != Segment::Opening || state == BACKEND_ACTIVE)
                {
                    return Ok(Choice::of(number));
                }
                let owner = present(word.owner(), word.owner())?;
                Ok(Choice { track: segment != Segment::Reset, ..Choice::of(owner) })
            }
            _ => present(word.owner(), word.owner()).map(Choice::of),
        }
    }

    fn settle(&mut self, flow: &Bound) -> Result<Choice, Verdict> {
        let word = flow.word;
        let recalled = match self.memory.settling(&flow.key, flow.hash) {
            Some(number) if let Some((_, state)) = backend(number) => {
                Recalled::At { owner: number, active: state == BACKEND_ACTIVE }
            }
            _ => Recalled::Nothing,
        };
        let mut unremembered = false;
        let number = match route(word, flow.subject.segment, recalled, false) {
            Route::To(number) => number,
            Route::Remember if backend(word.owner()).is_none() => word.owner(),
            Route::Remember if self.memory.remember_settling(&flow.key, flow.hash, word.owner()) => {
                word.owner()
            }
            Route::Remember => {
                unremembered = true;
                word.previous()
            }
        };
        Ok(Choice { unremembered, ..Choice::of(present(number, word.owner())?) })
    }

    /// What is sent to a backend; else the verdict, and what the sender is told.
    fn send(
        &self,
        frame: &Frame,
        packet: &Packet,
        flow: &Bound,
        number: u32,
    ) -> Result<Expected, (Verdict, Option<Vec<u8>>)> {
        let (address, _) = backend(number).expect("who is chosen is there");
        let is_readdressed = flow.service.forwarding(self.ways) == FORWARDING_L2;
        let outer = match address {
            _ if is_readdressed => 0,
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        };
        let told = |verdict, answered, reason| {
            // Nobody is told about an error, nor about a fragment but the first one.
            let may_be_told = matches!(flow.subject.kind, Kind::Whole | Kind::First);
            let answer = (may_be_told && answers::may_be_answered(frame, packet))
                .then(|| answers::error(frame, packet, reason))
                .flatten();
            (if answer.is_some() { answered } else { verdict }, answer)
        };
        if packet.time_to_live <= 1 {
            return Err(told(Verdict::TimeExceeded, Verdict::TimeExceededAnswered, Reason::TimeExceeded));
        }
        let length = packet.bytes.len() + outer;
        if length > usize::from(u16::MAX) {
            // What the way takes is not asked for, for no way takes that.
            return Err((Verdict::TooBig, None));
        }
        let way = match self.ways {
            Ways::Gateway => Way::Neighbour,
            Ways::Routes { .. } if is_readdressed && is_never_forwarded(flow.subject.client.0, address) => {
                Way::Nowhere(Verdict::NoRoute)
            }
            Ways::Routes { .. } => Way::to(number),
        };
        if let Way::Nowhere(verdict) = way {
            return Err((verdict, None));
        }
        if length > MTU {
            return Err(told(Verdict::TooBig, Verdict::TooBigAnswered, Reason::TooBig(MTU - outer)));
        }
        match (way, self.ways) {
            (Way::Router, _) if is_readdressed => return Err((Verdict::NotOnSegment, None)),
            (Way::Nobody, _) => return Err((Verdict::NoNeighbour, None)),
            (_, Ways::Routes { .. }) if !frame.tags.is_empty() => {
                return Err((Verdict::TaggedElsewhere, None));
            }
            _ => {}
        }
        let (verdict, action, hop) = match &self.ways {
            Ways::Gateway => {
                (Verdict::Transmitted, XDP_TX, Hop { destination: &GATEWAY, source: frame.destination })
            }
            Ways::Routes { hop: (destination, source) } => {
                (Verdict::Redirected, XDP_REDIRECT, Hop { destination, source })
            }
        };
        let sent = if is_readdressed {
            answers::readdressed(frame, &hop)
        } else {
            answers::tunnelled(frame, packet, &hop, flow.hash, address)
        };
        Ok(Expected { verdict, action, frame: sent })
    }

    /// What is sent or observed counts.
    fn count(&mut self, flow: &Bound, choice: &Choice, length: usize) {
        if choice.track {
            self.memory.track(&flow.key, choice.backend);
        }
        let is_new = flow.subject.segment == Segment::Opening || choice.track && flow.subject.protocol == UDP;
        let is_held = choice.backend != flow.word.owner();
        let length = u64::try_from(length).expect("a frame is small");
        let backend = self.tally.backends.entry(choice.backend).or_default();
        backend.packets += 1;
        backend.bytes += length;
        backend.new_connections += u64::from(is_new);
        backend.held_packets += u64::from(is_held);
        let service = self.tally.services.entry(flow.service.number).or_default();
        service.packets += 1;
        service.bytes += length;
        service.new_connections += u64::from(is_new);
        service.held_packets += u64::from(is_held);
        service.unremembered += u64::from(choice.unremembered);
    }
}

/// Whether the kernel's routes of IPv6 forward nothing from there, whatever they are (`rt6_need_strict`). It is told the
/// sender where the packet keeps its headers, and is of the family that is asked about.
fn is_never_forwarded(client: IpAddr, backend: IpAddr) -> bool {
    let IpAddr::V6(client) = client else { return false };
    backend.is_ipv6() && (client.is_multicast() || client.is_loopback() || client.is_unicast_link_local())
}

/// A packet of TCP or UDP, or its first fragment.
fn transport(packet: &Packet, part: Part) -> Result<Subject, Verdict> {
    let payload = packet.payload();
    let least = if packet.protocol == TCP { 20 } else { 8 };
    let header = payload.get(..least).ok_or(Verdict::Malformed)?;
    let said = if packet.protocol == TCP {
        usize::from(header[12] >> 4) * 4
    } else {
        usize::from(u16::from_be_bytes([header[4], header[5]]))
    };
    if said < least || part == Part::Whole && said > payload.len() {
        return Err(Verdict::Malformed);
    }
    Ok(Subject {
        kind: if part == Part::Whole { Kind::Whole } else { Kind::First },
        service: (packet.destination, u16::from_be_bytes([header[2], header[3]])),
        client: (packet.source, u16::from_be_bytes([header[0], header[1]])),
        protocol: packet.protocol,
        segment: if packet.protocol == TCP { Segment::of_flags(header[13]) } else { Segment::Other },
    })
}

/// The type of a message of ICMP, of either family, which has at least eight bytes.
fn message(packet: &Packet) -> Result<u8, Verdict> {
    packet.payload().get(..8).map(|message| message[0]).ok_or(Verdict::OtherProtocol)
}

/// What an ICMP error says of a flow: it quotes what the service sent to the client, with eight bytes of what was inside.
fn quote(error: &Packet) -> Result<Subject, Verdict> {
    let foreign = Verdict::ForeignQuote;
    let quoted = Packet::read_headers(error.family(), &error.payload()[8..]).map_err(|_| foreign)?;
    let inside = quoted.payload();
    if quoted.part == Part::Later
        || !matches!(quoted.protocol, TCP | UDP)
        || quoted.source != error.destination
        || inside.len() < 8
    {
        return Err(foreign);
    }
    Ok(Subject {
        kind: Kind::Quote,
        service: (quoted.source, half(inside, 0).ok_or(foreign)?),
        client: (quoted.destination, half(inside, 2).ok_or(foreign)?),
        protocol: quoted.protocol,
        segment: Segment::Reset,
    })
}

/// An echo request is answered where its address is a service's, and it has neither options nor extension headers.
fn echo(frame: &Frame, packet: &Packet) -> Result<Expected, Verdict> {
    let headers = if frame.family == 4 { 20 } else { 40 };
    let is_ours = site::ECHOING.iter().any(|text| site::address(text) == packet.destination);
    if packet.headers != headers || !is_ours || !answers::may_be_answered(frame, packet) {
        return Err(Verdict::OtherProtocol);
    }
    Ok(Expected { verdict: Verdict::EchoAnswered, action: XDP_TX, frame: answers::reply(frame) })
}

/// The flow hash.
fn hash(subject: &Subject, service: &Service) -> u32 {
    let (address, port) = subject.client;
    let port = if service.affinity == AFFINITY_SOURCE { 0 } else { port };
    match address {
        IpAddr::V4(address) => flow::hash_v4(address.octets(), port, service.port, service.protocol, SEED),
        IpAddr::V6(address) => flow::hash_v6(address.octets(), port, service.port, service.protocol, SEED),
    }
}
