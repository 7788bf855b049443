//! Frames at random, of the shapes that packets have: most are right, some lie about a length or a kind.

use std::net::IpAddr;

use fastrand::Rng;
use maglev_core::flow;
use maglev_probe_abi::{AFFINITY_SOURCE, FlowKey};

use crate::{
    kernel::OLD_FRAGMENTS,
    oracle::headers::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING},
    site::{self, CROWDED, ECHOING, SERVICES, Service},
    support::{BALANCER, ROUTER, SEED, TABLE_SIZE, TCP, UDP},
};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What frames are made of.
pub(crate) struct Grammar {
    random: Rng,
    /// Clients whose flows fall into one bucket of the memory.
    crowd: Vec<(IpAddr, u16)>,
    /// Whether they come all at once.
    is_crowded: bool,
}

/// Where an IP packet goes, and what is inside.
struct Draft {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: Vec<u8>,
    part: Part,
}

/// Which part of a packet it is, and how that is known to the others.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    First(u16),
    Later(u16),
}

impl Grammar {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let is_crowded = random.u32(..8) == 0;
        Self { random, crowd: crowd(), is_crowded }
    }

    pub(crate) fn random(&mut self) -> &mut Rng {
        &mut self.random
    }

    /// One in so many.
    fn once_in(&mut self, many: u32) -> bool {
        self.random.u32(..many) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.random.usize(..of.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill(&mut bytes);
        bytes
    }

    /// A frame.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        if self.once_in(50) {
            let length = self.random.usize(14..200);
            return self.bytes(length);
        }
        if self.once_in(400) {
            return self.large();
        }
        let draft = match self.random.u32(..100) {
            0..50 => self.for_a_service(),
            50..66 => self.fragment(),
            66..80 => self.error(),
            80..87 => self.echo(),
            87..93 => self.past_services(),
            _ => self.of_other_protocol(),
        };
        let packet = self.packet(&draft);
        self.link(packet, draft.source.is_ipv4())
    }

    /// A datagram larger than the way takes.
    fn large(&mut self) -> Vec<u8> {
        let service = self.pick(SERVICES);
        let (source, port) = self.client(service);
        let length = *self.pick(&[1433, 1453, 1473, 3000, 9000, 30_000, 65_427, 65_467, 65_486, 65_487]);
        let length = length + self.random.usize(..3);
        let mut payload = [port.to_be_bytes(), service.port.to_be_bytes()].concat();
        if service.protocol == TCP {
            payload.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        } else {
            payload.extend(u16::try_from(length + 8).unwrap_or(8).to_be_bytes());
            payload.extend([0, 0]);
        }
        payload.resize(payload.len() + length, 0xda);
        let most = usize::from(u16::MAX) - if source.is_ipv4() { 20 } else { 40 };
        payload.truncate(most);
        if service.protocol == UDP {
            let said = u16::try_from(payload.len()).expect("it was cut");
            payload[4..6].copy_from_slice(&said.to_be_bytes());
        }
        let draft = Draft {
            source,
            destination: service.address(),
            protocol: service.protocol,
            payload,
            part: Part::Whole,
        };
        let packet = plain(&draft);
        self.link(packet, source.is_ipv4())
    }

    /// A client of a service; a few come again and again.
    fn client(&mut self, service: &Service) -> (IpAddr, u16) {
        if service.number == CROWDED && (self.is_crowded || self.once_in(4)) {
            let random = self.random.usize(..self.crowd.len());
            return self.crowd[random];
        }
        let port = 1024 + self.random.u16(..6);
        let number = self.random.u8(1..9);
        if service.address().is_ipv6() {
            if self.once_in(40) {
                let first = *self.pick(&[0xff, 0]);
                return (IpAddr::from([first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, first & 1]), port);
            }
            return (IpAddr::from([0x20, 1, 0xd, 0xb8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, number, number]), port);
        }
        let first = if self.once_in(30) { *self.pick(&[0, 127, 224, 255]) } else { 198 };
        (IpAddr::from([first, 51, 100, number]), port)
    }

    /// TCP or UDP between two ports.
    fn transport(&mut self, protocol: u8, source: u16, destination: u16) -> Vec<u8> {
        let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        let length = if self.once_in(20) { self.random.usize(1300..1460) } else { self.random.usize(..48) };
        let body = self.bytes(length);
        if protocol == UDP {
            let said = match self.random.u32(..16) {
                0 => self.random.u16(..),
                1 => u16::try_from(length + 9).expect("it is short"),
                2 => self.random.u16(..9),
                _ => u16::try_from(length + 8).expect("it is short"),
            };
            let checksum = self.bytes(2);
            return [&ports[..], &said.to_be_bytes(), &checksum, &body].concat();
        }
        let options = if self.once_in(3) { self.random.u8(..11) } else { 0 };
        let words = if self.once_in(16) { self.random.u8(..16) } else { 5 + options };
        let flags = match self.random.u32(..10) {
            0..4 => 0x02,
            4..7 => 0x10,
            7 => 0x14,
            8 => 0x12,
            _ => self.random.u8(..),
        };
        let numbers = self.bytes(8);
        let rest = self.bytes(6 + usize::from(options) * 4);
        let low = self.random.u8(..16);
        [&ports[..], &numbers, &[words << 4 | low, flags], &rest, &body].concat()
    }

    fn for_a_service(&mut self) -> Draft {
        let is_of_crowd = self.is_crowded && self.random.bool();
        let service = if is_of_crowd { crowded() } else { self.pick(SERVICES) };
        let (source, port) = self.client(service);
        let payload = self.transport(service.protocol, port, service.port);
        Draft {
            source,
            destination: service.address(),
            protocol: service.protocol,
            payload,
            part: Part::Whole,
        }
    }

    fn past_services(&mut self) -> Draft {
        let mut draft = self.for_a_service();
        match self.random.u32(..3) {
            0 => draft.protocol ^= TCP ^ UDP,
            1 => draft.payload[3] ^= 1 << self.random.u32(..8),
            _ => {
                draft.destination = match draft.destination {
                    IpAddr::V4(_) => IpAddr::from([192, 0, 2, 99]),
                    IpAddr::V6(_) => {
                        IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99])
                    }
                };
            }
        }
        draft
    }

    fn of_other_protocol(&mut self) -> Draft {
        let mut draft = self.for_a_service();
        draft.protocol = *self.pick(&[ICMP, ICMPV6, 47, 50, 132, 59, 4, 41, 2]);
        draft
    }

    /// Fragments of few packets, so that the others find the first one.
    fn fragment(&mut self) -> Draft {
        if self.once_in(4) {
            let old = self.pick(OLD_FRAGMENTS);
            return Draft {
                source: site::address(old.source),
                destination: site::address(old.destination),
                protocol: old.protocol,
                payload: self.bytes(32),
                part: Part::Later(old.identification),
            };
        }
        let service = self.pick(SERVICES);
        let mut draft = self.for_a_service();
        draft.destination = service.address();
        draft.protocol = service.protocol;
        draft.source = if service.address().is_ipv4() {
            IpAddr::from([198, 51, 100, 77])
        } else {
            IpAddr::from([0x20, 1, 0xd, 0xb8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77])
        };
        let port = 1024 + self.random.u16(..6);
        let identification = self.random.u16(..2);
        draft.payload = self.transport(service.protocol, port, service.port);
        if self.random.bool() {
            draft.part = Part::First(identification);
            let keep = draft.payload.len() & !7;
            if self.once_in(8) {
                draft.payload.truncate(self.random.usize(..=keep));
            }
            if self.once_in(12) {
                draft.protocol = *self.pick(&[ICMP, 47, ICMPV6]);
            }
        } else {
            draft.part = Part::Later(identification);
        }
        draft
    }

    /// An ICMP error about a packet that a service sent, or might have.
    fn error(&mut self) -> Draft {
        let service = self.pick(SERVICES);
        let (client, port) = self.client(service);
        let mut quoted = Draft {
            source: service.address(),
            destination: client,
            protocol: service.protocol,
            payload: self.transport(service.protocol, service.port, port),
            part: Part::Whole,
        };
        match self.random.u32(..24) {
            0 => quoted.part = Part::First(5),
            1 => quoted.part = Part::Later(5),
            2 => quoted.protocol = ICMP,
            3 => quoted.payload[1] ^= 1,
            4 => std::mem::swap(&mut quoted.source, &mut quoted.destination),
            _ => {}
        }
        let mut quote = self.packet(&quoted);
        if self.once_in(3) {
            let headers = if client.is_ipv4() { 20 } else { 40 };
            let most = (headers + 40).min(quote.len());
            quote.truncate(self.random.usize(..=most));
        }
        let is_ipv4 = client.is_ipv4();
        let kind = if self.once_in(12) {
            self.random.u8(..)
        } else if is_ipv4 {
            *self.pick(&[3, 3, 11, 12])
        } else {
            *self.pick(&[1, 2, 3, 4])
        };
        let mut payload = vec![kind, self.random.u8(..16)];
        payload.extend(self.bytes(6));
        payload.extend(quote);
        if self.once_in(20) {
            payload.truncate(self.random.usize(..16).min(payload.len()));
        }
        // From a router on the way, or the client itself.
        let source = if self.random.bool() {
            client
        } else if is_ipv4 {
            IpAddr::from([203, 0, 113, 1])
        } else {
            IpAddr::from([0x20, 1, 0xd, 0xb8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
        };
        let protocol = if is_ipv4 { ICMP } else { ICMPV6 };
        Draft { source, destination: service.address(), protocol, payload, part: Part::Whole }
    }

    fn echo(&mut self) -> Draft {
        let service = self.pick(SERVICES);
        let (source, _) = self.client(service);
        let destination = if self.once_in(3) {
            service.address()
        } else {
            let family = source.is_ipv4();
            let ours: Vec<IpAddr> = ECHOING
                .iter()
                .map(|text| site::address(text))
                .filter(|address| address.is_ipv4() == family)
                .collect();
            *self.pick(&ours)
        };
        let (protocol, kind) = if source.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
        let kind = if self.once_in(10) { self.random.u8(..) } else { kind };
        let code = if self.once_in(10) { self.random.u8(..) } else { 0 };
        let length = self.random.usize(..80);
        let mut payload = [vec![kind, code], self.bytes(6 + length)].concat();
        if self.once_in(20) {
            payload.truncate(self.random.usize(..9));
        }
        Draft { source, destination, protocol, payload, part: Part::Whole }
    }

    fn packet(&mut self, draft: &Draft) -> Vec<u8> {
        match (draft.source, draft.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(draft, source.octets(), destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(draft, source.octets(), destination.octets())
            }
            _ => unreachable!("a packet is of one family"),
        }
    }

    fn time_to_live(&mut self) -> u8 {
        if self.once_in(8) { self.random.u8(..3) } else { self.random.u8(3..) }
    }

    /// The length, or in a few packets another one.
    fn said(&mut self, length: usize) -> u16 {
        let length = u16::try_from(length).expect("packets of the grammar are short");
        match self.random.u32(..50) {
            0 => self.random.u16(..),
            1 => length.saturating_sub(self.random.u16(..24)),
            2 => length + self.random.u16(..24),
            _ => length,
        }
    }

    fn ipv4(&mut self, draft: &Draft, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let options = if self.once_in(5) { self.random.usize(1..11) } else { 0 };
        let words = u8::try_from(5 + options).expect("there are ten at most");
        let (identification, flags) = match draft.part {
            Part::Whole => (self.random.u16(..), *self.pick(&[0, 0x4000])),
            Part::First(identification) => (identification, 0x2000),
            Part::Later(identification) => {
                (identification, self.random.u16(1..0x2000) | *self.pick(&[0, 0x2000]))
            }
        };
        let said = self.said(20 + options * 4 + draft.payload.len());
        let first = if self.once_in(60) { self.random.u8(..) } else { 0x40 | words };
        let mut header = vec![first, self.random.u8(..)];
        header.extend(said.to_be_bytes());
        header.extend(identification.to_be_bytes());
        header.extend(flags.to_be_bytes());
        header.extend([self.time_to_live(), draft.protocol, 0, 0]);
        header.extend([source, destination].concat());
        header.extend(self.bytes(options * 4));
        let checksum = if self.once_in(6) { self.random.u16(..) } else { checksum(&header) };
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header.extend(&draft.payload);
        header
    }

    fn ipv6(&mut self, draft: &Draft, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let extensions = if self.once_in(4) { self.random.usize(1..9) } else { 0 };
        let mut kinds: Vec<u8> = Vec::new();
        for _ in 0..extensions {
            kinds.push(*self.pick(&[HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, DESTINATION_OPTIONS]));
        }
        let place = match draft.part {
            Part::Whole if self.once_in(20) => Some((0, self.random.u16(..2))),
            Part::Whole => None,
            Part::First(identification) => Some((1, identification)),
            Part::Later(identification) => {
                Some((self.random.u16(1..0x2000) << 3 | self.random.u16(..2), identification))
            }
        };
        let fragment = place.map(|place| (self.random.usize(..=kinds.len()), place));
        if let Some((index, _)) = fragment {
            kinds.insert(index, FRAGMENT);
        }
        let mut behind = Vec::new();
        for index in 0..kinds.len() {
            behind.push(kinds.get(index + 1).copied().unwrap_or(draft.protocol));
            if let Some((_, (place, identification))) = fragment.filter(|(at, _)| *at == index) {
                behind.push(self.random.u8(..));
                behind.extend(place.to_be_bytes());
                behind.extend(u32::from(identification).to_be_bytes());
            } else {
                let units = if self.once_in(6) { self.random.u8(..3) } else { 0 };
                behind.push(units);
                behind.extend(self.bytes(6 + usize::from(units) * 8));
            }
        }
        behind.extend(&draft.payload);
        let said = self.said(behind.len());
        let first = if self.once_in(60) { self.random.u8(..) } else { 0x60 | self.random.u8(..16) };
        let mut header = vec![first];
        header.extend(self.bytes(3));
        header.extend(said.to_be_bytes());
        header.extend([kinds.first().copied().unwrap_or(draft.protocol), self.time_to_live()]);
        header.extend([source, destination].concat());
        header.extend(behind);
        header
    }

    /// The packet in a frame, behind up to three VLAN tags, and with something that fills it up.
    fn link(&mut self, packet: Vec<u8>, is_ipv4: bool) -> Vec<u8> {
        let mut frame = [BALANCER, ROUTER].concat();
        if self.once_in(30) {
            frame[0] |= 1;
        }
        let tags = match self.random.u32(..20) {
            0..14 => 0,
            14..17 => 1,
            17..19 => 2,
            _ => 3,
        };
        for _ in 0..tags {
            frame.extend(*self.pick(&[[0x81, 0], [0x88, 0xa8]]));
            frame.extend(self.bytes(2));
        }
        let kind = match self.random.u32(..60) {
            0 => [8, 6],
            1 => self.random.u16(..).to_be_bytes(),
            2 if is_ipv4 => [0x86, 0xdd],
            2 => [8, 0],
            _ if is_ipv4 => [8, 0],
            _ => [0x86, 0xdd],
        };
        frame.extend(kind);
        frame.extend(packet);
        if self.once_in(5) && frame.len() < 3000 {
            let length = self.random.usize(1..80);
            frame.extend(self.bytes(length));
        }
        frame
    }
}

/// A packet without options.
fn plain(draft: &Draft) -> Vec<u8> {
    let length = draft.payload.len();
    let be = |length: usize| u16::try_from(length).expect("it was cut").to_be_bytes();
    let mut header = Vec::new();
    match (draft.source, draft.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.extend([0x45, 0]);
            header.extend(be(length + 20));
            header.extend([0, 1, 0x40, 0, 57, draft.protocol, 0, 0]);
            header.extend([source.octets(), destination.octets()].concat());
            let checksum = checksum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.extend([0x60, 0, 0, 0]);
            header.extend(be(length));
            header.extend([draft.protocol, 57]);
            header.extend([source.octets(), destination.octets()].concat());
        }
        _ => unreachable!("a packet is of one family"),
    }
    header.extend(&draft.payload);
    header
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum).expect("it is folded")
}

