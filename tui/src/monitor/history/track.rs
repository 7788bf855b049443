//! Rates as they were: a track for each service and each backend, and how far back they all reach.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use maglev_core::sample::{BackendId, Counters};

/// How many rates a track holds: those of every moment that is kept.
pub const KEPT: usize = super::ring::MOMENTS + super::ring::SEGMENT;

/// What is counted, by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Packets a second.
    pub packets: f64,
    /// Bits a second.
    pub bits: f64,
    /// New connections a second.
    pub new_connections: f64,
    /// Packets to others than the slot's current owner, a second.
    pub held_packets: f64,
}

/// The growth of a count by the second; `None` where it went back, for then it began anew, or where no time passed.
#[must_use]
pub fn rate(before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    let grown = now.checked_sub(before)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    (!elapsed.is_zero()).then(|| grown as f64 / elapsed.as_secs_f64())
}

impl Rates {
    /// What was counted between two looks that lie `elapsed` apart; `None` where a count went back.
    #[must_use]
    pub fn between(before: &Counters, now: &Counters, elapsed: Duration) -> Option<Self> {
        Some(Self {
            packets: rate(before.packets, now.packets, elapsed)?,
            bits: 8.0 * rate(before.bytes, now.bytes, elapsed)?,
            new_connections: rate(before.new_connections, now.new_connections, elapsed)?,
            held_packets: rate(before.held_packets, now.held_packets, elapsed)?,
        })
    }
}

/// One step of a track, in 20 bytes. What is not known is not a number.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// How many looks are missing before it.
    missing: u32,
    rates: [f32; 4],
}

impl Entry {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a rate is shown with three digits, and f32 has seven"
    )]
    fn new(rates: Option<Rates>, missing: usize) -> Self {
        let packed = rates.map_or([f32::NAN; 4], |rates| {
            [rates.packets, rates.bits, rates.new_connections, rates.held_packets].map(|rate| rate as f32)
        });
        Self { missing: u32::try_from(missing).unwrap_or(u32::MAX), rates: packed }
    }

    fn rates(self) -> Option<Rates> {
        let [packets, bits, new_connections, held_packets] = self.rates.map(f64::from);
        (!packets.is_nan()).then_some(Rates { packets, bits, new_connections, held_packets })
    }
}

/// Rates as they were, the latest last; a gap where a look is missing.
#[derive(Clone, Debug, Default)]
pub struct Track {
    entries: VecDeque<Entry>,
}

impl Track {
    /// A track of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    /// The latest rates, if they are known.
    #[must_use]
    pub fn latest(&self) -> Option<Rates> {
        self.entries.back().and_then(|entry| entry.rates())
    }

    /// The last `count` rates, the latest last, with a gap for each look that is missing; fewer where there are fewer.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Option<Rates>> + '_ {
        let mut rates: Vec<Option<Rates>> = self
            .entries
            .iter()
            .rev()
            .flat_map(|entry| {
                let gap = usize::try_from(entry.missing).unwrap_or(usize::MAX).min(count);
                std::iter::once(entry.rates()).chain(std::iter::repeat_n(None, gap))
            })
            .take(count)
            .collect();
        rates.reverse();
        rates.into_iter()
    }

    /// How many packets a second it gets more of late than before: over the last eight rates, beside the eight before
    /// them; `None` where there are none to compare.
    #[must_use]
    pub fn trend(&self) -> Option<f64> {
        let rates: Vec<Option<Rates>> = self.last(16).collect();
        let (before, now) = rates.split_at(rates.len().saturating_sub(8));
        let mean = |rates: &[Option<Rates>]| {
            let (sum, count) = rates
                .iter()
                .flatten()
                .fold((0.0, 0.0), |(sum, count), rates| (sum + rates.packets, count + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        Some(mean(now)? - mean(before)?)
    }

    fn push(&mut self, rates: Option<Rates>, missing: usize) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry::new(rates, missing));
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.entries.capacity() * size_of::<Entry>()
    }
}

/// A track from when something was first seen to when it was last seen.
#[derive(Clone, Debug)]
struct Life {
    name: String,
    /// The step of its last entry.
    end: u64,
    track: Track,
}

/// What has the same number or name one after another: one that went and came back has two lives.
#[derive(Clone, Debug, Default)]
struct Lives(Vec<Life>);

impl Lives {
    fn push(&mut self, step: u64, name: &str, rates: Option<Rates>, missing: usize) {
        let goes_on = self.0.last().is_some_and(|life| life.end + 1 == step && life.name == name);
        if !goes_on {
            self.0.push(Life { name: name.to_owned(), end: step, track: Track::new() });
        }
        if let Some(life) = self.0.last_mut() {
            life.end = step;
            life.track.push(rates, missing);
        }
    }

    fn at(&self, step: u64) -> Option<&Track> {
        self.0.iter().find(|life| life.end == step).map(|life| &life.track)
    }

    /// Lets go of those that ended before what is kept, and says whether one is left.
    fn keep_since(&mut self, step: u64) -> bool {
        self.0.retain(|life| life.end >= step);
        !self.0.is_empty()
    }

    fn as_of(&self, step: u64) -> Self {
        let then = self.0.iter().filter_map(|life| {
            let later = usize::try_from(life.end.checked_sub(step)?).ok()?;
            let left = life.track.entries.len().checked_sub(later).filter(|left| *left > 0)?;
            let track = Track { entries: life.track.entries.iter().take(left).copied().collect() };
            Some(Life { name: life.name.clone(), end: step, track })
        });
        Self(then.collect())
    }

    fn bytes(&self) -> usize {
        let life = |life: &Life| size_of::<Life>() + life.name.capacity() + life.track.bytes();
        self.0.iter().map(life).sum()
    }
}

