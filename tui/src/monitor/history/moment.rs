//! A moment that is kept: a sample as what differs from the one before.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use maglev_core::{
    cilium::{Counted, NodeFacts},
    sample::{BackendSample, Counters, Event, Sample, ServiceSample, Slots},
};

use super::{
    mark::Mark,
    packed::{Reader, read_counts, read_owners, write_counts, write_owners},
};

/// What is kept of a moment beside its sample.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Counts the moments; the first is 0.
    pub number: u64,
    /// When it was, on the clock that never goes back.
    pub taken_at: Duration,
    /// When it was, on the wall.
    pub wall: Option<SystemTime>,
    /// How long after its time the sample was taken.
    pub late: Duration,
    /// How many samples are missing before it.
    pub missing: usize,
    /// How often samples were taken.
    pub interval: Duration,
    /// How many steps rates were counted for up to it.
    pub steps: u64,
    /// What makes it one to come back to.
    pub marks: Vec<Mark>,
    /// The changes on record at that time.
    pub events: Arc<[Arc<Event>]>,
}

impl Moment {
    /// The bytes that it takes; events that it has in common with `before` are counted there.
    #[must_use]
    pub fn bytes(&self, before: Option<&Self>) -> usize {
        let shared = before.is_some_and(|before| Arc::ptr_eq(&before.events, &self.events));
        let events = if shared { 0 } else { self.events.len() * size_of::<Arc<Event>>() };
        let known = |event: &&Arc<Event>| {
            before.is_some_and(|before| before.events.iter().rev().any(|other| Arc::ptr_eq(other, event)))
        };
        let new = if shared {
            0
        } else {
            self.events.iter().filter(|event| !known(event)).map(|event| bytes_of_event(event)).sum()
        };
        size_of::<Self>() + events + new + self.marks.iter().map(Mark::bytes).sum::<usize>()
    }
}

fn bytes_of_event(event: &Event) -> usize {
    Mark::Change(event.clone()).bytes()
}

/// The changes on record, those that were known before in their places.
#[must_use]
pub fn shared_events(now: &[Event], before: Option<&Arc<[Arc<Event>]>>) -> Arc<[Arc<Event>]> {
    let before_events = before.map_or(&[][..], |before| before);
    let same = |(now, before): (&Event, &Arc<Event>)| *now == **before;
    if let Some(before) = before
        && before.len() == now.len()
        && now.iter().zip(before.iter()).all(same)
    {
        return Arc::clone(before);
    }
    // Both are in order of their numbers: one is looked for where the one before it was.
    let mut rest = before_events;
    let share = |event: &Event| {
        while let Some((first, behind)) = rest.split_first() {
            if first.sequence >= event.sequence {
                break;
            }
            rest = behind;
        }
        rest.first().filter(|first| ***first == *event).map_or_else(|| Arc::new(event.clone()), Arc::clone)
    };
    now.iter().map(share).collect()
}

/// A sample without what changes from look to look; services that stay as they are stand in memory once.
#[derive(Clone, Debug)]
pub struct Outline {
    services: Vec<Arc<ServiceSample>>,
    sizes: Vec<usize>,
    verdicts: Vec<&'static str>,
    processors: usize,
    cilium: Option<Arc<NodeFacts>>,
}