/// The service of the crowd.
fn crowded() -> &'static Service {
    SERVICES.iter().find(|service| service.number == CROWDED).expect("it is among them")
}

/// Clients whose flows are opened in settling slots, and fall into one bucket of the memory: more than there is room for.
fn crowd() -> Vec<(IpAddr, u16)> {
    let service = crowded();
    assert!(service.affinity != AFFINITY_SOURCE && service.protocol == TCP);
    let mut crowd = Vec::new();
    let mut fullest = None;
    for number in 0..=u16::MAX {
        for port in 2000..2020 {
            let [high, low] = number.to_be_bytes();
            let client = [203, 1, high, low];
            let hash = flow::hash_v4(client, port, service.port, TCP, SEED);
            let word = service.word(hash % TABLE_SIZE);
            // An owner that is there, and another before.
            if word.previous() == 0 || word.previous() == word.owner() || !(1..6).contains(&word.owner()) {
                continue;
            }
            let key = FlowKey {
                client: site::wide(IpAddr::from(client)),
                service: service.number,
                client_port: port.to_be(),
                padding: 0,
            };
            if *fullest.get_or_insert(key.bucket(hash)) == key.bucket(hash) {
                crowd.push((IpAddr::from(client), port));
            }
            if crowd.len() == 9 {
                return crowd;
            }
        }
    }
    crowd
}
