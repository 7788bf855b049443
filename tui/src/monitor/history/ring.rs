//! The moments that are kept, in bounded memory.
//!
//! They stand in segments. A segment begins with a whole sample and what was known beyond it; of the samples after it
//! only what differs is kept, and a moment is shown by doing again what was done when it was now. The oldest segment
//! goes when the others hold [`MOMENTS`], or when all of them take more than [`MOST_BYTES`]. What slots were hit takes
//! the most: where it takes more than [`MOST_HIT_BYTES`], the oldest segments keep it for their first moment alone.
//! The tracks of rates are kept beside, once: [`super::track::KEPT`] entries of 20 bytes for a service or backend.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use maglev_core::sample::Sample;

use super::{
    History, Step,
    mark::Mark,
    moment::{self, Difference, Moment, Outline, shared_events},
};

/// How many moments are kept at least, where memory allows: ten minutes at one a second.
pub const MOMENTS: usize = 600;
/// How many moments a segment has at most.
pub const SEGMENT: usize = 60;
/// What all of it may take, in bytes; one segment is kept whatever it takes.
pub const MOST_BYTES: usize = 96 << 20;
/// What the hits of slots may take of that, look by look.
pub const MOST_HIT_BYTES: usize = 24 << 20;

/// What was shown at a moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The sample.
    pub sample: Sample,
    /// What was known beyond it.
    pub history: History,
    /// How long after its time the sample was taken.
    pub late: Duration,
    /// How much older the hits of its slots are: 0 where they are kept look by look.
    pub hits_older: Duration,
}

#[derive(Clone, Debug)]
struct Segment {
    /// The first moment's sample without its events, and what was known beyond it without tracks.
    sample: Sample,
    history: History,
    outline: Arc<Outline>,
    first: Moment,
    later: Vec<(Moment, Difference)>,
    /// What the first moment takes.
    first_bytes: usize,
    /// What the later ones take, without hits.
    later_bytes: usize,
    hit_bytes: usize,
    hits_forgotten: bool,
}

impl Segment {
    fn new(sample: &Sample, history: &History, first: Moment, before: Option<&Moment>) -> Self {
        let sample = Sample { events: Vec::new(), ..sample.clone() };
        let history = history.without_tracks();
        // Its outline is a copy of the sample's, without slots.
        let outline = Outline::of(&sample, None);
        let first_bytes = size_of::<Self>()
            + moment::bytes_of(&sample)
            + history.other_bytes(&sample)
            + outline.bytes(None)
            + first.bytes(before);
        Self {
            sample,
            history,
            outline,
            first,
            later: Vec::new(),
            first_bytes,
            later_bytes: 0,
            hit_bytes: 0,
            hits_forgotten: false,
        }
    }

    fn len(&self) -> usize {
        1 + self.later.len()
    }

    fn bytes(&self) -> usize {
        self.first_bytes + self.later_bytes + self.hit_bytes
    }

    fn last(&self) -> &Moment {
        self.later.last().map_or(&self.first, |(moment, _)| moment)
    }

    fn moments(&self) -> impl Iterator<Item = &Moment> {
        std::iter::once(&self.first).chain(self.later.iter().map(|(moment, _)| moment))
    }

    fn push(&mut self, moment: Moment, difference: Difference) {
        self.later_bytes += moment.bytes(Some(self.last())) + difference.bytes() - difference.hit_bytes();
        self.hit_bytes += difference.hit_bytes();
        self.later.push((moment, difference));
    }

    fn forget_hits(&mut self) {
        for (_, difference) in &mut self.later {
            difference.forget_hits();
        }
        (self.hit_bytes, self.hits_forgotten) = (0, true);
    }

    /// What was shown at one of its moments; the tracks are those of `live` at that time.
    fn picture(&self, number: u64, live: &History) -> Picture {
        let mut sample = self.sample.clone();
        let mut history = self.history.clone();
        let mut shown = &self.first;
        // What began anew is told by the last change on record; the others wait for the end.
        let last_change =
            |moment: &Moment| moment.events.last().map(|event| (**event).clone()).into_iter().collect();
        sample.events = last_change(shown);
        for (moment, difference) in self.later.iter().take_while(|(moment, _)| moment.number <= number) {
            let mut next = difference.onto(&sample, moment);
            next.events = last_change(moment);
            history.add(Some(&sample), &next, moment.interval);
            (sample, shown) = (next, moment);
        }
        sample.events = shown.events.iter().map(|event| (**event).clone()).collect();
        history.take_tracks(live, shown.steps);
        let mut hits_older = Duration::ZERO;
        if self.hits_forgotten {
            history.take_hits(&self.history);
            hits_older = shown.taken_at.saturating_sub(self.first.taken_at);
        }
        Picture { sample, history, late: shown.late, hits_older }
    }
}

