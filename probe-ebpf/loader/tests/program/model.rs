//! The kernel and the model of [`maglev_core::model`], driven with the same packets and changes: every verdict, backend,
//! counter, slot and deadline is compared, and each connection's backend is held against where it was opened.
//!
//! `MAGLEV_MODEL_CASES=n` runs so many sequences. Time passes by what the maps say being made older.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env,
    net::SocketAddrV4,
};

use maglev_core::{
    flow,
    model::{self, Answer, Flow, Kind, Memory, Model, Moment, Number, Previous, Slot},
    slot::{Deadline, Epoch, LAG_MILLISECONDS, NOBODY, Rewrite, SlotWord, change},
};
use maglev_probe_abi::{
    BACKEND_ACTIVE, BACKEND_DRAINING, BACKEND_GONE, BackendRecord, FORWARDING_IPIP, FlowKey, ROW_WORDS,
    ServiceKey, ServiceRecord, Settings, SettlingBucket, TRACKING_ALWAYS, TRACKING_NEVER, TRACKING_SETTLING,
    TrackedFlow,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};

use crate::{
    frames::{Flags, tcp_to, udp_to},
    support::{GATEWAY, Programs, SEED, SERVICE, TCP, UDP, backend_address, now, wide},
};

const SETTLE: u64 = 20_000;
const LIMIT: u64 = 30_000;

/// Few slots, few clients, few backends: they meet often.
const TABLE_SIZE: u32 = 3;
const CLIENTS: usize = 10;

/// What comes to pass in any run of the test.
const TALLIED: [&str; 10] = [
    "sent to the owner",
    "held",
    "unremembered",
    "no-backend",
    "backend-gone",
    "number used again",
    "change that waits",
    "slot without owner that settles",
    "slot whose owner stepped in",
    "promise kept through a change",
];

/// How many sequences `cargo test` runs.
const CASES: u32 = 1000;
const BACKENDS: u32 = 4;

/// The slots begin shortly before epochs go round.
const FIRST_EPOCH: u64 = 0xff_fffd;

/// Services of every kind of memory; a sequence takes two of them.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Settling,
    SettlingWithLimit,
    TcpAlways,
    UdpAlways,
    UdpNever,
}

impl Sort {
    fn protocol(self) -> u8 {
        if matches!(self, Self::UdpAlways | Self::UdpNever) { UDP } else { TCP }
    }

    fn tracking(self) -> u8 {
        match self {
            Self::Settling | Self::SettlingWithLimit => TRACKING_SETTLING,
            Self::TcpAlways | Self::UdpAlways => TRACKING_ALWAYS,
            Self::UdpNever => TRACKING_NEVER,
        }
    }

    fn memory(self) -> Memory {
        match self {
            Self::Settling | Self::SettlingWithLimit => Memory::Settling,
            Self::TcpAlways | Self::UdpAlways => Memory::Always,
            Self::UdpNever => Memory::Never,
        }
    }

    fn limit(self) -> Option<u64> {
        matches!(self, Self::SettlingWithLimit).then_some(LIMIT)
    }
}

/// One thing that happens. Services, clients and backends are counted from 0.
#[derive(Clone, Copy, Debug)]
enum Event {
    Packet {
        service: usize,
        client: usize,
        flags: Flags,
    },
    /// Every client sends such a packet.
    Packets {
        service: usize,
        flags: Flags,
    },
    /// A backend that is not there is added; one that drains gets new connections again.
    Add {
        service: usize,
        backend: u32,
    },
    Drain {
        service: usize,
        backend: u32,
    },
    /// Its connections are given up.
    Remove {
        service: usize,
        backend: u32,
    },
    /// The slots are dealt out in another way, as where a weight changes.
    Deal {
        service: usize,
        turn: u32,
    },
    Pass {
        milliseconds: u64,
    },
    /// A writer that was about to change a slot was killed before it stored the word.
    Interrupt {
        service: usize,
        slot: usize,
    },
    /// A processor stores a deadline of the period before over the one of this period.
    LateStore {
        service: usize,
        slot: usize,
    },
}

