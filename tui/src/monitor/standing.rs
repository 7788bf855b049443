//! What backends and slots got since the table of their service last changed: only of that stretch can counts be held
//! against shares.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use maglev_core::{
    balance::chance::Chance,
    sample::{BackendId, BackendSample, Counters, Sample, ServiceSample},
    service::{Affinity, Protocol, Tracking},
};

/// Where the counts of each service stood when its table last changed, as far as the monitor saw it.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    services: BTreeMap<String, Standing>,
}

/// Where the counts of a service stood.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When.
    since: Duration,
    owner: Arc<[BackendId]>,
    hits: Arc<[u64]>,
    backends: Vec<(BackendId, Counters)>,
    unremembered: u64,
}

/// Why no test of chance applies to the new connections of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTest {
    /// All connections of a client go the same way.
    Affinity,
    /// New connections are not counted.
    NotCounted,
}

impl Standings {
    /// Takes in a sample.
    pub fn add(&mut self, sample: &Sample) {
        self.services.retain(|name, _| sample.services.iter().any(|service| service.name == *name));
        for service in &sample.services {
            let standing = self.services.get(&service.name);
            if standing.is_none_or(|standing| !standing.still_holds(service)) {
                self.services.insert(service.name.clone(), Standing::of(service, sample.taken_at));
            }
        }
    }

    /// The bytes that they take, as if they shared nothing.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let standing = |standing: &Standing| {
            size_of::<Standing>()
                + standing.owner.len() * (size_of::<BackendId>() + size_of::<u64>())
                + standing.backends.len() * size_of::<(BackendId, Counters)>()
        };
        self.services.values().map(standing).sum()
    }

    /// Where the counts of that service stood.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Standing> {
        self.services.get(name)
    }
}

impl Standing {
    fn of(service: &ServiceSample, at: Duration) -> Self {
        Self {
            since: at,
            owner: Arc::clone(&service.slots.owner),
            hits: Arc::clone(&service.slots.hits),
            backends: service.backends.iter().map(|backend| (backend.id, backend.counters)).collect(),
            unremembered: service.unremembered,
        }
    }

    /// Whether the table is the same one, and counts have only grown.
    fn still_holds(&self, service: &ServiceSample) -> bool {
        let grown = |backend: &BackendSample| {
            self.before(backend.id).is_some_and(|before| {
                before.packets <= backend.counters.packets
                    && before.new_connections <= backend.counters.new_connections
            })
        };
        self.owner == service.slots.owner
            && self.backends.len() == service.backends.len()
            && service.backends.iter().all(grown)
    }

    fn before(&self, id: BackendId) -> Option<&Counters> {
        self.backends.iter().find(|(other, _)| *other == id).map(|(_, counters)| counters)
    }

    /// How long before `now` the table last changed, or was first seen.
    #[must_use]
    pub const fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// New connections of a backend since then.
    #[must_use]
    pub fn new_connections(&self, backend: &BackendSample) -> u64 {
        let before = self.before(backend.id).map_or(0, |before| before.new_connections);
        backend.counters.new_connections.saturating_sub(before)
    }

    /// Packets of a backend since then.
    #[must_use]
    pub fn packets(&self, backend: &BackendSample) -> u64 {
        let before = self.before(backend.id).map_or(0, |before| before.packets);
        backend.counters.packets.saturating_sub(before)
    }

    /// New connections since then that could not be remembered, and went to the owner before.
    #[must_use]
    pub const fn unremembered(&self, service: &ServiceSample) -> u64 {
        service.unremembered.saturating_sub(self.unremembered)
    }

    /// Hits of each slot since then.
    #[must_use]
    pub fn hits(&self, service: &ServiceSample) -> Vec<f32> {
        let grown =
            service.slots.hits.iter().zip(self.hits.iter()).map(|(now, then)| now.saturating_sub(*then));
        #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
        let hits = grown.map(|hits| hits as f32).collect();
        hits
    }

    /// Whether new connections fall to backends otherwise than their slots have it, by more than chance.
    ///
    /// # Errors
    ///
    /// When no test applies.
    pub fn chance(&self, service: &ServiceSample) -> Result<Chance, NoTest> {
        if service.affinity == Affinity::SourceIp {
            return Err(NoTest::Affinity);
        }
        if service.protocol == Protocol::Udp && service.tracking == Tracking::Never {
            return Err(NoTest::NotCounted);
        }
        let slots = u32::try_from(service.slots.len()).unwrap_or(u32::MAX).max(1);
        let shares: Vec<f64> =
            service.backends.iter().map(|backend| f64::from(backend.slots) / f64::from(slots)).collect();
        let counts: Vec<u64> = service.backends.iter().map(|backend| self.new_connections(backend)).collect();
        Ok(Chance::of(&counts, &shares))
    }
}
