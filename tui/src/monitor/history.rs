//! Rates and their past, from samples that follow one another.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use maglev_core::{
    cilium::Counted,
    sample::{BackendId, Counters, Sample, ServiceSample},
};

use super::slots::history::SlotHistory;

/// How many rates are kept for each backend and service.
const KEPT: usize = 240;

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
    fn between(before: &Counters, now: &Counters, elapsed: Duration) -> Option<Self> {
        Some(Self {
            packets: rate(before.packets, now.packets, elapsed)?,
            bits: 8.0 * rate(before.bytes, now.bytes, elapsed)?,
            new_connections: rate(before.new_connections, now.new_connections, elapsed)?,
            held_packets: rate(before.held_packets, now.held_packets, elapsed)?,
        })
    }
}

/// Rates as they were, the latest last; a gap where a sample is missing.
#[derive(Clone, Debug, Default)]
pub struct Track {
    rates: VecDeque<Option<Rates>>,
}

impl Track {
    /// The latest rates, if they are known.
    #[must_use]
    pub fn latest(&self) -> Option<Rates> {
        self.rates.back().copied().flatten()
    }

    /// The last `count` rates, the latest last; fewer where there are fewer.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Option<Rates>> + '_ {
        self.rates.iter().skip(self.rates.len().saturating_sub(count)).copied()
    }

    /// How many packets a second it gets more of late than before: over the last eight rates, beside the eight before
    /// them; `None` where there are none to compare.
    #[must_use]
    pub fn trend(&self) -> Option<f64> {
        let mean = |skipped: usize| {
            let known = self.rates.iter().rev().skip(skipped).take(8).flatten();
            let (sum, count) =
                known.fold((0.0, 0.0), |(sum, count), rates| (sum + rates.packets, count + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        Some(mean(0)? - mean(8)?)
    }

    fn push(&mut self, rates: Option<Rates>, missing: usize) {
        for entry in std::iter::repeat_n(None, missing.min(KEPT)).chain([rates]) {
            if self.rates.len() == KEPT {
                self.rates.pop_front();
            }
            self.rates.push_back(entry);
        }
    }
}

/// What is known of a service beyond the latest sample.
#[derive(Clone, Debug, Default)]
pub struct ServiceHistory {
    /// Its rates.
    pub track: Track,
    /// Those of its slots.
    pub slots: SlotHistory,
    backends: BTreeMap<String, (BackendId, Track)>,
}

impl ServiceHistory {
    /// The rates of a backend.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Track> {
        self.backends.get(name).map(|(_, track)| track)
    }

    fn add(&mut self, before: Option<&ServiceSample>, now: &ServiceSample, step: &Step) {
        // Of what nobody counts there are no rates.
        let before = before.filter(|_| now.counted() != Counted::Nothing);
        let rates = before.and_then(|before| Rates::between(&before.counters, &now.counters, step.elapsed));
        self.track.push(rates, step.missing);
        self.slots.rates_between(before.map(|before| &before.slots), &now.slots, step.elapsed);
        self.backends.retain(|name, _| now.backends.iter().any(|backend| backend.name == *name));
        for backend in &now.backends {
            let (id, track) = self.backends.entry(backend.name.clone()).or_default();
            // One that was removed and came back is another: what it did before is not its past.
            if *id != backend.id {
                (*id, *track) = (backend.id, Track::default());
            }
            let rates = before
                .and_then(|before| before.backends.iter().find(|other| other.id == backend.id))
                .and_then(|before| Rates::between(&before.counters, &backend.counters, step.elapsed));
            track.push(rates, step.missing);
        }
    }
}

/// From one sample to the next.
struct Step {
    elapsed: Duration,
    missing: usize,
}

/// What is known beyond the latest sample.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Packets a second of each processor.
    pub processors: Vec<Option<f64>>,
    /// Packets a second of each verdict, in the order of the sample.
    pub verdicts: Vec<Option<f64>>,
    services: BTreeMap<String, ServiceHistory>,
    /// The sample that the next rates are counted from.
    base: Option<Sample>,
}

