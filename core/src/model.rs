//! The balancer as it would be with all the time and room in the world: slots, backends, what is remembered, and where
//! a packet goes. It shares no line with [`slot`](crate::slot), of which it is the measure: epochs never go round,
//! nothing is packed into words, and one packet comes after the other.

use std::collections::{BTreeMap, BTreeSet};

/// User space leaves alone a settling slot with less than this to go.
pub const GUARD: u64 = 1000;
/// A deadline with no more than this to go is put off no longer.
pub const LATE: u64 = 50;
/// A deadline is put off if that gains so much.
pub const STEP: u64 = 16;
/// So much longer than the settle time a slot settles.
pub const SLACK: u64 = 116;
/// So many flows fit into a bucket.
pub const BUCKET: usize = 6;
/// An entry of a tracked flow is refreshed after so long, or after a sixteenth of the settle time.
pub const REFRESH: u64 = 250;

/// A backend's number.
pub type Number = u32;

/// Which flows a service remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Those opened while their slot settles.
    Settling,
    /// All.
    Always,
    /// None.
    Never,
}

/// Whether a backend gets new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// It keeps those that it has.
    Draining,
}

/// A backend that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Whether it gets new connections.
    pub state: State,
    /// Counts who had its number.
    pub generation: u32,
}

/// A moment in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The period.
    pub epoch: u64,
    /// In milliseconds.
    pub time: u64,
}

/// Whose the connections are that were there before a slot changed owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// A backend's.
    Backend(Number),
    /// Nobody's any more, and nobody is there to take them over.
    Nobody,
}

/// A slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Who gets new connections.
    pub owner: Option<Number>,
    /// Who had the slot before; if nobody, it is settled.
    pub previous: Option<Previous>,
    /// Its period.
    pub epoch: u64,
    /// Until when it settles.
    pub deadline: Moment,
    /// What the deadline is put off to at most.
    pub limit: Moment,
}

impl Slot {
    /// Whether it settles at `now`.
    #[must_use]
    pub fn settles(&self, now: u64) -> bool {
        self.previous.is_some()
            && (self.deadline.epoch < self.epoch
                || self.deadline.epoch == self.epoch && now < self.deadline.time)
    }

    /// Whether user space leaves it alone until it has settled or its deadline has been put off.
    #[must_use]
    pub fn is_near(&self, now: u64) -> bool {
        self.settles(now) && self.ends_within(GUARD, now)
    }

    /// Whether its deadline is less than `margin` away.
    fn ends_within(&self, margin: u64, now: u64) -> bool {
        self.deadline.epoch == self.epoch && self.deadline.time < now + margin
    }
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Which flows it remembers.
    pub memory: Memory,
    /// For how long a connection may be silent.
    pub settle_time: u64,
    /// For how long a slot settles at most.
    pub settle_limit: Option<u64>,
    /// Its slots.
    pub slots: Vec<Slot>,
}

/// A flow of a service: its client, and where that falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// The service's place in [`Model::services`].
    pub service: usize,
    /// The client.
    pub client: usize,
    /// The slot, counted from the service's first.
    pub slot: usize,
    /// The bucket of the flow memory.
    pub bucket: u32,
}

/// What is remembered of a flow that was opened while its slot was settling.
#[derive(Clone, Copy, Debug)]
struct Opened {
    flow: Flow,
    owner: Number,
    generation: u32,
    epoch: u64,
}

/// What is known of a flow of a service that remembers all.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    backend: Number,
    generation: u32,
    last_packet: u64,
}

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SYN without ACK.
    Opening,
    /// A segment with RST.
    Reset,
    /// Any other segment.
    Segment,
    /// UDP.
    Datagram,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to that backend.
    Sent(Number),
    /// Its slot has no owner.
    NoBackend,
    /// Who should have it is not there.
    BackendGone,
}

/// What becomes of a packet, and what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where it goes.
    pub verdict: Verdict,
    /// Whether that is another than the slot's owner.
    pub held: bool,
    /// Whether there was no room to remember it.
    pub unremembered: bool,
    /// Whether it counts as a new connection.
    pub opens: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The services.
    pub services: Vec<Service>,
    /// The backends that are there.
    pub backends: BTreeMap<Number, Backend>,
    opened: BTreeMap<u32, Vec<Opened>>,
    tracked: BTreeMap<Flow, Tracked>,
}

