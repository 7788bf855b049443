//! Every interleaving of one change's stores with the loads and stores of packets on other processors.
//!
//! A world is a slot, what is remembered of two flows, the clock, and threads that each stand somewhere in what they
//! do: a writer, the packets of a connection that is being opened, those of one that is open. From each world there is
//! one way on for each thread that can take a step, and one for the clock; all are taken, and no world twice. Loads and
//! stores take effect in the order in which they are made; for the sake of processors that do otherwise, packets load
//! the word first in one half of the scenarios, and the deadline first in the other.
//!
//! Of time nothing is taken for granted but that the packets of a flow come to one processor, that its clock is less than
//! two ticks behind, and that from its look at the clock to its last store is no more than a tick.

use std::{collections::HashMap, num::NonZero, thread};

use maglev_core::slot::{
    Deadline, Epoch, GUARD_MILLISECONDS, LAG_MILLISECONDS, LATE_MILLISECONDS, Phase, Recalled, Rewrite,
    Route, SLACK_MILLISECONDS, Segment, SlotWord, change, route,
};

const SETTLE: u64 = 10_000;

/// How far the clock of a packet's processor may be behind.
const TICK: u64 = 10;

/// The first epoch: the ones after it go round.
const EPOCH: Epoch = Epoch::new(0xff_fffe);

/// The flow that is being opened, and the one that is open.
const NEW: usize = 0;
const OLD: usize = 1;

/// A way to get the rules wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// A change stores the word before the deadline: one that does no harm by itself.
    WordFirst,
    /// A deadline is a time and nothing else.
    DeadlineWithoutEpoch,
    /// A new period has the old one's epoch.
    EpochStays,
    /// What is remembered counts in every epoch.
    MemoryWithoutEpoch,
    /// A slot that changes again while it settles forgets who had it first.
    YoungestPrevious,
    /// A slot is changed however near its deadline is.
    NoGuard,
    /// A deadline is put off until the moment that it passes.
    PutOffLate,
    /// A deadline is the settle time away and no more.
    NoSlack,
    /// A connection opened once more goes to the owner.
    RetransmissionsMove,
    /// A connection is opened at the owner, and not remembered.
    NoMemory,
    /// No deadline is put off.
    NoPutOff,
}

/// A change, and how it and the packets go about it.
#[derive(Clone, Copy, Debug)]
struct Rules {
    mistakes: &'static [Mistake],
    deadline_first: bool,
    /// Whether there is room to remember another flow.
    room: bool,
    /// Who gets the slot.
    target: u32,
    /// Who leaves; 0 is nobody.
    leaving: u32,
    /// The settle limit; 0 is none.
    limit: u64,
}