impl History {
    /// What is known of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceHistory> {
        self.services.get(name)
    }

    /// Takes in a sample that follows on `latest`. `interval` is what should lie between two.
    ///
    /// A sample that comes early, because something was changed, shows its slots at once; its rates wait for the next
    /// one, for over a few milliseconds they would be chance.
    pub fn add(&mut self, latest: Option<&Sample>, now: &Sample, interval: Duration) {
        self.services.retain(|name, _| now.services.iter().any(|service| service.name == *name));
        for service in &now.services {
            let slots = &mut self.services.entry(service.name.clone()).or_default().slots;
            slots.changes(of(latest, service).map(|latest| &latest.slots), &service.slots, now.taken_at);
        }
        let base = self.base.take();
        let elapsed = base.as_ref().map_or(Duration::ZERO, |base| now.taken_at.saturating_sub(base.taken_at));
        if base.is_some() && elapsed < interval / 2 {
            self.base = base;
            return;
        }
        self.count(base.as_ref(), now, &Step { elapsed, missing: missing(elapsed, interval) });
        self.base = Some(now.clone());
    }

    fn count(&mut self, base: Option<&Sample>, now: &Sample, step: &Step) {
        for service in &now.services {
            self.services.entry(service.name.clone()).or_default().add(of(base, service), service, step);
        }
        let processor = |(index, &count): (usize, &u64)| {
            base.and_then(|base| base.processors.get(index)).and_then(|&base| rate(base, count, step.elapsed))
        };
        self.processors = now.processors.iter().enumerate().map(processor).collect();
        let verdict = |&(word, count): &(&str, u64)| {
            base.and_then(|base| base.verdicts.iter().find(|(other, _)| *other == word))
                .and_then(|&(_, base)| rate(base, count, step.elapsed))
        };
        self.verdicts = now.verdicts.iter().map(verdict).collect();
    }
}

/// The same service in another sample, if its table is of the same size.
fn of<'a>(sample: Option<&'a Sample>, service: &ServiceSample) -> Option<&'a ServiceSample> {
    sample?
        .services
        .iter()
        .find(|other| other.name == service.name && other.slots.len() == service.slots.len())
}

/// How many samples are missing between two that lie `elapsed` apart.
fn missing(elapsed: Duration, interval: Duration) -> usize {
    if interval.is_zero() {
        return 0;
    }
    let intervals = (elapsed.as_secs_f64() / interval.as_secs_f64()).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number: it saturates"
    )]
    let intervals = intervals as usize;
    intervals.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_goes_back_is_no_spike() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(10, 30, Duration::from_secs(2)), Some(10.0));
        assert_eq!(rate(30, 10, second), None);
        assert_eq!(rate(10, 30, Duration::ZERO), None);
    }

    #[test]
    fn a_trend_is_the_last_rates_beside_the_ones_before() {
        let of = |packets| Some(Rates { packets, ..Rates::default() });
        let mut track = Track::default();
        for _ in 0..8 {
            track.push(of(100.0), 0);
        }
        assert_eq!(track.trend(), None, "there is nothing before");
        track.push(of(180.0), 0);
        assert_eq!(track.trend(), Some(10.0));
        track.push(None, 0);
        assert_eq!(track.trend(), Some((180.0 + 600.0) / 7.0 - 100.0));
    }

    #[test]
    fn missing_samples_leave_gaps() {
        let second = Duration::from_secs(1);
        assert_eq!(missing(Duration::from_millis(1100), second), 0);
        assert_eq!(missing(Duration::from_millis(3050), second), 2);
        let mut track = Track::default();
        track.push(Some(Rates::default()), 0);
        track.push(Some(Rates::default()), 2);
        let known: Vec<bool> = track.last(9).map(|rates| rates.is_some()).collect();
        assert_eq!(known, [true, false, false, true]);
        track.push(None, 10_000);
        assert_eq!(track.last(10_000).count(), KEPT);
    }
}