/// The moments that are kept.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    segments: VecDeque<Segment>,
    next: u64,
    hand_marks: u32,
    /// Why looks failed since the last moment.
    failed: Option<String>,
}

impl Ring {
    /// Keeps a moment: `sample` came after `before`, `history` has taken it in, and `step` came of that.
    pub fn add(
        &mut self,
        before: Option<&Sample>,
        sample: &Sample,
        history: &History,
        step: Step,
        late: Duration,
        interval: Duration,
    ) {
        let last = self.segments.back().map(Segment::last);
        let moment = Moment {
            number: self.next,
            taken_at: sample.taken_at,
            wall: sample.wall,
            late,
            missing: step.missing,
            interval,
            steps: history.steps(),
            marks: marks(before, sample, step.anew, self.failed.take()),
            events: shared_events(&sample.events, last.map(|last| &last.events)),
        };
        self.next += 1;
        match (self.segments.back_mut(), before) {
            (Some(segment), Some(before))
                if segment.len() < SEGMENT && segment.later_bytes + segment.hit_bytes < MOST_BYTES / 8 =>
            {
                let outline = segment.later.last().map_or(&segment.outline, |(_, last)| last.outline());
                let difference = Difference::new(before, outline, sample);
                if difference.bytes() < segment.first_bytes {
                    segment.push(moment, difference);
                } else {
                    self.begin(sample, history, moment);
                }
            }
            _ => self.begin(sample, history, moment),
        }
        self.bound();
    }

    fn begin(&mut self, sample: &Sample, history: &History, moment: Moment) {
        let segment = Segment::new(sample, history, moment, self.segments.back().map(Segment::last));
        self.segments.push_back(segment);
    }

    fn bound(&mut self) {
        while self.segments.len() > 1
            && (self.len() - self.segments[0].len() >= MOMENTS || self.bytes() > MOST_BYTES)
        {
            self.segments.pop_front();
        }
        while self.segments.iter().map(|segment| segment.hit_bytes).sum::<usize>() > MOST_HIT_BYTES {
            let oldest = self.segments.iter_mut().find(|segment| segment.hit_bytes > 0);
            let Some(oldest) = oldest else { break };
            oldest.forget_hits();
        }
    }

    /// Notes that a look failed, for the moment that comes after it.
    pub fn failed(&mut self, reason: &str) {
        self.failed = Some(reason.to_owned());
    }

    /// How many moments are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// Whether there is none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The bytes that it takes, a little too many rather than too few.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// The moments, the oldest first.
    #[must_use]
    pub fn moments(&self) -> impl DoubleEndedIterator<Item = &Moment> {
        self.segments.iter().flat_map(|segment| segment.moments().collect::<Vec<_>>())
    }

    /// The latest moment.
    #[must_use]
    pub fn latest(&self) -> Option<&Moment> {
        self.segments.back().map(Segment::last)
    }

    /// The earliest moment that is kept.
    #[must_use]
    pub fn earliest(&self) -> Option<&Moment> {
        self.segments.front().map(|segment| &segment.first)
    }

    fn segment_of(&self, number: u64) -> Option<&Segment> {
        self.segments.iter().rev().find(|segment| segment.first.number <= number)
    }

    /// The moment of that number, if it is kept.
    #[must_use]
    pub fn moment(&self, number: u64) -> Option<&Moment> {
        self.segment_of(number)?.moments().find(|moment| moment.number == number)
    }