fn events() -> impl Strategy<Value = Event> {
    let service = || prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)];
    let flags = prop_oneof![
        6 => Just(Flags::Syn),
        8 => Just(Flags::Ack),
        1 => Just(Flags::SynAck),
        1 => Just(Flags::Rst),
    ];
    let short = vec![1, 15, 60, 300, 950, 1100, 5000, SETTLE / 2];
    let long = vec![SETTLE - 900, SETTLE - 300, SETTLE, SETTLE + 60, SETTLE + 116, SETTLE + 300, 3 * SETTLE];
    let times = prop_oneof![3 => select(short), 2 => select(long)];
    let slots = 0..TABLE_SIZE as usize;
    prop_oneof![
        30 => (service(), 0..CLIENTS, flags)
            .prop_map(|(service, client, flags)| Event::Packet { service, client, flags }),
        1 => (service(), select(vec![Flags::Syn, Flags::Syn, Flags::Ack]))
            .prop_map(|(service, flags)| Event::Packets { service, flags }),
        3 => (service(), 0..BACKENDS).prop_map(|(service, backend)| Event::Add { service, backend }),
        3 => (service(), 0..BACKENDS).prop_map(|(service, backend)| Event::Drain { service, backend }),
        2 => (service(), 0..BACKENDS).prop_map(|(service, backend)| Event::Remove { service, backend }),
        4 => (service(), 0..8_u32).prop_map(|(service, turn)| Event::Deal { service, turn }),
        6 => times.prop_map(|milliseconds| Event::Pass { milliseconds }),
        1 => (service(), slots.clone()).prop_map(|(service, slot)| Event::Interrupt { service, slot }),
        1 => (service(), slots).prop_map(|(service, slot)| Event::LateStore { service, slot }),
    ]
}

fn sorts() -> impl Strategy<Value = [Sort; 2]> {
    let first = prop_oneof![3 => Just(Sort::Settling), 1 => Just(Sort::SettlingWithLimit)];
    let second = select(vec![
        Sort::Settling,
        Sort::SettlingWithLimit,
        Sort::TcpAlways,
        Sort::UdpAlways,
        Sort::UdpNever,
    ]);
    (first, second).prop_map(|(first, second)| [first, second])
}

/// A connection, or a flow of datagrams, where there is one.
#[derive(Clone, Copy, Debug)]
struct Connection {
    backend: Number,
    generation: u32,
    /// In the time that has passed, by whatever means.
    heard: u64,
}

/// What a writer could not store at once.
#[derive(Debug)]
struct Pending {
    service: usize,
    kernel: Vec<usize>,
    model: Vec<usize>,
    owners: Vec<Option<Number>>,
    leaving: BTreeSet<Number>,
}

/// How often what the sequences are about came to pass.
type Tally = BTreeMap<&'static str, u64>;

/// The kernel and the model, side by side.
struct Pair<'a> {
    tally: &'a mut Tally,
    programs: &'a mut Programs,
    processor: usize,
    clients: &'a [SocketAddrV4],
    sorts: [Sort; 2],
    model: Model,
    turns: [u32; 2],
    generation: u32,
    pending: Option<Pending>,
    connections: BTreeMap<(usize, usize), Connection>,
    passed: u64,
}

/// Where the two differ, or a promise is broken.
type Difference = TestCaseError;

#[expect(clippy::needless_pass_by_value, reason = "most of what is compared is computed in the call")]
fn compare<T: PartialEq + std::fmt::Debug>(what: &str, kernel: T, model: T) -> Result<(), Difference> {
    if kernel == model {
        Ok(())
    } else {
        Err(Difference::fail(format!("{what}: {kernel:?} in the kernel, {model:?} in the model")))
    }
}

fn address(service: usize) -> SocketAddrV4 {
    let mut address = SERVICE;
    address.set_port(SERVICE.port() + u16::from(service == 1));
    address
}

fn number(service: usize) -> u32 {
    7 + u32::from(service == 1)
}