impl Model {
    /// Sends a packet through.
    pub fn packet(&mut self, flow: Flow, kind: Kind, now: u64) -> Answer {
        let owner = self.services[flow.service].slots[flow.slot].owner;
        let mut unremembered = false;
        let mut track = false;
        let wanted = match self.services[flow.service].memory {
            Memory::Never => owner,
            Memory::Always => {
                let known = self.recall_tracked(flow, kind, now);
                track = known.is_none() && kind != Kind::Reset;
                known.or(owner)
            }
            Memory::Settling => {
                let wanted = self.settle(flow, kind, now);
                unremembered = wanted == Wanted::Unremembered;
                match wanted {
                    Wanted::At(number) => number,
                    Wanted::Unremembered => self.previous(flow),
                }
            }
        };
        let present = |number: &Number| self.backends.contains_key(number);
        let Some(backend) = wanted.filter(present).or(owner.filter(present)) else {
            let verdict = if owner.is_none() { Verdict::NoBackend } else { Verdict::BackendGone };
            return Answer { verdict, held: false, unremembered: false, opens: false };
        };
        let held = Some(backend) != owner;
        if self.services[flow.service].memory == Memory::Settling
            && self.services[flow.service].slots[flow.slot].settles(now)
            && held
            && kind != Kind::Reset
        {
            self.put_off(flow, now, unremembered);
        }
        if track {
            let generation = self.backends[&backend].generation;
            self.tracked.insert(flow, Tracked { backend, generation, last_packet: now });
        }
        let opens = kind == Kind::Opening || track && kind == Kind::Datagram;
        Answer { verdict: Verdict::Sent(backend), held, unremembered, opens }
    }

    /// Who had the flow's slot before.
    fn previous(&self, flow: Flow) -> Option<Number> {
        match self.services[flow.service].slots[flow.slot].previous {
            Some(Previous::Backend(number)) => Some(number),
            _ => None,
        }
    }

    /// Where a packet of a service goes that remembers what is opened while a slot settles.
    fn settle(&mut self, flow: Flow, kind: Kind, now: u64) -> Wanted {
        let slot = self.services[flow.service].slots[flow.slot];
        if !slot.settles(now) {
            return Wanted::At(slot.owner);
        }
        if slot.deadline.epoch < slot.epoch {
            self.put_off(flow, now, false);
        }
        let slot = self.services[flow.service].slots[flow.slot];
        let known = self.opened.get(&flow.bucket).into_iter().flatten().copied().find(|entry| {
            entry.flow == flow
                && entry.epoch == slot.epoch
                && self.backends.get(&entry.owner).is_some_and(|owner| owner.generation == entry.generation)
        });
        if kind != Kind::Opening {
            return Wanted::At(known.map_or_else(|| self.previous(flow), |known| Some(known.owner)));
        }
        let late = slot.ends_within(LATE + 1, now);
        if let Some(known) = known
            && self.backends[&known.owner].state == State::Active
            && (!late || Some(known.owner) == slot.owner)
        {
            return Wanted::At(Some(known.owner));
        }
        // With one who has it now and had it before, there is nothing to tell apart.
        let owns_both = slot.owner.is_some() && slot.previous == slot.owner.map(Previous::Backend);
        match slot.owner.and_then(|owner| self.backends.get(&owner).map(|backend| (owner, *backend))) {
            Some((owner, backend)) if known.is_some() || !owns_both => {
                let entry = Opened { flow, owner, generation: backend.generation, epoch: slot.epoch };
                if self.remember(entry, now) { Wanted::At(Some(owner)) } else { Wanted::Unremembered }
            }
            _ => Wanted::At(slot.owner),
        }
    }

    /// Puts an entry into its bucket; `false` where all that is there may be needed.
    fn remember(&mut self, entry: Opened, now: u64) -> bool {
        let services = &self.services;
        let is_dead = |entry: &Opened| {
            let slot = &services[entry.flow.service].slots[entry.flow.slot];
            slot.epoch != entry.epoch || !slot.settles(now.saturating_sub(GUARD))
        };
        let bucket = self.opened.entry(entry.flow.bucket).or_default();
        let own = bucket.iter().position(|other| other.flow == entry.flow);
        let place =
            own.or_else(|| (bucket.len() == BUCKET).then(|| bucket.iter().position(is_dead)).flatten());
        match place {
            Some(place) => bucket[place] = entry,
            None if bucket.len() < BUCKET => bucket.push(entry),
            None => return false,
        }
        true
    }