#[derive(Clone, Debug, Default)]
struct ServiceTracks {
    whole: Lives,
    backends: BTreeMap<BackendId, Lives>,
}

/// The tracks of everything that was there in the time that is kept, also of what is gone.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    /// How many steps there were: looks that rates were counted to.
    steps: u64,
    services: BTreeMap<String, ServiceTracks>,
}

impl Tracks {
    /// How many steps there were.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The track of a service that is there.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Track> {
        self.services.get(name)?.whole.at(self.steps)
    }

    /// The track of one of its backends that is there.
    #[must_use]
    pub fn backend(&self, service: &str, id: BackendId) -> Option<&Track> {
        self.services.get(service)?.backends.get(&id)?.at(self.steps)
    }

    /// Begins the next step.
    pub fn step(&mut self) {
        self.steps += 1;
        let since = self.steps.saturating_sub(KEPT as u64);
        self.services.retain(|_, service| {
            service.backends.retain(|_, lives| lives.keep_since(since));
            service.whole.keep_since(since) || !service.backends.is_empty()
        });
    }

    /// Adds the rates of a service to the step that was begun, `missing` looks after the step before.
    pub fn push_service(&mut self, name: &str, rates: Option<Rates>, missing: usize) {
        let steps = self.steps;
        self.services.entry(name.to_owned()).or_default().whole.push(steps, name, rates, missing);
    }

    /// The same for one of its backends.
    pub fn push_backend(
        &mut self,
        service: &str,
        id: BackendId,
        name: &str,
        rates: Option<Rates>,
        missing: usize,
    ) {
        let steps = self.steps;
        let service = self.services.entry(service.to_owned()).or_default();
        service.backends.entry(id).or_default().push(steps, name, rates, missing);
    }

    /// The tracks as they were after that step, as far as they are kept.
    #[must_use]
    pub fn as_of(&self, step: u64) -> Self {
        let services = self.services.iter().map(|(name, service)| {
            let backends = service.backends.iter().map(|(id, lives)| (*id, lives.as_of(step)));
            let backends = backends.filter(|(_, lives)| !lives.0.is_empty()).collect();
            (name.clone(), ServiceTracks { whole: service.whole.as_of(step), backends })
        });
        Self { steps: step, services: services.collect() }
    }

    /// The bytes that they take, without what the maps take for their nodes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let service = |(name, service): (&String, &ServiceTracks)| {
            let backends: usize =
                service.backends.values().map(|lives| size_of::<BackendId>() + lives.bytes()).sum();
            name.capacity() + size_of::<ServiceTracks>() + service.whole.bytes() + backends
        };
        self.services.iter().map(service).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(packets: f64) -> Rates {
        Rates { packets, ..Rates::default() }
    }

    fn packets(track: &Track) -> Vec<Option<f64>> {
        track.last(100).map(|rates| rates.map(|rates| rates.packets)).collect()
    }

    #[test]
    fn a_count_that_goes_back_is_no_spike() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(10, 30, Duration::from_secs(2)), Some(10.0));
        assert_eq!(rate(30, 10, second), None);
        assert_eq!(rate(10, 30, Duration::ZERO), None);
    }

    #[test]
    fn missing_looks_leave_gaps() {
        let mut track = Track::default();
        track.push(Some(of(1.0)), 0);
        track.push(Some(of(2.0)), 2);
        assert_eq!(packets(&track), [Some(1.0), None, None, Some(2.0)]);
        assert_eq!(track.last(2).map(|rates| rates.is_some()).collect::<Vec<_>>(), [false, true]);
        track.push(None, usize::MAX);
        assert_eq!(track.last(5).flatten().count(), 0);
        assert_eq!(track.last(5).count(), 5);
        for _ in 0..2 * KEPT {
            track.push(Some(of(3.0)), 0);
        }
        assert_eq!(track.last(10_000).count(), KEPT);
    }

    #[test]
    fn a_trend_is_the_last_rates_beside_the_ones_before() {
        let mut track = Track::default();
        for _ in 0..8 {
            track.push(Some(of(100.0)), 0);
        }
        assert_eq!(track.trend(), None, "there is nothing before");
        track.push(Some(of(180.0)), 0);
        assert_eq!(track.trend(), Some(10.0));
        track.push(None, 0);
        assert_eq!(track.trend(), Some((180.0 + 600.0) / 7.0 - 100.0));
    }

    #[test]
    fn one_that_came_back_is_another() {
        let mut tracks = Tracks::default();
        let id = BackendId(7);
        for (name, value) in
            [(Some("b1"), 1.0), (Some("b1"), 2.0), (None, 0.0), (Some("b1"), 4.0), (Some("b2"), 5.0)]
        {
            tracks.step();
            if let Some(name) = name {
                tracks.push_backend("web", id, name, Some(of(value)), 0);
            }
        }
        let then = |step| tracks.as_of(step).backend("web", id).map(packets);
        assert_eq!(then(1), Some(vec![Some(1.0)]));
        assert_eq!(then(2), Some(vec![Some(1.0), Some(2.0)]));
        assert_eq!(then(3), None, "it was away");
        assert_eq!(then(4), Some(vec![Some(4.0)]));
        assert_eq!(then(5), Some(vec![Some(5.0)]), "the number was given to another");
        assert_eq!(tracks.backend("web", id).map(packets), Some(vec![Some(5.0)]));
        for _ in 0..KEPT {
            tracks.step();
        }
        assert!(tracks.backend("web", id).is_none() && !tracks.services.is_empty());
        tracks.step();
        assert!(tracks.services.is_empty(), "what is gone for longer than is kept is let go of");
    }
}