fn first_slot(service: usize) -> u32 {
    let row = if service == 1 { 3 * ROW_WORDS } else { ROW_WORDS };
    u32::try_from(row).unwrap()
}

/// The backends of a service have numbers of their own.
fn backend(service: usize, backend: u32) -> Number {
    1 + backend + if service == 1 { BACKENDS } else { 0 }
}

fn key(service: usize, client: SocketAddrV4) -> FlowKey {
    FlowKey {
        client: wide(*client.ip()),
        service: number(service),
        client_port: client.port().to_be(),
        padding: 0,
    }
}

fn hash(service: usize, protocol: u8, client: SocketAddrV4) -> u32 {
    flow::hash_v4(client.ip().octets(), client.port(), address(service).port(), protocol, SEED)
}

/// Clients of which all but two share a bucket as clients of the first service.
fn clients() -> Vec<SocketAddrV4> {
    let bucket = |client: SocketAddrV4| key(0, client).bucket(hash(0, TCP, client));
    let all = || {
        (0..=255_u8).flat_map(|third| {
            (1024..u16::MAX).step_by(5).map(move |port| SocketAddrV4::new([203, 0, 113, third].into(), port))
        })
    };
    let first = all().next().unwrap();
    let sharing = all().filter(|client| bucket(*client) == bucket(first)).take(CLIENTS - 2);
    sharing.chain(all().skip(1).take(2)).collect()
}

impl<'a> Pair<'a> {
    fn new(
        programs: &'a mut Programs,
        tally: &'a mut Tally,
        processor: usize,
        clients: &'a [SocketAddrV4],
        sorts: [Sort; 2],
    ) -> Self {
        let deadline = Moment { epoch: FIRST_EPOCH, time: 0 };
        let slot = Slot { epoch: FIRST_EPOCH, deadline, ..Slot::default() };
        let service = |sort: Sort| model::Service {
            memory: sort.memory(),
            settle_time: SETTLE,
            settle_limit: sort.limit(),
            slots: vec![slot; TABLE_SIZE as usize],
        };
        let mut model = Model::default();
        model.services.extend(sorts.map(service));
        let mut pair = Self {
            tally,
            programs,
            processor,
            clients,
            sorts,
            model,
            turns: [0; 2],
            generation: 100,
            pending: None,
            connections: BTreeMap::new(),
            passed: 0,
        };
        pair.clear();
        pair
    }

    /// Empties the maps, and begins with two services of three backends.
    fn clear(&mut self) {
        for service in [0, 1] {
            for protocol in [TCP, UDP] {
                self.programs.remove_service(Self::service_key(service, protocol));
            }
            let sort = self.sorts[service];
            let record = ServiceRecord {
                number: number(service),
                first_slot: first_slot(service),
                table_size: TABLE_SIZE,
                hash_seed: SEED,
                rows: 4,
                forwarding: FORWARDING_IPIP,
                tracking: sort.tracking(),
                settle_milliseconds: SETTLE,
                settle_limit_milliseconds: sort.limit().unwrap_or(0),
                ..ServiceRecord::default()
            };
            self.programs.put_service(Self::service_key(service, sort.protocol()), record);
            for slot in 0..TABLE_SIZE as usize {
                self.store(service, slot);
            }
            for client in self.clients {
                self.programs.remove_tracked(key(service, *client));
                for protocol in [TCP, UDP] {
                    let bucket = key(service, *client).bucket(hash(service, protocol, *client));
                    self.programs.put_bucket(bucket, SettlingBucket::default());
                }
            }
            for index in 0..BACKENDS {
                self.put_backend(service, backend(service, index));
            }
            for index in [0, 1, 2] {
                self.add(service, backend(service, index));
            }
            self.deal(service, BTreeSet::new()).expect("nothing waits yet");
        }
    }

    fn service_key(service: usize, protocol: u8) -> ServiceKey {
        let address = address(service);
        ServiceKey { address: wide(*address.ip()), port: address.port().to_be(), protocol, family: 4 }
    }