impl Rules {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistakes.contains(&mistake)
    }

    fn phase(&self, word: SlotWord, deadline: Deadline, now: u64) -> Phase {
        if !self.makes(Mistake::DeadlineWithoutEpoch) || word.previous() == 0 {
            word.phase(deadline, now)
        } else if now < deadline.time() {
            Phase::Settling
        } else {
            Phase::Settled
        }
    }

    fn put_off(&self, packets: &Packets, limit: Deadline) -> Option<Deadline> {
        let (epoch, now) = (packets.word.epoch(), packets.now);
        let limit = if self.limit != 0 && limit.epoch() == epoch { limit.time() } else { u64::MAX };
        let late_too = packets.unremembered || self.makes(Mistake::PutOffLate);
        let time = packets.deadline.put_off(epoch, now, SETTLE, limit, late_too)?;
        if self.makes(Mistake::NoPutOff) && packets.deadline.epoch() == epoch {
            None
        } else if self.makes(Mistake::NoSlack) {
            Some(Deadline::new(epoch, time.time() - SLACK_MILLISECONDS))
        } else {
            Some(time)
        }
    }

    /// The stores of the change, as the writer that looked at the slot makes them.
    fn stores(&self, word: SlotWord, deadline: Deadline, now: u64) -> Option<Vec<Store>> {
        let mut stores = Vec::new();
        // Far from the deadline there is nothing to guard against.
        let seen = if self.makes(Mistake::NoGuard) && word.phase(deadline, now) == Phase::Settling {
            Deadline::new(deadline.epoch(), now + GUARD_MILLISECONDS)
        } else {
            deadline
        };
        let leaving = |number| number == self.leaving && number != 0;
        match change(word, seen, self.target, now, SETTLE + LAG_MILLISECONDS, true, leaving) {
            Rewrite::Wait => return None,
            Rewrite::Unchanged => {}
            Rewrite::Word(word) => stores.push(Store::Word(word)),
            Rewrite::DeadlineThenWord(mut deadline, mut new) => {
                if self.makes(Mistake::EpochStays) {
                    deadline = Deadline::new(word.epoch(), deadline.time());
                    new = SlotWord::new(new.owner(), new.previous(), word.epoch());
                }
                if self.makes(Mistake::YoungestPrevious) {
                    new = SlotWord::new(new.owner(), word.owner(), new.epoch());
                }
                if self.makes(Mistake::NoSlack) {
                    deadline = Deadline::new(deadline.epoch(), deadline.time() - SLACK_MILLISECONDS);
                }
                if self.limit != 0 {
                    let limit = now + LAG_MILLISECONDS + self.limit;
                    stores.push(Store::Limit(Deadline::new(deadline.epoch(), limit)));
                }
                stores.extend([Store::Deadline(deadline), Store::Word(new)]);
                if self.makes(Mistake::WordFirst) {
                    let last = stores.len() - 1;
                    stores.swap(last - 1, last);
                }
            }
        }
        Some(stores)
    }
}

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    FirstLoad,
    Clock,
    SecondLoad,
    Phase,
    Freshen,
    Recall,
    Remember,
    PutOff,
    Store(Deadline),
    Done,
}

impl Step {
    /// Whether it reads and writes only what no other thread does, so that it is the same whenever it is made.
    fn is_private(self) -> bool {
        matches!(self, Self::Phase | Self::Recall | Self::Remember | Self::Done)
    }
}

/// Packets of one flow, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Packets {
    flow: usize,
    /// Those to come.
    left: &'static [Segment],
    step: Step,
    word: SlotWord,
    deadline: Deadline,
    now: u64,
    to: u32,
    /// Whether it went where it is remembered to be.
    remembered: bool,
    unremembered: bool,
}

