//! Where in time the monitor is: at now, or frozen at a moment that is kept.
//!
//! What the views draw from is what was shown at that moment. Samples go on being taken, and kept, behind it.

use std::time::Duration;

use maglev_core::sample::Sample;

use super::{History, compare::Comparison, mark::words_of, moment::Moment, ring::Ring};
use crate::monitor::{
    data::{Data, NoticeTone, clock},
    number::{duration, several},
};

/// How many moments a longer step takes.
const LONG_STEP: isize = 10;

/// The past, and what of it is shown.
#[derive(Clone, Debug, Default)]
pub struct Time {
    /// The moments that are kept.
    pub ring: Ring,
    /// What is shown, where it is not now.
    pub frozen: Option<Frozen>,
    /// What the shown moment is compared with.
    pub comparison: Option<Comparison>,
    /// The change that was made from here and that no moment shows yet.
    pub unseen: Option<Unseen>,
}

/// A change that was made from here and that no moment shows yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It will be a mark like others.
    Awaited,
    /// What is shown is to be compared with its mark as soon as that is there.
    AwaitedToCompare,
}

/// A picture that stands still.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The number of the moment that is shown.
    pub number: u64,
    /// The moments that there were when a key was last pressed: what stands still is not told of new ones.
    pub strip: Strip,
    /// How much older the hits of its slots are than the moment.
    pub hits_older: Duration,
    /// What would be shown otherwise.
    live: Live,
}

/// What is shown when nothing is frozen.
#[derive(Clone, Debug, Default)]
pub struct Live {
    sample: Option<Sample>,
    history: History,
    late: Duration,
    failure: Option<String>,
}

/// What a time bar shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    /// The moments, the oldest first.
    pub ticks: Vec<Tick>,
    /// Which of them is shown.
    pub shown: usize,
    /// Which of them it is compared with, if that is among them.
    pub compared: Option<usize>,
    /// What is to be said of the one that is shown, what matters most first.
    pub words: Vec<String>,
}

/// A moment on a time bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The wall clock's time; empty where it is not known.
    pub clock: String,
    /// Whether it is marked.
    pub marked: bool,
    /// Whether samples are missing before it.
    pub gap: bool,
}

/// A step through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One moment back.
    Back,
    /// One moment on.
    On,
    /// Ten back.
    FarBack,
    /// Ten on.
    FarOn,
    /// To the mark before.
    MarkBack,
    /// To the next mark.
    MarkOn,
    /// To the earliest moment.
    Earliest,
    /// To the latest one.
    Latest,
}