    fn at(service: usize, slot: usize) -> u32 {
        first_slot(service) + u32::try_from(slot).unwrap()
    }

    /// A slot of the model as the kernel has it: word, deadline and limit.
    fn words(slot: &Slot) -> (SlotWord, Deadline, Deadline) {
        #[expect(clippy::cast_possible_truncation, reason = "epochs go round")]
        let epoch = |epoch: u64| Epoch::new(epoch as u32);
        let moment = |moment: Moment| Deadline::new(epoch(moment.epoch), moment.time);
        let previous = match slot.previous {
            None => 0,
            Some(Previous::Backend(number)) => number,
            Some(Previous::Nobody) => NOBODY,
        };
        let word = SlotWord::new(slot.owner.unwrap_or(0), previous, epoch(slot.epoch));
        (word, moment(slot.deadline), moment(slot.limit))
    }

    /// Stores a slot of the model in the kernel's maps.
    fn store(&mut self, service: usize, slot: usize) {
        let (word, deadline, limit) = Self::words(&self.model.services[service].slots[slot]);
        let at = Self::at(service, slot);
        self.programs.put_slot(at, word);
        self.programs.put_deadline(at, deadline);
        self.programs.put_limit(at, limit);
    }

    /// Stores what the model has of a backend.
    fn put_backend(&mut self, service: usize, number: Number) {
        let backend = self.model.backends.get(&number);
        let record = BackendRecord {
            address: wide(backend_address(number)),
            generation: backend.map_or(0, |backend| backend.generation),
            state: backend.map_or(BACKEND_GONE, |backend| match backend.state {
                model::State::Active => BACKEND_ACTIVE,
                model::State::Draining => BACKEND_DRAINING,
            }),
            family: 4,
            service: 7 + u32::from(service == 1),
            ..BackendRecord::default()
        };
        self.programs.put_backend(number, record);
    }

    /// Makes a backend active, and a new one of it if it was not there.
    fn add(&mut self, service: usize, number: Number) {
        self.generation += 1;
        let new = model::Backend { state: model::State::Active, generation: self.generation };
        self.model.backends.entry(number).or_insert(new).state = model::State::Active;
        self.put_backend(service, number);
    }

    /// Begins to give the slots of a service to its active backends.
    fn deal(&mut self, service: usize, leaving: BTreeSet<Number>) -> Result<(), Difference> {
        let active: Vec<Number> = (0..BACKENDS)
            .map(|index| backend(service, index))
            .filter(|number| {
                !leaving.contains(number)
                    && self.model.backends.get(number).is_some_and(|it| it.state == model::State::Active)
            })
            .collect();
        let turn = self.turns[service] as usize;
        let owners = (0..TABLE_SIZE as usize)
            .map(|slot| (!active.is_empty()).then(|| active[(slot + turn) % active.len()]))
            .collect();
        let slots: Vec<usize> = (0..TABLE_SIZE as usize).collect();
        self.pending = Some(Pending { service, kernel: slots.clone(), model: slots, owners, leaving });
        self.write()
    }