impl Packets {
    const fn new(flow: usize, left: &'static [Segment]) -> Self {
        Self {
            flow,
            left,
            step: Step::FirstLoad,
            word: SlotWord(0),
            deadline: Deadline(0),
            now: 0,
            to: 0,
            remembered: false,
            unremembered: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Clock,
    Load { now: u64 },
    LoadDeadline { now: u64, word: SlotWord },
    Stores(Vec<Store>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Store {
    Word(SlotWord),
    Deadline(Deadline),
    Limit(Deadline),
}

/// A connection that a flow has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Connection {
    /// Its backend; 0 before it is opened.
    home: u32,
    /// When its last packet began.
    heard: u64,
    /// Whether its opening was remembered.
    remembered: bool,
    /// Whether it may be given up: it was silent for a settle time, its backend left, or the limit is reached.
    given_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    time: u64,
    /// What the clock will move on by.
    tick: u64,
    word: SlotWord,
    deadline: Deadline,
    limit: Deadline,
    memory: [Option<SlotWord>; 2],
    connections: [Connection; 2],
    /// What the processors of the flows last took the time to be.
    clocks: [u64; 2],
    writer: Option<Writer>,
    packets: [Packets; 2],
}

/// How it came to what should not be.
type Violation = String;

/// What led from one world to the next.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "what it says is read where it is printed")]
enum Label {
    Tick,
    Packet { flow: usize, step: Step, lag: u64 },
    Writer,
}

impl World {
    /// A settled slot of the first backend.
    fn new() -> Self {
        Self {
            time: 1_000_000,
            tick: 0,
            word: SlotWord::new(1, 0, EPOCH),
            deadline: Deadline::new(EPOCH, 5000),
            limit: Deadline::default(),
            memory: [None; 2],
            connections: [Connection::default(); 2],
            clocks: [0; 2],
            writer: None,
            packets: [Packets::new(NEW, NONE), Packets::new(OLD, NONE)],
        }
    }

    /// Runs a packet from its beginning to its end, on a processor whose clock lags so much.
    fn packet(&mut self, rules: &Rules, flow: usize, segment: Segment, lag: u64) -> Result<(), Violation> {
        let packets: &'static [Segment] = match segment {
            Segment::Opening => &[Segment::Opening],
            _ => &[Segment::Other],
        };
        let mut packets = Packets::new(flow, packets);
        while !packets.left.is_empty() {
            self.step(rules, &mut packets, lag)?;
        }
        Ok(())
    }

    /// Runs a change from its beginning to its end.
    fn change(&mut self, rules: &Rules, target: u32, leaving: u32) {
        let rules = Rules { target, leaving, ..*rules };
        let now = self.time - LAG_MILLISECONDS;
        for store in rules.stores(self.word, self.deadline, now).expect("nobody waits in a prelude") {
            self.store(store);
        }
    }

    fn store(&mut self, store: Store) {
        match store {
            Store::Word(word) => self.word = word,
            Store::Deadline(deadline) => self.deadline = deadline,
            Store::Limit(limit) => self.limit = limit,
        }
    }

    /// Takes one step of a packet.
    fn step(&mut self, rules: &Rules, packets: &mut Packets, lag: u64) -> Result<(), Violation> {
        let segment = *packets.left.first().expect("a thread that has ended takes no steps");
        let flow = packets.flow;
        packets.step = match packets.step {
            Step::FirstLoad => {
                let connection = &mut self.connections[flow];
                if connection.home != 0 && segment == Segment::Other {
                    let limited = rules.limit != 0 && self.time + TICK >= self.limit.time();
                    connection.given_up |= self.time - connection.heard >= SETTLE || limited;
                }
                if rules.deadline_first {
                    packets.deadline = self.deadline;
                } else {
                    packets.word = self.word;
                }
                Step::Clock
            }
            Step::Clock => {
                // A flow's packets come to one processor, whose time does not go back.
                packets.now = self.clocks[flow].max(self.time - lag);
                self.clocks[flow] = packets.now;
                Step::SecondLoad
            }
            Step::SecondLoad => {
                if rules.deadline_first {
                    packets.word = self.word;
                } else {
                    packets.deadline = self.deadline;
                }
                Step::Phase
            }
            Step::Phase => match rules.phase(packets.word, packets.deadline, packets.now) {
                Phase::Settled => {
                    packets.to = packets.word.owner();
                    Step::Done
                }
                Phase::Settling => Step::Recall,
                Phase::SettlingWithoutDeadline => Step::Freshen,
            },
            Step::Freshen => {
                let fresh = rules.put_off(packets, self.limit).expect("it is of another epoch");
                packets.deadline = fresh;
                self.deadline = fresh;
                Step::Recall
            }
            Step::Recall => self.recall(rules, packets, segment),
            Step::Remember => {
                packets.to = packets.word.owner();
                if rules.makes(Mistake::NoMemory) {
                    // It goes there for all that.
                } else if rules.room || self.memory[flow].is_some() {
                    // A flow that has a place keeps it.
                    let memory = SlotWord::new(packets.word.owner(), 0, packets.word.epoch());
                    self.memory[flow] = Some(memory);
                    packets.remembered = true;
                } else {
                    packets.to = packets.word.previous();
                    packets.unremembered = true;
                }
                Step::PutOff
            }
            Step::PutOff => {
                if packets.to == packets.word.owner() {
                    Step::Done
                } else {
                    rules.put_off(packets, self.limit).map_or(Step::Done, Step::Store)
                }
            }
            Step::Store(deadline) => {
                self.deadline = deadline;
                Step::Done
            }
            Step::Done => {
                self.arrive(rules, packets, segment)?;
                // Worlds that differ in what nobody will look at again are one.
                *packets = Packets::new(flow, &packets.left[1..]);
                Step::FirstLoad
            }
        };
        Ok(())
    }

    fn recall(&self, rules: &Rules, packets: &mut Packets, segment: Segment) -> Step {
        let word = packets.word;
        let counts =
            |memory: &SlotWord| memory.epoch() == word.epoch() || rules.makes(Mistake::MemoryWithoutEpoch);
        let recalled = match self.memory[packets.flow].filter(counts) {
            Some(memory) if memory.owner() != rules.leaving => {
                Recalled::At { owner: memory.owner(), active: !rules.makes(Mistake::RetransmissionsMove) }
            }
            _ => Recalled::Nothing,
        };
        let late = packets.deadline.is_late(word.epoch(), packets.now);
        match route(word, segment, recalled, late) {
            Route::Remember => Step::Remember,
            Route::To(to) => {
                packets.to = to;
                packets.remembered = recalled != Recalled::Nothing;
                Step::PutOff
            }
        }
    }

    /// Checks where a packet went.
    fn arrive(&mut self, rules: &Rules, packets: &Packets, segment: Segment) -> Result<(), Violation> {
        // The program sends to the owner what would go to a backend that is not there.
        let to = if packets.to == rules.leaving { packets.word.owner() } else { packets.to };
        if to == 0 {
            return Err("a packet went to nobody".to_owned());
        }
        let connection = &mut self.connections[packets.flow];
        let stays = connection.home != 0
            && connection.home != rules.leaving
            && !connection.given_up
            && (segment == Segment::Other || connection.remembered);
        if stays && to != connection.home {
            return Err(format!("a {segment:?} of a connection at {} went to {to}", connection.home));
        }
        if segment == Segment::Opening {
            connection.home = to;
            connection.given_up = false;
            connection.remembered = packets.remembered;
        }
        connection.heard = self.time;
        Ok(())
    }

    /// The worlds that may come next, and what each step was.
    fn next(&self, rules: &Rules) -> Result<Vec<(Label, Self)>, Violation> {
        let mut next = Vec::new();
        if self.tick != 0 {
            let world = Self { time: self.time + self.tick, tick: 0, ..self.clone() };
            next.push((Label::Tick, world));
        }
        for (index, packets) in
            self.packets.iter().enumerate().filter(|(_, packets)| !packets.left.is_empty())
        {
            let lags: &[u64] = if packets.step == Step::Clock { &[0, TICK] } else { &[0] };
            for lag in lags {
                let (mut world, mut packets) = (self.clone(), *packets);
                let label = Label::Packet { flow: packets.flow, step: packets.step, lag: *lag };
                let failed = |violation| format!("{label:?}: {violation}");
                world.step(rules, &mut packets, *lag).map_err(failed)?;
                while packets.step.is_private() {
                    world.step(rules, &mut packets, *lag).map_err(failed)?;
                }
                world.packets[index] = packets;
                next.push((label, world));
            }
        }
        if let Some(writer) = &self.writer {
            let mut world = self.clone();
            world.writer = match writer.clone() {
                Writer::Clock => Some(Writer::Load { now: self.time - LAG_MILLISECONDS }),
                Writer::Load { now } => Some(Writer::LoadDeadline { now, word: self.word }),
                Writer::LoadDeadline { now, word } => {
                    // One that has to wait looks again some other time, which is another scenario.
                    let mut stores = rules.stores(word, self.deadline, now).unwrap_or_default();
                    stores.reverse();
                    (!stores.is_empty()).then_some(Writer::Stores(stores))
                }
                Writer::Stores(mut stores) => {
                    let store = stores.pop().expect("it ends with the last one");
                    world.store(store);
                    (!stores.is_empty()).then_some(Writer::Stores(stores))
                }
            };
            next.push((Label::Writer, world));
        }
        Ok(next)
    }

    /// Each connection goes on for two settle times, a packet in just less than one, and stays where it is.
    fn goes_on(&self, rules: &Rules) -> Result<(), Violation> {
        for flow in [NEW, OLD] {
            for lags in [[TICK, 0, TICK], [0, TICK, 0]] {
                let mut world = self.clone();
                for (round, lag) in lags.into_iter().enumerate() {
                    if world.connections[flow].home != 0 {
                        world
                            .packet(rules, flow, Segment::Other, lag)
                            .map_err(|violation| format!("in round {round}, lags {lags:?}: {violation}"))?;
                    }
                    world.time += SETTLE - 1;
                }
            }
        }
        Ok(())
    }
}

/// The worlds that were visited, and in how many orders the steps can be made from each on.
#[derive(Default)]
struct Explorer {
    seen: HashMap<World, u128>,
}

impl Explorer {
    /// Visits a world and all that come of it.
    fn visit(&mut self, rules: &Rules, world: &World) -> Result<u128, Violation> {
        if let Some(orders) = self.seen.get(world) {
            return Ok(*orders);
        }
        let next = world.next(rules)?;
        let mut orders = 0;
        for (label, next) in &next {
            orders += self.visit(rules, next).map_err(|violation| format!("{label:?}\n{violation}"))?;
        }
        if next.is_empty() {
            world.goes_on(rules)?;
            orders = 1;
        }
        self.seen.insert(world.clone(), orders);
        Ok(orders)
    }
}

/// How a slot came to where a scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prelude {
    /// Settled; the old connection was opened at its owner.
    Settled,
    /// It changed owner; the old connection was opened before.
    Changed,
    /// The same, and the last packet of the old connection gained too little to put the deadline off.
    ChangedAndHeardTwice,
    /// It changed owner; the old connection was opened since.
    Opened,
    /// It changed owner twice; the old connection was opened in between.
    ChangedTwice,
    /// The previous owner left; the old connection was opened before that.
    SteppedIn,
    /// The previous owner left; the old connection was opened after that.
    OpenedAfterSteppingIn,
    /// The deadline has passed; the old connection was opened since.
    Lapsed,
    /// The same, and both flows had connections elsewhere in the period before.
    LapsedWithMemories,
    /// The deadline has passed, and the next period's was stored by a writer that was killed then.
    Interrupted,
    /// The deadline of a period before was stored over the slot's.
    WithoutDeadline,
}

const PRELUDES: [Prelude; 11] = [
    Prelude::Settled,
    Prelude::Changed,
    Prelude::ChangedAndHeardTwice,
    Prelude::Opened,
    Prelude::ChangedTwice,
    Prelude::SteppedIn,
    Prelude::OpenedAfterSteppingIn,
    Prelude::Lapsed,
    Prelude::LapsedWithMemories,
    Prelude::Interrupted,
    Prelude::WithoutDeadline,
];

/// Where a scenario begins, in milliseconds after the deadline: far from it, where a writer waits or not, where a packet
/// comes in time or late, where it has passed for some processors and for all.
const BEGINNINGS: [i64; 11] = [-9000, -1050, -950, -92, -61, -51, -11, -1, 0, 39, 50];

impl Prelude {
    fn lapses(self) -> bool {
        matches!(self, Self::Lapsed | Self::LapsedWithMemories | Self::Interrupted)
    }

