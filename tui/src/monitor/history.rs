//! Rates and their past, from samples that follow one another; and the past of all else, moment by moment.
//!
//! [`History`] is what is derived of the samples up to one of them. [`ring::Ring`] keeps the samples themselves, and so
//! a history can be derived for each moment that is kept.

pub mod compare;
pub mod mark;
pub mod moment;
pub mod packed;
pub mod ring;
pub mod time;
pub mod track;

use std::{collections::BTreeMap, time::Duration};

use maglev_core::{
    cilium::Counted,
    sample::{BackendId, Sample, ServiceSample},
};

use self::track::Tracks;
pub use self::track::{Rates, Track, rate};
use super::{slots::history::SlotHistory, standing::Standings};

/// What is known of a service beyond the latest sample.
#[derive(Clone, Copy, Debug)]
pub struct ServiceHistory<'a> {
    /// Its rates.
    pub track: &'a Track,
    /// Those of its slots.
    pub slots: &'a SlotHistory,
    name: &'a str,
    tracks: &'a Tracks,
}

impl<'a> ServiceHistory<'a> {
    /// The rates of a backend.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> Option<&'a Track> {
        self.tracks.backend(self.name, id)
    }
}

/// From one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many samples are missing between them.
    pub missing: usize,
    /// What began anew between them, in words; of it no rate is known.
    pub anew: Vec<String>,
}

/// What is known beyond the latest sample.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Packets a second of each processor.
    pub processors: Vec<Option<f64>>,
    /// Packets a second of each verdict, in the order of the sample.
    pub verdicts: Vec<Option<f64>>,
    slots: BTreeMap<String, SlotHistory>,
    tracks: Tracks,
    /// The sample that the next rates are counted from.
    base: Option<Sample>,
    /// How many intervals passed since; each look is held against the interval that was in force.
    intervals: f64,
    /// What was counted since tables last changed.
    pub standings: Standings,
}

impl History {
    /// What is known of a service.
    #[must_use]
    pub fn service<'a>(&'a self, name: &str) -> Option<ServiceHistory<'a>> {
        static NOTHING: Track = Track::new();
        let (name, slots) = self.slots.get_key_value(name)?;
        let track = self.tracks.service(name).unwrap_or(&NOTHING);
        Some(ServiceHistory { track, slots, name, tracks: &self.tracks })
    }

    /// How many steps rates were counted for.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.tracks.steps()
    }

    /// Takes in a sample that follows on `latest`. `interval` is what should lie between two.
    ///
    /// A sample that comes early, because something was changed, shows its slots at once; its rates wait for the next
    /// one, for over a few milliseconds they would be chance. Of what began anew no rate is known.
    pub fn add(&mut self, latest: Option<&Sample>, now: &Sample, interval: Duration) -> Step {
        self.slots.retain(|name, _| now.services.iter().any(|service| service.name == *name));
        for service in &now.services {
            let slots = self.slots.entry(service.name.clone()).or_default();
            slots.changes(of(latest, service).map(|latest| &latest.slots), &service.slots, now.taken_at);
        }
        self.standings.add(now);
        let all = latest.and_then(|latest| why_all_began_anew(latest, now));
        let base = self.base.take();
        let elapsed = base.as_ref().map_or(Duration::ZERO, |base| now.taken_at.saturating_sub(base.taken_at));
        self.intervals +=
            latest.map_or(0.0, |latest| intervals_between(latest.taken_at, now.taken_at, interval));
        if base.is_some() && self.intervals < 0.5 && all.is_none() {
            self.base = base;
            return Step::default();
        }
        let base = base.filter(|_| all.is_none());
        let missing = base.as_ref().map_or(0, |_| missing(self.intervals));
        self.intervals = 0.0;
        self.count(base.as_ref(), now, elapsed, missing);
        let began_anew =
            |service: &&ServiceSample| of(base.as_ref(), service).is_some_and(|b| went_back(b, service));
        let services = now.services.iter().filter(began_anew);
        let services = services.map(|service| format!("the counts of {} began anew", service.name));
        let anew = all.map(str::to_owned).into_iter().chain(services).collect();
        self.base = Some(Sample { events: Vec::new(), ..now.clone() });
        Step { missing, anew }
    }

    fn count(&mut self, base: Option<&Sample>, now: &Sample, elapsed: Duration, missing: usize) {
        self.tracks.step();
        for service in &now.services {
            // Of what nobody counts there are no rates, nor of what was not counted before.
            let is_counted = |service: &ServiceSample| service.counted() != Counted::Nothing;
            let before = of(base, service)
                .filter(|before| is_counted(before) && is_counted(service) && !went_back(before, service));
            let rates =
                before.and_then(|before| Rates::between(&before.counters, &service.counters, elapsed));
            self.tracks.push_service(&service.name, rates, missing);
            for backend in &service.backends {
                let rates = before
                    .and_then(|before| before.backends.iter().find(|other| other.id == backend.id))
                    .filter(|before| before.name == backend.name)
                    .and_then(|before| Rates::between(&before.counters, &backend.counters, elapsed));
                self.tracks.push_backend(&service.name, backend.id, &backend.name, rates, missing);
            }
            let slots = self.slots.entry(service.name.clone()).or_default();
            slots.rates_between(before.map(|before| &before.slots), &service.slots, elapsed);
        }
        let processor = |(index, &count): (usize, &u64)| {
            base.and_then(|base| base.processors.get(index)).and_then(|&base| rate(base, count, elapsed))
        };
        self.processors = now.processors.iter().enumerate().map(processor).collect();
        let verdict = |&(word, count): &(&str, u64)| {
            base.and_then(|base| base.verdicts.iter().find(|(other, _)| *other == word))
                .and_then(|&(_, base)| rate(base, count, elapsed))
        };
        self.verdicts = now.verdicts.iter().map(verdict).collect();
    }

    /// The same without tracks, which take the most and are kept once.
    fn without_tracks(&self) -> Self {
        Self {
            processors: self.processors.clone(),
            verdicts: self.verdicts.clone(),
            slots: self.slots.clone(),
            tracks: Tracks::default(),
            base: self.base.clone(),
            intervals: self.intervals,
            standings: self.standings.clone(),
        }
    }

    /// Takes the tracks of `other` as they were after that step.
    fn take_tracks(&mut self, other: &Self, step: u64) {
        self.tracks = other.tracks.as_of(step);
    }

    /// Takes the hits a second of `other`'s slots.
    fn take_hits(&mut self, other: &Self) {
        for (name, slots) in &mut self.slots {
            if let Some(other) = other.slots.get(name) {
                slots.take_rates(other);
            }
        }
    }

    /// The bytes that the tracks take.
    #[must_use]
    pub fn track_bytes(&self) -> usize {
        self.tracks.bytes()
    }

    /// The bytes that the rest takes, without a base that is `sample` itself.
    fn other_bytes(&self, sample: &Sample) -> usize {
        let slots: usize = self.slots.values().map(SlotHistory::bytes).sum();
        let base = self.base.as_ref().filter(|base| base.taken_at != sample.taken_at);
        let each = size_of::<Option<f64>>();
        slots
            + self.standings.bytes()
            + base.map_or(0, moment::bytes_of)
            + (self.processors.len() + self.verdicts.len()) * each
    }
}