    /// Goes on with a change, as far as it goes.
    fn write(&mut self) -> Result<(), Difference> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let now = now() - LAG_MILLISECONDS;
        let service = pending.service;
        let settles = self.sorts[service].memory() == Memory::Settling;
        let limit = self.sorts[service].limit();
        let mut waiting = Vec::new();
        for slot in pending.kernel {
            let owner = pending.owners[slot].unwrap_or(0);
            let at = Self::at(service, slot);
            let (word, deadline) = (self.programs.slot(at), self.programs.deadline(at));
            let is_leaving = |number| pending.leaving.contains(&number);
            match change(word, deadline, owner, now, SETTLE + LAG_MILLISECONDS, settles, is_leaving) {
                Rewrite::Unchanged => {}
                Rewrite::Wait => waiting.push(slot),
                Rewrite::Word(word) => self.programs.put_slot(at, word),
                Rewrite::DeadlineThenWord(deadline, word) => {
                    let time = limit.map(|limit| now + LAG_MILLISECONDS + limit);
                    let limit =
                        time.map_or_else(Deadline::default, |time| Deadline::new(deadline.epoch(), time));
                    self.programs.put_limit(at, limit);
                    self.programs.put_deadline(at, deadline);
                    self.programs.put_slot(at, word);
                }
            }
        }
        pending.kernel = waiting;
        let Pending { model, owners, leaving, .. } = &mut pending;
        self.model.change(service, model, owners, leaving, now, LAG_MILLISECONDS);
        compare("slots that wait", &pending.kernel, &pending.model)?;
        if !pending.kernel.is_empty() {
            self.pending = Some(pending);
            self.count("change that waits");
        }
        let slots = &self.model.services[service].slots;
        let has = |wanted: fn(&Slot) -> bool| slots.iter().any(wanted);
        let nobody = has(|slot| slot.previous == Some(Previous::Nobody));
        let stepped_in =
            has(|slot| slot.previous.is_some() && slot.previous == slot.owner.map(Previous::Backend));
        if nobody {
            self.count("slot without owner that settles");
        }
        if stepped_in {
            self.count("slot whose owner stepped in");
        }
        Ok(())
    }

    /// Lets time pass until what waits can be written.
    fn finish(&mut self) -> Result<(), Difference> {
        while self.pending.is_some() {
            self.pass(500)?;
        }
        Ok(())
    }

    fn pass(&mut self, milliseconds: u64) -> Result<(), Difference> {
        self.passed += milliseconds;
        self.model.pass(milliseconds);
        let earlier =
            |moment: Deadline| Deadline::new(moment.epoch(), moment.time().saturating_sub(milliseconds));
        for service in [0, 1] {
            for slot in 0..TABLE_SIZE {
                let at = first_slot(service) + slot;
                let (deadline, limit) = (self.programs.deadline(at), self.programs.limit(at));
                self.programs.put_deadline(at, earlier(deadline));
                self.programs.put_limit(at, earlier(limit));
            }
            for client in self.clients {
                if let Some(entry) = self.programs.tracked(&key(service, *client)) {
                    let last_packet = entry.last_packet.saturating_sub(milliseconds);
                    self.programs.put_tracked(key(service, *client), TrackedFlow { last_packet, ..entry });
                }
            }
        }
        self.write()
    }

    fn happen(&mut self, event: Event) -> Result<(), Difference> {
        match event {
            Event::Packet { service, client, flags } => self.packet(service, client, flags)?,
            Event::Packets { service, flags } => {
                for client in 0..CLIENTS {
                    self.packet(service, client, flags)?;
                }
            }
            Event::Pass { milliseconds } => self.pass(milliseconds)?,
            Event::Add { service, backend: index } => {
                self.finish()?;
                let number = backend(service, index);
                if !self.model.backends.contains_key(&number) {
                    self.is_named_nowhere(number)?;
                    self.count("number used again");
                }
                self.add(service, number);
                self.deal(service, BTreeSet::new())?;
            }
            Event::Drain { service, backend: index } => {
                self.finish()?;
                let number = backend(service, index);
                if let Some(backend) = self.model.backends.get_mut(&number) {
                    backend.state = model::State::Draining;
                    self.put_backend(service, number);
                    self.deal(service, BTreeSet::new())?;
                }
            }
            Event::Remove { service, backend: index } => {
                self.finish()?;
                let number = backend(service, index);
                if self.model.backends.contains_key(&number) {
                    self.deal(service, BTreeSet::from([number]))?;
                    self.model.backends.remove(&number);
                    self.put_backend(service, number);
                }
            }
            Event::Deal { service, turn } => {
                self.finish()?;
                self.turns[service] = turn;
                self.deal(service, BTreeSet::new())?;
            }
            Event::Interrupt { service, slot } => {
                self.finish()?;
                let now = now();
                let slots = &mut self.model.services[service].slots;
                // Only a slot that does not settle any more gets a new epoch.
                if !slots[slot].settles(now - LAG_MILLISECONDS) {
                    let epoch = slots[slot].epoch.max(slots[slot].deadline.epoch) + 1;
                    slots[slot].deadline = Moment { epoch, time: now + SETTLE };
                    self.store(service, slot);
                }
            }
            Event::LateStore { service, slot } => {
                let now = now();
                let slots = &mut self.model.services[service].slots;
                if slots[slot].settles(now) && !slots[slot].is_near(now) {
                    slots[slot].deadline = Moment { epoch: slots[slot].epoch - 1, time: now + SETTLE };
                    self.store(service, slot);
                }
            }
        }
        self.compare_slots()
    }

    fn packet(&mut self, service: usize, client: usize, flags: Flags) -> Result<(), Difference> {
        let protocol = self.sorts[service].protocol();
        let from = self.clients[client];
        let (frame, kind) = match (protocol, flags) {
            (UDP, _) => (udp_to(from, address(service), b"data", |_| {}), Kind::Datagram),
            (_, Flags::Syn) => (tcp_to(from, address(service), flags, |_| {}), Kind::Opening),
            (_, Flags::Rst) => (tcp_to(from, address(service), flags, |_| {}), Kind::Reset),
            (_, _) => (tcp_to(from, address(service), flags, |_| {}), Kind::Segment),
        };
        let hash = hash(service, protocol, from);
        let slot = (hash % TABLE_SIZE) as usize;
        let flow = Flow { service, client, slot, bucket: key(service, from).bucket(hash) };

        let before = self.programs.counters_of(number(service));
        let outcome = self.programs.balance(&frame);
        let after = self.programs.counters_of(number(service));
        let now = self.programs.time_on(self.processor);

        let answer = self.model.packet(flow, kind, now);
        let to = |answer: &Answer| match answer.verdict {
            model::Verdict::Sent(backend) => ("transmitted", Some(backend)),
            model::Verdict::NoBackend => ("no-backend", None),
            model::Verdict::BackendGone => ("backend-gone", None),
        };
        let sent = (outcome.verdict == "transmitted").then(|| {
            let outer = etherparse::Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
            u32::from(outer.destination_addr()) - u32::from(backend_address(0))
        });
        compare("verdict", (outcome.verdict, sent), to(&answer))?;
        compare("packets", after.packets - before.packets, u64::from(sent.is_some()))?;
        compare("held packets", after.held_packets - before.held_packets, answer.held.into())?;
        compare("unremembered", after.unremembered - before.unremembered, answer.unremembered.into())?;
        compare("new connections", after.new_connections - before.new_connections, answer.opens.into())?;
        self.count(match answer {
            Answer { verdict: model::Verdict::Sent(_), unremembered: true, .. } => "unremembered",
            Answer { verdict: model::Verdict::Sent(_), held: true, .. } => "held",
            Answer { verdict: model::Verdict::Sent(_), .. } => "sent to the owner",
            _ => outcome.verdict,
        });
        self.keep_promise(flow, kind, sent)
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// A connection that is not silent for a settle time goes on where it was opened, as long as that backend is there.
    fn keep_promise(&mut self, flow: Flow, kind: Kind, sent: Option<Number>) -> Result<(), Difference> {
        let sort = self.sorts[flow.service];
        let at = (flow.service, flow.client);
        let time = now() + self.passed;
        let begins = match sort.memory() {
            Memory::Settling => kind == Kind::Opening,
            Memory::Always => {
                matches!(kind, Kind::Opening | Kind::Datagram) && !self.connections.contains_key(&at)
            }
            Memory::Never => false,
        };
        let grain = if sort.memory() == Memory::Always { model::REFRESH } else { 0 } + 20;
        if let Some(connection) = self.connections.get(&at).copied() {
            let is_there = self
                .model
                .backends
                .get(&connection.backend)
                .is_some_and(|backend| backend.generation == connection.generation);
            let opened_anew = kind == Kind::Opening;
            if !is_there || opened_anew || time - connection.heard >= SETTLE - grain || sort.limit().is_some()
            {
                self.connections.remove(&at);
            } else if sent != Some(connection.backend) {
                return Err(Difference::fail(format!("broken: {connection:?} went to {sent:?}")));
            } else if self.model.services[flow.service].slots[flow.slot].owner != sent {
                self.count("promise kept through a change");
            }
        }
        match (kind, sent) {
            (Kind::Reset, _) | (_, None) => {
                self.connections.remove(&at);
            }
            (_, Some(backend)) => {
                if begins {
                    let generation = self.model.backends[&backend].generation;
                    self.connections.insert(at, Connection { backend, generation, heard: time });
                } else if let Some(connection) = self.connections.get_mut(&at) {
                    connection.heard = time;
                }
            }
        }
        Ok(())
    }

    /// A number is used again only where no slot names it.
    fn is_named_nowhere(&self, number: Number) -> Result<(), Difference> {
        for service in [0, 1] {
            for slot in 0..TABLE_SIZE {
                let word = self.programs.slot(first_slot(service) + slot);
                if word.owner() == number || word.previous() == number {
                    return Err(Difference::fail(format!("{word:?} still names {number}")));
                }
            }
        }
        Ok(())
    }

    fn compare_slots(&self) -> Result<(), Difference> {
        for (service, slots) in self.model.services.iter().enumerate() {
            for (index, slot) in slots.slots.iter().enumerate() {
                let at = Self::at(service, index);
                let (word, deadline, limit) = Self::words(slot);
                let parts = |word: SlotWord| (word.owner(), word.previous(), word.epoch().number());
                let moment = |moment: Deadline| (moment.epoch().number(), moment.time());
                let what = |what| format!("{what} {index} of service {service}");
                compare(&what("slot"), parts(self.programs.slot(at)), parts(word))?;
                compare(&what("deadline"), moment(self.programs.deadline(at)), moment(deadline))?;
                compare(&what("limit"), moment(self.programs.limit(at)), moment(limit))?;
            }
        }
        Ok(())
    }
}