    fn world(self, rules: &Rules, beginning: i64) -> Option<World> {
        let mut world = World::new();
        let result = self.play(rules, &mut world, beginning);
        // What is wrong before anything happens at the same time is wrong in a test's eyes too.
        result.unwrap_or_else(|violation| panic!("{self:?}, {rules:?}: {violation}")).then_some(world)
    }

    /// `false` where it cannot begin then.
    fn play(self, rules: &Rules, world: &mut World, beginning: i64) -> Result<bool, Violation> {
        let rules = &Rules { mistakes: &[], leaving: 0, room: true, ..*rules };
        let after_deadline = |world: &mut World, offset: i64| {
            let time = world.deadline.time().checked_add_signed(offset).expect("it is long after boot");
            let is_later = time >= world.time;
            world.time = time;
            is_later
        };
        if self == Self::Settled || self == Self::WithoutDeadline {
            world.packet(rules, OLD, Segment::Opening, 0)?;
            world.time += 3;
            if self == Self::WithoutDeadline {
                let old = Deadline::new(world.word.epoch(), world.time + SETTLE);
                world.change(rules, 2, 0);
                world.deadline = old;
            }
            return Ok(beginning == 0);
        }
        if matches!(self, Self::Changed | Self::ChangedAndHeardTwice) {
            world.packet(rules, OLD, Segment::Opening, TICK)?;
        }
        world.time += 3;
        let first = if self == Self::LapsedWithMemories { 5 } else { 2 };
        world.change(rules, first, 0);
        match self {
            Self::Changed => {
                world.time += 100;
                world.packet(rules, OLD, Segment::Other, TICK)?;
            }
            Self::ChangedAndHeardTwice => {
                world.time += 100;
                world.packet(rules, OLD, Segment::Other, 0)?;
                world.time += 15;
                world.packet(rules, OLD, Segment::Other, 0)?;
            }
            Self::Opened => world.packet(rules, OLD, Segment::Opening, TICK)?,
            Self::ChangedTwice => {
                world.packet(rules, OLD, Segment::Opening, TICK)?;
                world.time += 100;
                world.change(rules, 4, 0);
            }
            Self::SteppedIn => {
                world.packet(rules, OLD, Segment::Opening, TICK)?;
                world.time += 100;
                world.change(rules, 2, 1);
            }
            Self::OpenedAfterSteppingIn => {
                world.time += 100;
                world.change(rules, 2, 1);
                world.packet(rules, OLD, Segment::Opening, TICK)?;
            }
            Self::LapsedWithMemories => {
                world.packet(rules, OLD, Segment::Opening, 0)?;
                world.packet(rules, NEW, Segment::Opening, 0)?;
                world.connections[NEW] = Connection::default();
                world.change(rules, 2, 0);
            }
            _ => {}
        }
        if self.lapses() {
            if !after_deadline(world, 0) || beginning < 0 {
                return Ok(false);
            }
            world.connections[OLD] = Connection::default();
            world.packet(rules, OLD, Segment::Opening, 0)?;
        }
        let may_begin = after_deadline(world, beginning);
        if self == Self::Interrupted {
            world.deadline = Deadline::new(world.word.epoch().next(), world.time + SETTLE);
        }
        Ok(may_begin && (self != Self::Interrupted || beginning >= 50))
    }
}

/// What happens at the same time.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    prelude: Prelude,
    beginning: i64,
    rules: Rules,
    writes: bool,
    /// The packets of the new connection and of the old one.
    opening: &'static [Segment],
    going_on: &'static [Segment],
}