impl Data {
    /// Whether what is shown stands still.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.time.frozen.is_some()
    }

    /// Has what is shown stand still at the latest moment, or go on.
    pub fn freeze(&mut self, frozen: bool) {
        if !frozen {
            if let Some(frozen) = self.time.frozen.take() {
                let Live { sample, history, late, failure } = frozen.live;
                (self.sample, self.history, self.late, self.failure) = (sample, history, late, failure);
                self.keep_choice();
            }
        } else if !self.is_frozen() {
            match self.time.ring.latest().map(|latest| latest.number) {
                Some(latest) => self.show(latest),
                None => self.say(NoticeTone::Warning, "there is nothing to freeze yet"),
            }
        }
    }

    /// Takes in a sample, in its order, whether it is shown or not. `interval` is what should lie between it and the
    /// one before.
    pub(in crate::monitor) fn keep(&mut self, sample: Sample, late: Duration, interval: Duration) {
        let Time { ring, frozen, .. } = &mut self.time;
        let (before, history, shown_late, failure) = match frozen {
            Some(Frozen { live, .. }) => {
                (&mut live.sample, &mut live.history, &mut live.late, &mut live.failure)
            }
            None => (&mut self.sample, &mut self.history, &mut self.late, &mut self.failure),
        };
        let step = history.add(before.as_ref(), &sample, interval);
        ring.add(before.as_ref(), &sample, history, step, late, interval);
        (*before, *shown_late, *failure) = (Some(sample), late, None);
        if self.time.unseen.take() == Some(Unseen::AwaitedToCompare) {
            self.notice = None;
            self.compare_or_not();
        }
    }

    /// Notes that a change to the state of that version was made: no moment shows it yet, unless one of another version
    /// was shown meanwhile.
    pub(in crate::monitor) fn expect_change(&mut self, version: Option<u64>) {
        if self.sample.as_ref().map(|sample| sample.state_version) == version {
            self.time.unseen = Some(Unseen::Awaited);
        }
    }

    /// Takes in that there is no sample, and why.
    pub(in crate::monitor) fn miss(&mut self, reason: String, late: Duration) {
        self.time.ring.failed(&reason);
        let (shown_late, failure) = match &mut self.time.frozen {
            Some(Frozen { live, .. }) => (&mut live.late, &mut live.failure),
            None => (&mut self.late, &mut self.failure),
        };
        (*shown_late, *failure) = (late, Some(reason));
    }

    /// Shows a moment that is kept.
    fn show(&mut self, number: u64) {
        let live = match self.time.frozen.take() {
            Some(frozen) => frozen.live,
            None => Live {
                sample: self.sample.take(),
                history: std::mem::take(&mut self.history),
                late: self.late,
                failure: self.failure.take(),
            },
        };
        // One that was let go of meanwhile is the earliest one now.
        let ring = &self.time.ring;
        let number = number.max(ring.earliest().map_or(0, |earliest| earliest.number));
        let Some(picture) = ring.picture(number, &live.history) else {
            (self.sample, self.history, self.late, self.failure) =
                (live.sample, live.history, live.late, live.failure);
            return;
        };
        (self.sample, self.history, self.late) = (Some(picture.sample), picture.history, picture.late);
        let strip = Strip::default();
        self.time.frozen = Some(Frozen { number, strip, hits_older: picture.hits_older, live });
        self.keep_choice();
        self.tell_time();
    }

    /// Looks at which moments there are now, for the time bar.
    pub(in crate::monitor) fn tell_time(&mut self) {
        let Some(frozen) = &self.time.frozen else { return };
        let strip = Strip::of(&self.time, frozen);
        if let Some(frozen) = &mut self.time.frozen {
            frozen.strip = strip;
        }
    }

    /// Goes through time, as far as there is any.
    pub fn go_in_time(&mut self, step: Move) {
        let Some(frozen) = &self.time.frozen else { return };
        let ring = &self.time.ring;
        let (Some(earliest), Some(latest)) = (ring.earliest(), ring.latest()) else { return };
        let (earliest, latest) = (earliest.number, latest.number);
        let shown = frozen.number;
        let marked = |moment: &&Moment| !moment.marks.is_empty();
        let by = |steps: isize| {
            shown.saturating_add_signed(i64::try_from(steps).unwrap_or(0)).clamp(earliest, latest)
        };
        let to = match step {
            Move::Back => by(-1),
            Move::On => by(1),
            Move::FarBack => by(-LONG_STEP),
            Move::FarOn => by(LONG_STEP),
            Move::Earliest => earliest,
            Move::Latest => latest,
            Move::MarkBack => {
                let before = ring.moments().rev().filter(marked).find(|moment| moment.number < shown);
                before.map_or(shown, |moment| moment.number)
            }
            Move::MarkOn => {
                let next = ring.moments().filter(marked).find(|moment| moment.number > shown);
                next.map_or(shown, |moment| moment.number)
            }
        };
        if to == shown {
            self.say(
                NoticeTone::Warning,
                match step {
                    Move::MarkBack => "there is no mark before this one",
                    Move::MarkOn => "there is no mark after this one",
                    Move::Back | Move::FarBack | Move::Earliest => "this is the earliest moment that is kept",
                    Move::On | Move::FarOn | Move::Latest => "this is the latest moment",
                },
            );
        }
        self.show(to);
    }

    /// What is known beyond the latest sample, whether it is shown or not.
    pub(in crate::monitor) fn live_history(&self) -> &History {
        self.time.frozen.as_ref().map_or(&self.history, |frozen| &frozen.live.history)
    }

    /// The number of the moment that is shown.
    #[must_use]
    pub fn shown_moment(&self) -> Option<u64> {
        match &self.time.frozen {
            Some(frozen) => Some(frozen.number),
            None => self.time.ring.latest().map(|latest| latest.number),
        }
    }

    /// Marks the moment that is shown.
    pub fn mark(&mut self) {
        let Some(number) = self.shown_moment() else { return };
        match self.time.ring.mark(number) {
            Some(mark) => {
                let at = self.time().unwrap_or_default();
                self.say(NoticeTone::Good, format!("mark {mark} is set at {at}"));
                self.tell_time();
            }
            None => self.say(NoticeTone::Warning, "this moment is marked already"),
        }
    }
}

impl Strip {
    fn of(time: &Time, frozen: &Frozen) -> Self {
        let moments: Vec<&Moment> = time.ring.moments().collect();
        let place = |number: u64| moments.iter().position(|moment| moment.number == number);
        let tick = |moment: &&Moment| Tick {
            clock: moment.wall.map(clock).unwrap_or_default(),
            marked: !moment.marks.is_empty(),
            gap: moment.missing > 0,
        };
        let shown = place(frozen.number).unwrap_or(0);
        let words = words(frozen, &moments, shown);
        Self {
            ticks: moments.iter().map(tick).collect(),
            shown,
            compared: time.comparison.as_ref().and_then(|comparison| place(comparison.number)),
            words,
        }
    }
}

/// What is to be said of the moment that is shown.
fn words(frozen: &Frozen, moments: &[&Moment], shown: usize) -> Vec<String> {
    let (Some(moment), Some(latest)) = (moments.get(shown), moments.last()) else { return Vec::new() };
    let back = latest.taken_at.saturating_sub(moment.taken_at);
    let mut words = Vec::new();
    words.push(moment.wall.map(clock).unwrap_or_default());
    words.push(if back.is_zero() { "the latest".to_owned() } else { format!("{} back", duration(back)) });
    words.extend(words_of(&moment.marks));
    if moment.missing > 0 {
        words.push(format!("{} missing before it", several(moment.missing as u64, "sample", "samples")));
    }
    if !frozen.hits_older.is_zero() {
        words.push(format!("hits of {} before", duration(frozen.hits_older)));
    }
    if moment.late * 10 > moment.interval {
        words.push(format!("late by {}", duration(moment.late)));
    }
    words.push(format!("{} of {}", shown + 1, moments.len()));
    words.retain(|words| !words.is_empty());
    words
}