/// What is done in one sequence, until the two differ or a promise is broken.
fn play(
    programs: &mut Programs,
    tally: &mut Tally,
    processor: usize,
    clients: &[SocketAddrV4],
    sorts: [Sort; 2],
    events: &[Event],
) -> Result<(), Difference> {
    let mut pair = Pair::new(programs, tally, processor, clients, sorts);
    for (number, event) in events.iter().enumerate() {
        pair.happen(*event).map_err(|difference| {
            Difference::fail(format!("event {number}, {event:?}: {difference}\n{:#?}", pair.model.services))
        })?;
    }
    Ok(())
}

/// Has this thread run on one processor from now on.
fn stay_on_one_processor() -> usize {
    let this = Pid::from_raw(0);
    let may = sched_getaffinity(this).unwrap();
    let processor = (0..CpuSet::count()).find(|processor| may.is_set(*processor).unwrap()).unwrap();
    let mut only = CpuSet::new();
    only.set(processor).unwrap();
    sched_setaffinity(this, &only).unwrap();
    processor
}

#[test]
fn the_kernel_does_what_the_model_does() {
    let Some(mut programs) = Programs::load(4) else { return };
    programs.put_settings(Settings {
        tunnel_source_v4: [10, 0, 0, 100],
        gateway: GATEWAY,
        has_gateway: 1,
        ..Settings::default()
    });
    // The time that the program goes by is known on the processor that it runs on.
    let processor = stay_on_one_processor();
    let clients = clients();
    let cases = env::var("MAGLEV_MODEL_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    let programs = RefCell::new(programs);
    let tally = RefCell::new(Tally::new());
    TestRunner::new(config)
        .run(&(sorts(), vec(events(), 1..100)), |(sorts, events)| {
            play(&mut programs.borrow_mut(), &mut tally.borrow_mut(), processor, &clients, sorts, &events)
        })
        .unwrap_or_else(|difference| panic!("{difference}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    // What does not come to pass is not tested.
    for what in TALLIED {
        assert!(cases < CASES || tally.contains_key(what), "no {what} in {cases} sequences");
    }
}