impl Scenario {
    /// In how many orders that can happen; what went wrong, if anything did.
    fn explore(&self) -> Result<u128, Violation> {
        let Some(mut world) = self.prelude.world(&self.rules, self.beginning) else { return Ok(0) };
        world.tick = TICK;
        world.writer = self.writes.then_some(Writer::Clock);
        world.packets = [Packets::new(NEW, self.opening), Packets::new(OLD, self.going_on)];
        Explorer::default()
            .visit(&self.rules, &world)
            .map_err(|violation| format!("{self:?}\n{world:?}\n{violation}"))
    }
}

/// As long as deadlines are late.
const LATE: i64 = LATE_MILLISECONDS.cast_signed();

/// Where a change and both connections begin at once: they have the most orders.
const FOR_ALL: [i64; 5] = [-9000, -1050, -61, -1, 50];

const NONE: &[Segment] = &[];
const OTHER: &[Segment] = &[Segment::Other];
const OPENED: &[Segment] = &[Segment::Opening, Segment::Other];
const OPENED_TWICE: &[Segment] = &[Segment::Opening, Segment::Opening, Segment::Other];

/// All scenarios in which those mistakes are made.
fn scenarios(mistakes: &'static [Mistake]) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    // Who takes part, whether there is room, and the limit.
    let casts = [
        (OPENED, NONE, true, 0),
        (OPENED, NONE, false, 0),
        (OPENED_TWICE, NONE, true, 0),
        (NONE, OTHER, true, 0),
        (OPENED, OTHER, true, 0),
        (OPENED, OTHER, false, 0),
        (OPENED, OTHER, true, 2 * SETTLE),
    ];
    let changes = [None, Some((3, 0)), Some((1, 0)), Some((3, 1)), Some((3, 2)), Some((2, 1))];
    for prelude in PRELUDES {
        for beginning in BEGINNINGS {
            for change in changes {
                let (target, leaving) = change.unwrap_or((2, 0));
                for deadline_first in [false, true] {
                    for (opening, going_on, room, limit) in casts {
                        let all = !opening.is_empty() && !going_on.is_empty() && change.is_some();
                        // Who is opened in the tick after a deadline is not remembered, and a packet that cannot be
                        // remembered may still put that deadline off: where memory is full that much is conceded.
                        let conceded = !room && prelude.lapses() && (0..LATE).contains(&beginning);
                        if conceded || all && !FOR_ALL.contains(&beginning) {
                            continue;
                        }
                        scenarios.push(Scenario {
                            prelude,
                            beginning,
                            rules: Rules { mistakes, deadline_first, room, target, leaving, limit },
                            writes: change.is_some(),
                            opening,
                            going_on,
                        });
                    }
                }
            }
        }
    }
    scenarios
}