    /// Puts the deadline of the flow's slot off, as far as it is worth it and allowed.
    fn put_off(&mut self, flow: Flow, now: u64, whenever: bool) {
        let service = &mut self.services[flow.service];
        let slot = &mut service.slots[flow.slot];
        let mut time = now + service.settle_time + SLACK;
        if service.settle_limit.is_some() && slot.limit.epoch == slot.epoch {
            time = time.min(slot.limit.time);
        }
        let in_time = whenever || !slot.ends_within(LATE + 1, now);
        if slot.deadline.epoch != slot.epoch || in_time && time >= slot.deadline.time + STEP {
            slot.deadline = Moment { epoch: slot.epoch, time };
        }
    }

    /// Where the flow's packets went, of a service that remembers all.
    fn recall_tracked(&mut self, flow: Flow, kind: Kind, now: u64) -> Option<Number> {
        let settle_time = self.services[flow.service].settle_time;
        let entry = self.tracked.get_mut(&flow)?;
        let backend = self.backends.get(&entry.backend)?;
        let silence = now.saturating_sub(entry.last_packet);
        let opens_where_it_may_not = kind == Kind::Opening && backend.state != State::Active;
        if backend.generation != entry.generation || silence >= settle_time || opens_where_it_may_not {
            return None;
        }
        if silence >= REFRESH.min(settle_time / 16) {
            entry.last_packet = now;
        }
        Some(entry.backend)
    }

    /// Gives the slots of a service to `owners`, and takes the backends in `leaving` out of them, as far as `pending`
    /// slots go; those that have to wait remain there.
    pub fn change(
        &mut self,
        service: usize,
        pending: &mut Vec<usize>,
        owners: &[Option<Number>],
        leaving: &BTreeSet<Number>,
        now: u64,
        lag: u64,
    ) {
        let Service { memory, settle_time, settle_limit, slots } = &mut self.services[service];
        pending.retain(|&number| {
            let slot = &mut slots[number];
            let target = owners[number];
            let leaves = |backend: Option<Number>| backend.is_some_and(|backend| leaving.contains(&backend));
            let near = slot.is_near(now);
            let previous_leaves = match slot.previous {
                Some(Previous::Backend(backend)) => leaves(Some(backend)),
                _ => false,
            };
            if near && (previous_leaves || target != slot.owner) {
                return true;
            }
            if slot.settles(now) {
                if previous_leaves {
                    slot.previous = Some(slot.owner.map_or(Previous::Nobody, Previous::Backend));
                }
                if target != slot.owner {
                    // Who stepped in and leaves as well, or was not there, is followed by whoever comes.
                    let stepped_out =
                        leaves(slot.owner) && slot.previous == slot.owner.map(Previous::Backend);
                    if stepped_out || slot.previous == Some(Previous::Nobody) {
                        slot.previous = Some(target.map_or(Previous::Nobody, Previous::Backend));
                    }
                    slot.owner = target;
                    slot.deadline = Moment { epoch: slot.epoch, time: now + lag + *settle_time + SLACK };
                    slot.limit = settle_limit.map_or_else(Moment::default, |limit| Moment {
                        epoch: slot.epoch,
                        time: now + lag + limit,
                    });
                }
                return false;
            }
            let latest = slot.epoch.max(slot.deadline.epoch);
            if target == slot.owner {
                if slot.previous.take().is_some() && !previous_leaves {
                    slot.epoch = latest;
                }
            } else if *memory != Memory::Settling || slot.owner.is_none() || leaves(slot.owner) {
                *slot = Slot { owner: target, previous: None, epoch: latest, ..*slot };
            } else {
                let epoch = latest + 1;
                *slot = Slot {
                    owner: target,
                    previous: slot.owner.map(Previous::Backend),
                    epoch,
                    deadline: Moment { epoch, time: now + lag + *settle_time + SLACK },
                    limit: settle_limit
                        .map_or_else(Moment::default, |limit| Moment { epoch, time: now + lag + limit }),
                };
            }
            false
        });
    }

    /// Lets time pass: whatever is noted down was so much longer ago, or is so much nearer.
    pub fn pass(&mut self, milliseconds: u64) {
        for slot in self.services.iter_mut().flat_map(|service| &mut service.slots) {
            slot.deadline.time = slot.deadline.time.saturating_sub(milliseconds);
            slot.limit.time = slot.limit.time.saturating_sub(milliseconds);
        }
        for entry in self.tracked.values_mut() {
            entry.last_packet = entry.last_packet.saturating_sub(milliseconds);
        }
    }
}

/// Where a packet of a settling slot is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// There.
    At(Option<Number>),
    /// To the previous owner, because it cannot be remembered.
    Unremembered,
}