    /// Marks a moment by hand, once; says the mark's number where it was not marked so before.
    pub fn mark(&mut self, number: u64) -> Option<u32> {
        let segment = self.segments.iter_mut().rev().find(|segment| segment.first.number <= number)?;
        let later = segment.later.iter_mut().map(|(moment, _)| moment);
        let moment =
            std::iter::once(&mut segment.first).chain(later).find(|moment| moment.number == number)?;
        if moment.marks.iter().any(|mark| matches!(mark, Mark::Hand(_))) {
            return None;
        }
        self.hand_marks += 1;
        moment.marks.insert(0, Mark::Hand(self.hand_marks));
        Some(self.hand_marks)
    }

    /// What was shown at a moment; the tracks are those of `live` at that time.
    #[must_use]
    pub fn picture(&self, number: u64, live: &History) -> Option<Picture> {
        self.moment(number)?;
        Some(self.segment_of(number)?.picture(number, live))
    }
}

/// What happened between two samples that makes the later one a moment to come back to.
fn marks(before: Option<&Sample>, now: &Sample, anew: Vec<String>, failed: Option<String>) -> Vec<Mark> {
    let seen = before.map(|before| before.events.last().map_or(0, |event| event.sequence));
    let changes = now.events.iter().filter(|event| seen.is_some_and(|seen| event.sequence > seen));
    let changes = changes.cloned().map(Mark::Change);
    failed.map(Mark::Failed).into_iter().chain(anew.into_iter().map(Mark::Anew)).chain(changes).collect()
}

#[cfg(test)]
mod tests {
    use maglev_core::{
        health::Health,
        sample::{BackendId, BackendSample, Counters, ServiceSample, Slots},
        service::{Affinity, BackendState, Forwarding, Protocol, Tracking},
    };

    use super::{super::track::KEPT, *};

    const SECOND: Duration = Duration::from_secs(1);

    /// A datapath of one service as large as they get, its numbers by chance.
    struct Large {
        random: fastrand::Rng,
        sample: Sample,
        /// The one before it.
        before: Option<Sample>,
        history: History,
        ring: Ring,
        /// What a slot is hit by at most, a second.
        hits: u64,
    }

    impl Large {
        fn new(slots: usize, backends: u32, hits: u64) -> Self {
            let backend = |id: u32| BackendSample {
                id: BackendId(id),
                name: format!("backend-{id}"),
                address: "10.0.0.1:80".parse().unwrap(),
                weight: 100,
                state: BackendState::Active,
                health: Health::Unknown,
                slots: 65,
                counters: Counters::default(),
                quiet: Some(Duration::ZERO),
                by_hand: Vec::new(),
            };
            let service = ServiceSample {
                name: "web".to_owned(),
                address: "192.0.2.1:80".parse().unwrap(),
                protocol: Protocol::Tcp,
                forwarding: Forwarding::Ipip,
                affinity: Affinity::None,
                tracking: Tracking::Never,
                settle_time: SECOND,
                is_checked: false,
                counters: Counters::default(),
                unremembered: 0,
                cilium: None,
                backends: (1..=backends).map(backend).collect(),
                slots: Slots {
                    owner: (0..slots)
                        .map(|slot| BackendId(1 + u32::try_from(slot).unwrap() % backends))
                        .collect(),
                    previous: vec![BackendId::NONE; slots].into(),
                    hits: vec![0; slots].into(),
                },
            };
            let sample = Sample { services: vec![service], processors: vec![0; 8], ..Sample::default() };
            let random = fastrand::Rng::with_seed(9);
            Self { random, sample, before: None, history: History::default(), ring: Ring::default(), hits }
        }

        /// A second on; `moved` slots get another owner.
        fn pass(&mut self, moved: usize) {
            let sample = &mut self.sample;
            sample.taken_at += SECOND;
            let service = &mut sample.services[0];
            for backend in &mut service.backends {
                backend.counters.packets += self.random.u64(..20_000);
                backend.counters.bytes += self.random.u64(..10_000_000);
                backend.counters.new_connections += self.random.u64(..500);
                backend.quiet = Some(Duration::from_nanos(self.random.u64(..1_000_000_000)));
            }
            let hits: Vec<u64> =
                service.slots.hits.iter().map(|hits| hits + self.random.u64(..=self.hits)).collect();
            let mut owner = service.slots.owner.to_vec();
            for _ in 0..moved {
                let slot = self.random.usize(..owner.len());
                owner[slot] = BackendId(self.random.u32(1..1000));
            }
            service.slots.hits = hits.into();
            service.slots.owner = owner.into();
            let before = self.before.as_ref();
            let step = self.history.add(before, &self.sample, SECOND);
            self.ring.add(before, &self.sample, &self.history, step, Duration::ZERO, SECOND);
            self.before = Some(self.sample.clone());
        }
    }