/// In how many orders all of it can happen, and in which scenarios something goes wrong.
fn explore(mistakes: &'static [Mistake]) -> (u128, Vec<Violation>) {
    let scenarios = &scenarios(mistakes);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        // Each takes every so manieth, since neighbours take equally long.
        let every = |worker| scenarios.iter().skip(worker).step_by(workers).map(Scenario::explore);
        let workers: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || every(worker).collect::<Vec<_>>())).collect();
        let (mut orders, mut violations) = (0, Vec::new());
        for result in workers.into_iter().flat_map(|worker| worker.join().expect("it only looks")) {
            match result {
                Ok(some) => orders += some,
                Err(violation) => violations.push(violation),
            }
        }
        (orders, violations)
    })
}

/// Whether any scenario that begins so shows those mistakes.
fn shows(prelude: Prelude, beginning: i64, mistakes: &'static [Mistake]) -> bool {
    scenarios(mistakes)
        .iter()
        .filter(|scenario| scenario.prelude == prelude && scenario.beginning == beginning)
        .any(|scenario| scenario.explore().is_err())
}

#[test]
fn in_every_order_of_loads_and_stores_each_packet_goes_where_its_connection_is() {
    let (orders, violations) = explore(&[]);
    println!("{orders} orders");
    assert!(orders > 1_000_000);
    assert!(violations.is_empty(), "{} scenarios, the first of which:\n{}", violations.len(), violations[0]);
}