impl Outline {
    /// The outline of a sample, with what it has in common with `before`.
    #[must_use]
    pub fn of(sample: &Sample, before: Option<&Arc<Self>>) -> Arc<Self> {
        let known = before.map_or(&[][..], |before| &before.services);
        let share = |service: &ServiceSample| {
            let outline = outline_of(service);
            let same = known.iter().find(|other| ***other == outline);
            same.map_or_else(|| Arc::new(outline.clone()), Arc::clone)
        };
        let outline = Self {
            services: sample.services.iter().map(share).collect(),
            sizes: sample.services.iter().map(|service| service.slots.len()).collect(),
            verdicts: sample.verdicts.iter().map(|(word, _)| *word).collect(),
            processors: sample.processors.len(),
            cilium: sample.cilium.clone(),
        };
        match before {
            Some(before) if before.is(&outline) => Arc::clone(before),
            _ => Arc::new(outline),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.services.len() == other.services.len()
            && self.services.iter().zip(&other.services).all(|(one, other)| Arc::ptr_eq(one, other))
            && self.sizes == other.sizes
            && self.verdicts == other.verdicts
            && self.processors == other.processors
            && self.cilium == other.cilium
    }

    /// The bytes of what it has not in common with `before`.
    #[must_use]
    pub fn bytes(&self, before: Option<&Self>) -> usize {
        let known = |service: &&Arc<ServiceSample>| {
            before.is_some_and(|before| before.services.iter().any(|other| Arc::ptr_eq(other, service)))
        };
        let services = self.services.iter().filter(|service| !known(service));
        size_of::<Self>()
            + (self.services.len() + self.sizes.len() + 2 * self.verdicts.len()) * size_of::<usize>()
            + services.map(|service| bytes_of_service(service)).sum::<usize>()
    }
}

fn outline_of(service: &ServiceSample) -> ServiceSample {
    let backend = |backend: &BackendSample| BackendSample {
        counters: Counters::default(),
        quiet: None,
        ..backend.clone()
    };
    ServiceSample {
        name: service.name.clone(),
        counters: Counters::default(),
        unremembered: 0,
        backends: service.backends.iter().map(backend).collect(),
        slots: Slots::default(),
        cilium: service.cilium.clone(),
        ..*service
    }
}

/// What an outline leaves out, in the order of its services and their backends.
fn figures(sample: &Sample) -> Vec<u64> {
    let mut figures = Vec::new();
    for service in &sample.services {
        figures.extend(of_counters(&service.counters));
        figures.push(service.unremembered);
        for backend in &service.backends {
            figures.extend(of_counters(&backend.counters));
            // One is added, so that 0 is never.
            let quiet = |quiet: Duration| {
                u64::try_from(quiet.as_nanos()).map_or(u64::MAX, |nanos| nanos.saturating_add(1))
            };
            figures.push(backend.quiet.map_or(0, quiet));
        }
    }
    figures.extend(sample.verdicts.iter().map(|(_, count)| *count));
    figures.extend(&sample.processors);
    figures
}

const fn of_counters(counters: &Counters) -> [u64; 4] {
    [counters.packets, counters.bytes, counters.new_connections, counters.held_packets]
}

/// What makes of the sample before the one of a moment.
#[derive(Clone, Debug)]
pub struct Difference {
    state_version: u64,
    outline: Arc<Outline>,
    figures: Box<[u8]>,
    owners: Box<[u8]>,
    /// The hits of slots; `None` where they are not kept any more.
    hits: Option<Box<[u8]>>,
    bytes: usize,
}

impl Difference {
    /// What makes `now` of `before`, which has that outline.
    #[must_use]
    pub fn new(before: &Sample, outline: &Arc<Outline>, now: &Sample) -> Self {
        let own = Outline::of(now, Some(outline));
        let (mut packed, mut owners, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        write_counts(&figures(before), &figures(now), &mut packed);
        for service in &now.services {
            // A service that was not there before differs from one of no slots.
            let none = Slots::default();
            let (old, now) = (slots_of(before, &service.name).unwrap_or(&none), &service.slots);
            write_owners((&old.owner, &old.previous), (&now.owner, &now.previous), &mut owners);
            write_counts(&old.hits, &now.hits, &mut hits);
        }
        let bytes = if Arc::ptr_eq(&own, outline) { 0 } else { own.bytes(Some(outline)) };
        let bytes = bytes + size_of::<Self>() + packed.len() + owners.len();
        Self {
            state_version: now.state_version,
            outline: own,
            figures: packed.into(),
            owners: owners.into(),
            hits: Some(hits.into()),
            bytes,
        }
    }

    /// The outline of the sample that it makes.
    #[must_use]
    pub const fn outline(&self) -> &Arc<Outline> {
        &self.outline
    }

    /// The bytes that the hits of slots take.
    #[must_use]
    pub fn hit_bytes(&self) -> usize {
        self.hits.as_ref().map_or(0, |hits| hits.len())
    }

    /// The bytes that it takes, hits included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.hit_bytes()
    }

