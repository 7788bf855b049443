//! One look at a datapath, real or simulated: what the monitor draws and `status` prints.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    cilium::{Counted, NodeFacts, ServiceFacts},
    health::Health,
    service::{Affinity, BackendState, Forwarding, Protocol, Tracking},
};

/// Everything that was read in one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When it was read, on the clock that never goes back (time since boot).
    pub taken_at: Duration,
    /// When it was read, on the wall.
    pub wall: Option<SystemTime>,
    /// Counts the changes to the state; a change planned on an old version is refused.
    pub state_version: u64,
    /// The services, by name.
    pub services: Vec<ServiceSample>,
    /// Packets per verdict: the word for it, and the count since the program was loaded.
    pub verdicts: Vec<(&'static str, u64)>,
    /// Packets that each processor has handled, in the order of their numbers.
    pub processors: Vec<u64>,
    /// The changes that are on record, the oldest first.
    pub events: Vec<Event>,
    /// What else is known of a node of Cilium's.
    pub cilium: Option<Arc<NodeFacts>>,
}

/// One service in a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSample {
    /// Its name.
    pub name: String,
    /// The address and port that clients send to.
    pub address: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// How its packets are forwarded.
    pub forwarding: Forwarding,
    /// What of a client is hashed.
    pub affinity: Affinity,
    /// Which flows are remembered.
    pub tracking: Tracking,
    /// How long its slots settle.
    pub settle_time: Duration,
    /// Whether it asks for its backends to be checked.
    pub is_checked: bool,
    /// What passed through it since it was made.
    pub counters: Counters,
    /// New connections of settling slots that could not be remembered and went to the owner before.
    pub unremembered: u64,
    /// Its backends, by name. Removed ones are not among them.
    pub backends: Vec<BackendSample>,
    /// Its lookup table, slot by slot.
    pub slots: Slots,
    /// What else is known of a service of Cilium's.
    pub cilium: Option<Arc<ServiceFacts>>,
}

impl ServiceSample {
    /// What is counted of it; its other counters mean nothing.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.cilium.as_ref().map_or(Counted::Everything, |facts| facts.counted)
    }

    /// Whether its table is one that is filled from what is known of it here.
    #[must_use]
    pub fn is_reproducible(&self) -> bool {
        let of_table = |facts: &ServiceFacts| facts.table.as_ref().is_some_and(|table| table.is_reproducible);
        self.cilium.as_ref().is_none_or(|facts| of_table(facts))
    }
}

/// One backend in a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSample {
    /// What slots name it by.
    pub id: BackendId,
    /// Its name.
    pub name: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u16,
    /// Whether the operator lets it get new flows.
    pub state: BackendState,
    /// What its checks say of it.
    pub health: Health,
    /// How many slots it owns.
    pub slots: u32,
    /// What it got since it was added.
    pub counters: Counters,
    /// How long ago it last got a packet; `None` if it never did.
    pub quiet: Option<Duration>,
    /// What was done to it by hand since a configuration was last applied, and is not as that has it.
    pub by_hand: Vec<ByHand>,
}

/// Something that was done to a backend by hand, and what the configuration that was last applied says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// It was added; the configuration does not have it.
    Added,
    /// It was drained or undrained; the configuration has it in that state.
    State(BackendState),
    /// It was given another weight; the configuration gives it that one.
    Weight(u16),
}

impl BackendSample {
    /// Whether it has slots and gets new flows: it is active, and not unhealthy.
    #[must_use]
    pub fn gets_flows(&self) -> bool {
        self.state == BackendState::Active && self.health != Health::Unhealthy
    }
}

/// What slots name a backend by. [`BackendId::NONE`] owns the slots that nobody owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u32);

impl BackendId {
    /// No backend.
    pub const NONE: Self = Self(0);

    /// Whether it names no backend.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Counts that never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent on.
    pub packets: u64,
    /// Bytes of those packets, from the Ethernet header on, as they came in.
    pub bytes: u64,
    /// Connections begun: SYNs sent on, or for tracked UDP flows seen for the first time.
    pub new_connections: u64,
    /// Packets sent to another backend than their slot's current owner.
    pub held_packets: u64,
}

/// A lookup table, column by column; every column has one entry a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    /// Who owns each slot.
    pub owner: Arc<[BackendId]>,
    /// Who owned it before, while it settles; [`BackendId::NONE`] where it is settled.
    pub previous: Arc<[BackendId]>,
    /// Packets that hit it since the service was made; empty where they are not counted.
    pub hits: Arc<[u64]>,
}

impl Slots {
    /// The number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owner.len()
    }

    /// Whether there is no slot at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owner.is_empty()
    }

    /// How many slots are settling.
    #[must_use]
    pub fn settling(&self) -> usize {
        self.previous.iter().filter(|previous| !previous.is_none()).count()
    }
}

/// A change on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts the events; the first is 1.
    pub sequence: u64,
    /// When it happened.
    pub at: SystemTime,
    /// Who did it, in words: `root on pts/1, process 4711`.
    pub actor: String,
    /// What was done: `up`, `add`, `drain`, `undrain`, `remove`, `weight`, `apply`, `unhealthy`.
    pub action: String,
    /// The service it was done to.
    pub service: String,
    /// The backend it was done to; empty where it was none or several.
    pub backend: String,
    /// What else there is to say of it; often empty.
    pub detail: String,
    /// Slots that changed owner.
    pub moved: u32,
    /// Slots that had to change owner.
    pub minimum: u32,
}