#[test]
fn every_mistake_shows() {
    for (prelude, beginning, mistakes) in [
        (Prelude::Lapsed, 50, &[Mistake::DeadlineWithoutEpoch][..]),
        (Prelude::Settled, 0, &[Mistake::DeadlineWithoutEpoch, Mistake::WordFirst]),
        (Prelude::LapsedWithMemories, 50, &[Mistake::EpochStays]),
        (Prelude::LapsedWithMemories, 50, &[Mistake::MemoryWithoutEpoch]),
        (Prelude::Changed, -9000, &[Mistake::YoungestPrevious]),
        (Prelude::Changed, -11, &[Mistake::NoGuard]),
        (Prelude::Changed, -1, &[Mistake::PutOffLate]),
        (Prelude::Changed, -9000, &[Mistake::NoSlack]),
        (Prelude::Opened, -9000, &[Mistake::RetransmissionsMove]),
        (Prelude::Changed, -9000, &[Mistake::NoMemory]),
        (Prelude::Changed, -9000, &[Mistake::NoPutOff]),
    ] {
        assert!(shows(prelude, beginning, mistakes), "{mistakes:?}");
    }
}

#[test]
fn the_epoch_in_the_deadline_makes_the_order_of_the_stores_harmless() {
    for (prelude, beginning) in [(Prelude::Settled, 0), (Prelude::Changed, -9000), (Prelude::Lapsed, 50)] {
        assert!(!shows(prelude, beginning, &[Mistake::WordFirst]));
    }
}