/// The same service in another sample, if its table is of the same size.
fn of<'a>(sample: Option<&'a Sample>, service: &ServiceSample) -> Option<&'a ServiceSample> {
    sample?
        .services
        .iter()
        .find(|other| other.name == service.name && other.slots.len() == service.slots.len())
}

/// Why no count goes on from where it was: the pins are another instance's by now, or its program counts from nothing.
/// That the new counts may be larger than the old ones makes them no growth.
fn why_all_began_anew(before: &Sample, now: &Sample) -> Option<&'static str> {
    let last = |sample: &Sample| sample.events.last().map_or(0, |event| event.sequence);
    let packets = |sample: &Sample| sample.processors.iter().sum::<u64>();
    if now.state_version < before.state_version || last(now) < last(before) {
        return Some("another instance: all counts began anew");
    }
    let same_processors = now.processors.len() == before.processors.len();
    (same_processors && packets(now) < packets(before)).then_some("all counts began anew")
}

/// Whether a service's counts began anew.
fn went_back(before: &ServiceSample, now: &ServiceSample) -> bool {
    let (before, now) = (&before.counters, &now.counters);
    now.packets < before.packets || now.bytes < before.bytes || now.new_connections < before.new_connections
}

/// How many intervals lie between two moments; one where there is no interval to hold them against.
fn intervals_between(before: Duration, now: Duration, interval: Duration) -> f64 {
    if interval.is_zero() { 1.0 } else { now.saturating_sub(before).div_duration_f64(interval) }
}

/// How many samples are missing between two that lie that many intervals apart.
fn missing(intervals: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number: it saturates"
    )]
    let intervals = intervals.round() as usize;
    intervals.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_samples_are_counted() {
        let second = Duration::from_secs(1);
        let after = |now| missing(intervals_between(second, now, second));
        assert_eq!(after(Duration::from_millis(2100)), 0);
        assert_eq!(after(Duration::from_millis(4050)), 2);
        assert_eq!(missing(intervals_between(second, second, Duration::ZERO)), 0);
    }

    #[test]
    fn each_look_is_held_against_the_interval_that_was_in_force() {
        let at = |milliseconds| Sample { taken_at: Duration::from_millis(milliseconds), ..Sample::default() };
        let missing_in = |looks: &[(u64, u64)]| {
            let (mut history, mut before) = (History::default(), None);
            let add = |&(taken_at, interval): &(u64, u64)| {
                let now = at(taken_at);
                let step = history.add(before.as_ref(), &now, Duration::from_millis(interval));
                before = Some(now);
                step.missing
            };
            looks.iter().map(add).sum::<usize>()
        };
        // From every second to every two, and from every eight seconds to every four: a look at once, and the next one.
        assert_eq!(missing_in(&[(1000, 1000), (1900, 1000), (3900, 2000)]), 0);
        assert_eq!(missing_in(&[(1000, 1000), (1400, 1000), (3400, 2000)]), 0);
        assert_eq!(missing_in(&[(8000, 8000), (11_900, 8000), (15_900, 4000)]), 0);
        assert_eq!(missing_in(&[(8000, 8000), (15_900, 8000), (19_900, 4000)]), 0);
        assert_eq!(missing_in(&[(8000, 8000), (16_000, 8000), (28_000, 4000)]), 2);
    }
}