    /// Lets go of the hits of slots.
    pub fn forget_hits(&mut self) {
        self.hits = None;
    }

    /// Makes the sample of its moment out of the one before, but for its events.
    #[must_use]
    pub fn onto(&self, before: &Sample, moment: &Moment) -> Sample {
        let outline = &*self.outline;
        let old = figures(before);
        let length = figures_of(outline);
        let figures = read_counts(&old, length, &mut Reader(&self.figures));
        let mut next = figures.into_iter();
        let mut figure = || next.next().unwrap_or(0);
        let mut owners = Reader(&self.owners);
        let mut hits = self.hits.as_deref().map(Reader);
        let mut services = Vec::with_capacity(outline.services.len());
        for (service, size) in outline.services.iter().zip(&outline.sizes) {
            let mut service = ServiceSample::clone(service);
            service.counters = counters(&mut figure);
            service.unremembered = figure();
            for backend in &mut service.backends {
                backend.counters = counters(&mut figure);
                backend.quiet = figure().checked_sub(1).map(Duration::from_nanos);
            }
            let none = Slots::default();
            let old = slots_of(before, &service.name).unwrap_or(&none);
            let (owner, previous) = read_owners((&old.owner, &old.previous), *size, &mut owners);
            // Where nobody counts there is no column of hits.
            let counted = if service.counted() == Counted::Nothing { 0 } else { *size };
            let hits = match &mut hits {
                Some(hits) => read_counts(&old.hits, counted, hits).into(),
                None if old.hits.len() == counted => Arc::clone(&old.hits),
                None => vec![0; counted].into(),
            };
            service.slots = Slots { owner: owner.into(), previous: previous.into(), hits };
            services.push(service);
        }
        Sample {
            taken_at: moment.taken_at,
            wall: moment.wall,
            state_version: self.state_version,
            services,
            verdicts: outline.verdicts.iter().map(|word| (*word, figure())).collect(),
            processors: (0..outline.processors).map(|_| figure()).collect(),
            events: Vec::new(),
            cilium: outline.cilium.clone(),
        }
    }
}

fn counters(figure: &mut impl FnMut() -> u64) -> Counters {
    Counters { packets: figure(), bytes: figure(), new_connections: figure(), held_packets: figure() }
}

fn figures_of(outline: &Outline) -> usize {
    let services: usize = outline.services.iter().map(|service| 5 + 5 * service.backends.len()).sum();
    services + outline.verdicts.len() + outline.processors
}

fn slots_of<'a>(sample: &'a Sample, name: &str) -> Option<&'a Slots> {
    sample.services.iter().find(|service| service.name == name).map(|service| &service.slots)
}

fn bytes_of_service(service: &ServiceSample) -> usize {
    let backend = |backend: &BackendSample| {
        size_of::<BackendSample>()
            + backend.name.capacity()
            + backend.by_hand.capacity() * size_of::<maglev_core::sample::ByHand>()
    };
    let slots = service.slots.owner.len() * 2 * size_of::<maglev_core::sample::BackendId>()
        + service.slots.hits.len() * size_of::<u64>();
    size_of::<ServiceSample>()
        + service.name.capacity()
        + service.backends.iter().map(backend).sum::<usize>()
        + slots
}

/// The bytes that a sample takes, without its events.
#[must_use]
pub fn bytes_of(sample: &Sample) -> usize {
    size_of::<Sample>()
        + sample.services.iter().map(bytes_of_service).sum::<usize>()
        + sample.verdicts.len() * size_of::<(&str, u64)>()
        + sample.processors.len() * size_of::<u64>()
}
