//! One service: its table, slot by slot, settling by the rules of [`maglev_core::slot`].

use std::time::Duration;

use maglev_core::{
    health::Health,
    sample::{BackendId, BackendSample, Counters, ServiceSample, Slots},
    seed::HashSeed,
    service::{Backend, BackendState, Service, Tracking},
    slot::{Deadline, Phase, Recalled, Rewrite, Route, Segment, SlotWord, forget_previous, reassign, route},
    table::{LookupTable, NO_BACKEND, TableError},
};

/// A service and its slots.
#[derive(Debug)]
pub(super) struct Balancer {
    service: Service,
    words: Vec<SlotWord>,
    deadlines: Vec<Deadline>,
    hits: Vec<u64>,
    members: Vec<Member>,
    counters: Counters,
}

/// A backend and what it got.
#[derive(Debug)]
struct Member {
    id: u32,
    backend: Backend,
    counters: Counters,
    last_packet: Option<Duration>,
}

/// Where a packet went, and why.
#[derive(Debug)]
pub(super) struct Sent {
    /// The number of the backend that it went to; 0 for none.
    pub(super) id: u32,
    /// That backend.
    pub(super) backend: Option<Backend>,
    /// The slot's owner.
    pub(super) owner: Option<Backend>,
    /// The slot's previous owner, while it settles.
    pub(super) previous: Option<Backend>,
    /// Where its flow was remembered to be.
    pub(super) remembered: Option<Backend>,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Balancer {
    pub(super) fn new(service: Service, seed: &HashSeed, next_id: &mut u32) -> Result<Self, TableError> {
        let slots = service.table_size as usize;
        let mut balancer = Self {
            service: Service { backends: Vec::new(), ..service.clone() },
            words: vec![SlotWord::default(); slots],
            deadlines: vec![Deadline::default(); slots],
            hits: vec![0; slots],
            members: Vec::new(),
            counters: Counters::default(),
        };
        balancer.become_service(service, seed, next_id, Duration::ZERO)?;
        Ok(balancer)
    }

    pub(super) const fn service(&self) -> &Service {
        &self.service
    }

    pub(super) const fn table_size(&self) -> u32 {
        self.service.table_size
    }

    /// Gives the slots to the backends of `target`, as the datapath's writer does.
    pub(super) fn become_service(
        &mut self,
        target: Service,
        seed: &HashSeed,
        next_id: &mut u32,
        now: Duration,
    ) -> Result<(), TableError> {
        let table = LookupTable::of_service(&target, seed)?;
        let same = |a: &Backend, b: &Backend| a.name == b.name && a.address == b.address;
        let ids_without = |keeps: &dyn Fn(&Backend) -> bool| -> Vec<u32> {
            let stays = |member: &&Member| {
                target.backends.iter().any(|backend| same(backend, &member.backend) && keeps(backend))
            };
            self.members.iter().filter(|member| !stays(member)).map(|member| member.id).collect()
        };
        let leaving = ids_without(&|_| true);
        // For one that is down nothing is held either.
        let losing = ids_without(&|backend| backend.health != Health::Unhealthy);
        for backend in &target.backends {
            if let Some(member) = self.members.iter_mut().find(|member| same(&member.backend, backend)) {
                member.backend = backend.clone();
                continue;
            }
            self.members.push(Member {
                id: *next_id,
                backend: backend.clone(),
                counters: Counters::default(),
                last_packet: None,
            });
            *next_id += 1;
        }
        self.members.retain(|member| !leaving.contains(&member.id));
        let ids: Vec<u32> = target
            .backends
            .iter()
            .map(|backend| {
                self.members
                    .iter()
                    .find(|member| same(&member.backend, backend))
                    .map_or(0, |member| member.id)
            })
            .collect();
        self.service = target;
        for (slot, &owner) in table.slots().iter().enumerate() {
            let owner = if owner == NO_BACKEND { 0 } else { ids[owner as usize] };
            self.give(slot, owner, &losing, milliseconds(now));
        }
        self.members.sort_by(|a, b| a.backend.name.cmp(&b.backend.name));
        Ok(())
    }

    fn give(&mut self, slot: usize, owner: u32, losing: &[u32], now: u64) {
        let settle_time = milliseconds(self.service.settle_time);
        let holds =
            self.service.tracking == Tracking::Settling && !losing.contains(&self.words[slot].owner());
        let rewrite = reassign(self.words[slot], self.deadlines[slot], owner, now, settle_time, holds);
        if rewrite == Rewrite::Wait {
            // The datapath's writer comes back when the deadline has passed; here that moment is at hand.
            let later = self.deadlines[slot].time();
            let rewrite = reassign(self.words[slot], self.deadlines[slot], owner, later, settle_time, holds);
            self.store(slot, rewrite);
        } else {
            self.store(slot, rewrite);
        }
        for &id in losing {
            let rewrite = forget_previous(self.words[slot], self.deadlines[slot], id, now);
            self.store(slot, rewrite);
        }
    }

    fn store(&mut self, slot: usize, rewrite: Rewrite) {
        match rewrite {
            Rewrite::Unchanged | Rewrite::Wait => {}
            Rewrite::Word(word) => self.words[slot] = word,
            Rewrite::DeadlineThenWord(deadline, word) => {
                self.deadlines[slot] = deadline;
                self.words[slot] = word;
            }
        }
    }

    /// Clears what has settled by now, as whoever reads the slots sees it.
    pub(super) fn settle(&mut self, now: Duration) {
        let now = milliseconds(now);
        for (word, deadline) in self.words.iter_mut().zip(&self.deadlines) {
            if word.previous() != 0 && word.phase(*deadline, now) == Phase::Settled {
                *word = SlotWord::new(word.owner(), 0, word.epoch());
            }
        }
    }

    /// Where a flow is remembered to be at `now`.
    fn remembered(&self, slot: u32, opened_at: Option<u32>, now: Duration) -> Option<u32> {
        let keeps = |member: &Member| member.backend.health != Health::Unhealthy;
        let known = opened_at.filter(|id| self.member(*id).is_some_and(keeps));
        match self.service.tracking {
            Tracking::Never => None,
            Tracking::Always => known,
            Tracking::Settling => known.filter(|_| self.is_settling(slot, now)),
        }
    }

    fn is_settling(&self, slot: u32, now: Duration) -> bool {
        let slot = slot as usize;
        self.words[slot].phase(self.deadlines[slot], milliseconds(now)) != Phase::Settled
    }

    fn member(&self, id: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Sends one packet of a flow that was opened at that backend, `None` for its first packet, and tells why it goes
    /// where it goes.
    pub(super) fn send(&mut self, slot: u32, opened_at: Option<u32>, bytes: u64, now: Duration) -> Sent {
        let word = self.words[slot as usize];
        let previous = if self.is_settling(slot, now) { word.previous() } else { 0 };
        // One from before the change is held, not remembered.
        let remembered = self.remembered(slot, opened_at, now).filter(|id| *id != previous);
        let id = self.route(slot, opened_at, now);
        let backend = |id: u32| self.member(id).map(|member| member.backend.clone());
        let sent = Sent {
            id,
            backend: backend(id),
            owner: backend(word.owner()),
            previous: backend(previous),
            remembered: remembered.and_then(backend),
        };
        self.count(slot, id, 1, bytes, opened_at != Some(id) && self.is_active(id), now);
        sent
    }

    /// Where a flow's packets go at `now`: `opened_at` is the backend that it was opened at, `None` for its first packet.
    pub(super) fn route(&self, slot: u32, opened_at: Option<u32>, now: Duration) -> u32 {
        let word = self.words[slot as usize];
        let remembered = self.remembered(slot, opened_at, now);
        match (self.service.tracking, opened_at, remembered) {
            // The flow's own memory stands for the map of remembered flows: nothing is ever forgotten for want of room.
            (Tracking::Settling, Some(_), Some(owner)) => {
                match route(word, Segment::Other, Recalled::At { owner, active: true }, false) {
                    Route::To(id) => id,
                    Route::Remember => word.owner(),
                }
            }
            (Tracking::Always, Some(_), Some(owner)) => owner,
            _ => word.owner(),
        }
    }

    /// Counts packets that a flow had sent to `id`.
    pub(super) fn count(
        &mut self,
        slot: u32,
        id: u32,
        packets: u64,
        bytes: u64,
        opened: bool,
        now: Duration,
    ) {
        let index = slot as usize;
        self.hits[index] += packets;
        let word = self.words[index];
        let held = id != word.owner();
        if held && word.previous() != 0 {
            let now = milliseconds(now);
            let settle_time = milliseconds(self.service.settle_time);
            // With one clock for all it is never too late.
            if let Some(deadline) =
                self.deadlines[index].put_off(word.epoch(), now, settle_time, u64::MAX, true)
            {
                self.deadlines[index] = deadline;
            }
        }
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        member.last_packet = Some(now);
        for counters in [&mut member.counters, &mut self.counters] {
            counters.packets += packets;
            counters.bytes += bytes;
            counters.new_connections += u64::from(opened);
            counters.held_packets += if held { packets } else { 0 };
        }
    }

    pub(super) fn sample(&self, now: Duration) -> ServiceSample {
        let Service { name, address, protocol, forwarding, affinity, tracking, settle_time, health, .. } =
            &self.service;
        let owned = |id: u32| self.words.iter().filter(|word| word.owner() == id).count();
        let backends = self.members.iter().map(|member| BackendSample {
            id: BackendId(member.id),
            name: member.backend.name.clone(),
            address: member.backend.address,
            weight: member.backend.weight,
            state: member.backend.state,
            health: member.backend.health,
            slots: u32::try_from(owned(member.id)).unwrap_or(u32::MAX),
            counters: member.counters,
            quiet: member.last_packet.map(|at| now.saturating_sub(at)),
            by_hand: Vec::new(),
        });
        ServiceSample {
            name: name.clone(),
            address: *address,
            protocol: *protocol,
            forwarding: *forwarding,
            affinity: *affinity,
            tracking: *tracking,
            settle_time: *settle_time,
            is_checked: health.is_some(),
            counters: self.counters,
            unremembered: 0,
            backends: backends.collect(),
            slots: Slots {
                owner: self.words.iter().map(|word| BackendId(word.owner())).collect(),
                previous: self.words.iter().map(|word| BackendId(word.previous())).collect(),
                hits: self.hits.as_slice().into(),
            },
            cilium: None,
        }
    }

    /// Whether that backend gets new flows.
    pub(super) fn is_active(&self, id: u32) -> bool {
        self.member(id).is_some_and(|member| member.backend.state == BackendState::Active)
    }
}