    #[test]
    fn ten_minutes_of_the_largest_service_fit() {
        let mut large = Large::new(65_537, 1000, 60);
        for second in 0..MOMENTS + 2 * SEGMENT {
            large.pass(if second % 20 == 0 { 700 } else { 0 });
        }
        let (ring, tracks) = (large.ring.bytes(), large.history.track_bytes());
        println!("{} moments in {ring} bytes, tracks in {tracks}", large.ring.len());
        assert!((MOMENTS..MOMENTS + SEGMENT).contains(&large.ring.len()), "{}", large.ring.len());
        assert!(ring <= MOST_BYTES, "{ring}");
        // Rates of 20 bytes, in room for up to twice as many, and some bytes for the names.
        assert!(tracks <= 1001 * (KEPT.next_power_of_two() * 20 + 300), "{tracks}");

        let earliest = large.ring.earliest().unwrap().number;
        let picture = large.ring.picture(earliest + 30, &large.history).unwrap();
        assert_eq!(picture.hits_older, 30 * SECOND, "that far back hits are kept by the segment");
        let late = large.ring.latest().unwrap().number;
        let picture = large.ring.picture(late, &large.history).unwrap();
        assert_eq!(picture.hits_older, Duration::ZERO);
        assert!(picture.sample == large.sample);
    }

    #[test]
    fn what_changes_all_the_time_is_kept_for_less_long_and_in_no_more() {
        let mut large = Large::new(65_537, 1000, u64::MAX >> 20);
        let mut most = 0;
        for _ in 0..300 {
            large.pass(200_000);
            most = most.max(large.ring.bytes());
        }
        println!("{} moments in {} bytes, {most} at most", large.ring.len(), large.ring.bytes());
        assert!(most <= MOST_BYTES, "{most}");
        assert!(large.ring.len() > 20, "{}", large.ring.len());
        let latest = large.ring.latest().unwrap().number;
        assert!(large.ring.picture(latest, &large.history).unwrap().sample == large.sample);
        assert!(large.ring.picture(0, &large.history).is_none());
    }

    #[test]
    fn each_moment_comes_back_as_it_was() {
        let mut large = Large::new(997, 10, 5);
        let mut seen = Vec::new();
        for second in 0..3 * SEGMENT {
            if second % 40 == 7 {
                large.sample.services[0].backends.remove(second % 5);
            }
            large.pass(second % 3 * 10);
            seen.push((large.sample.clone(), large.history.clone()));
        }
        for (number, (sample, history)) in (0..).zip(&seen) {
            let picture = large.ring.picture(number, &large.history).unwrap();
            assert!(picture.sample == *sample, "moment {number}");
            let (then, now) = (history.service("web").unwrap(), picture.history.service("web").unwrap());
            assert_eq!(format!("{:?}", now.slots), format!("{:?}", then.slots), "moment {number}");
            let track = |track: &crate::monitor::history::Track| track.last(1000).collect::<Vec<_>>();
            assert_eq!(track(now.track), track(then.track), "moment {number}");
            for backend in &sample.services[0].backends {
                let of = |history: crate::monitor::history::ServiceHistory<'_>| {
                    history.backend(backend.id).map(track)
                };
                assert_eq!(of(now), of(then), "moment {number}");
            }
            assert_eq!(picture.history.processors, history.processors);
        }
    }

    #[test]
    fn a_moment_is_marked_by_hand_once() {
        let mut large = Large::new(5, 2, 5);
        for _ in 0..SEGMENT + 3 {
            large.pass(0);
        }
        assert_eq!(large.ring.mark(2), Some(1));
        assert_eq!(large.ring.mark(2), None);
        assert_eq!(large.ring.mark(SEGMENT as u64), Some(2));
        assert_eq!(large.ring.mark(1000), None);
        let marked = large.ring.moments().filter(|moment| !moment.marks.is_empty());
        assert_eq!(marked.map(|moment| moment.number).collect::<Vec<_>>(), [2, SEGMENT as u64]);
    }
}
