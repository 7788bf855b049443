//! Two moments side by side: what backends had then and have now, and which slots have another owner.

use std::collections::BTreeMap;

use maglev_core::sample::{BackendId, BackendSample, ServiceSample};

use super::{Rates, mark::Mark, moment::Moment, ring::Picture, time::Unseen};
use crate::monitor::data::{Data, NoticeTone, clock};

/// The moment that the shown one is compared with. It is kept here for as long as it is.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its number.
    pub number: u64,
    /// What it is called: `12:03:05, mark 1`.
    pub title: String,
    picture: Picture,
}

/// A backend at two moments; on one of them it may not have been there. One that went and came back is two.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    /// Then.
    pub then: Option<Figures<'a>>,
    /// At the moment that is shown.
    pub now: Option<Figures<'a>>,
}

/// What is compared of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// The backend.
    pub backend: &'a BackendSample,
    /// What it got.
    pub rates: Option<Rates>,
    /// Its share of the service's new connections, from 0 to 1, where there are any.
    pub share: Option<f64>,
}

/// The slots of a service that have another owner than then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Slot by slot, whether it has.
    pub differs: Vec<bool>,
    /// From whom to whom, and how many, the most first; nobody is nobody.
    pub ways: Vec<(Option<String>, Option<String>, usize)>,
}

impl Moved {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ways.iter().map(|(.., count)| count).sum()
    }
}

/// What is compared of the backends of a service.
fn figures<'a>(
    service: &'a ServiceSample,
    history: &'a super::History,
) -> impl Iterator<Item = Figures<'a>> + 'a {
    let history = history.service(&service.name);
    let whole = history.and_then(|history| history.track.latest()).map(|rates| rates.new_connections);
    service.backends.iter().map(move |backend| {
        let rates = history.and_then(|history| history.backend(backend.id)).and_then(super::Track::latest);
        let share = rates.zip(whole).filter(|(_, whole)| *whole > 0.0);
        Figures { backend, rates, share: share.map(|(own, whole)| own.new_connections / whole) }
    })
}

impl Comparison {
    /// The service as it was then.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceSample> {
        self.picture.sample.services.iter().find(|service| service.name == name)
    }

    /// The backends of a service at both moments: those that are there, in their order, then those that are gone.
    #[must_use]
    pub fn backends<'a>(&'a self, data: &'a Data, service: &'a ServiceSample) -> Vec<Difference<'a>> {
        let then: Vec<Figures<'_>> = self
            .service(&service.name)
            .map_or_else(Vec::new, |then| figures(then, &self.picture.history).collect());
        let is = |one: &BackendSample, other: &BackendSample| one.id == other.id && one.name == other.name;
        let mut both: Vec<Difference<'_>> = figures(service, &data.history)
            .map(|now| Difference {
                then: then.iter().find(|then| is(then.backend, now.backend)).copied(),
                now: Some(now),
            })
            .collect();
        let gone = then.iter().filter(|then| !service.backends.iter().any(|now| is(then.backend, now)));
        both.extend(gone.map(|then| Difference { then: Some(*then), now: None }));
        both
    }

    /// How many backends of a service are gone since.
    #[must_use]
    pub fn gone(&self, data: &Data, service: &ServiceSample) -> usize {
        self.backends(data, service).iter().filter(|both| both.now.is_none()).count()
    }

    /// The slots of a service that have another owner; `None` where its table was not there then, or of another size.
    #[must_use]
    pub fn moved(&self, service: &ServiceSample) -> Option<Moved> {
        let then = self.service(&service.name).filter(|then| then.slots.len() == service.slots.len())?;
        let name = |service: &ServiceSample, id: BackendId| {
            service.backends.iter().find(|backend| backend.id == id).map(|backend| backend.name.clone())
        };
        // A number may have been given to another backend: whoever owns a slot is a number and a name.
        let mut pairs: BTreeMap<(BackendId, BackendId), (bool, usize)> = BTreeMap::new();
        let differs = then.slots.owner.iter().zip(service.slots.owner.iter()).map(|(&from, &to)| {
            let (differs, count) = pairs
                .entry((from, to))
                .or_insert_with(|| (from != to || name(then, from) != name(service, to), 0));
            *count += 1;
            *differs
        });
        let differs = differs.collect();
        let ways = pairs.into_iter().filter(|(_, (differs, _))| *differs);
        let mut ways: Vec<_> =
            ways.map(|((from, to), (_, count))| (name(then, from), name(service, to), count)).collect();
        ways.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        Some(Moved { differs, ways })
    }
}

/// What a moment is called: its time, and why it is marked, shortly.
fn title(moment: &Moment) -> String {
    let clock = moment.wall.map(clock).unwrap_or_default();
    let words = moment.marks.first().map(Mark::what).unwrap_or_default();
    [clock, words].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Whether it is a change that marks it, and not the operator.
fn is_of_a_change(moment: &Moment) -> bool {
    let is = |wanted: fn(&Mark) -> bool| moment.marks.iter().any(wanted);
    is(|mark| matches!(mark, Mark::Change(_))) && !is(|mark| matches!(mark, Mark::Hand(_)))
}

impl Data {
    /// The marked moments, the latest first: their numbers, and what they are called.
    #[must_use]
    pub fn marked_moments(&self) -> Vec<(u64, String)> {
        let moments = self.time.ring.moments().rev();
        let marked = moments.filter(|moment| !moment.marks.is_empty());
        marked.map(|moment| (moment.number, title(moment))).collect()
    }

    /// Compares what is shown with the mark before it, or the one after it where there is none; or with nothing any
    /// more.
    ///
    /// What is shown moves on, unless it is frozen: then its own mark is the one before it, for a moment yet. A change
    /// that was just made is waited for.
    pub fn compare_or_not(&mut self) {
        if self.time.comparison.take().is_some() {
            self.tell_time();
            return;
        }
        if self.time.unseen.is_some() {
            self.time.unseen = Some(Unseen::AwaitedToCompare);
            return self.say(NoticeTone::Good, "compared with the change just made as soon as that is read");
        }
        let shown = self.shown_moment().unwrap_or_default();
        let moves_on = !self.is_frozen();
        let marked = self.marked_moments();
        let before = marked.iter().find(|(number, _)| *number < shown || (moves_on && *number == shown));
        let after = marked.iter().rev().find(|(number, _)| *number > shown);
        match before.or(after) {
            Some((number, _)) => self.compare_with(*number),
            None => self.say(NoticeTone::Warning, "there is no mark to compare with: set one first"),
        }
    }

    /// Compares with the mark before the one that is compared with; round again from the latest.
    pub fn compare_with_the_one_before(&mut self) {
        let Some(at) = self.time.comparison.as_ref().map(|comparison| comparison.number) else {
            return self.compare_or_not();
        };
        let marked = self.marked_moments();
        let next = marked.iter().find(|(number, _)| *number < at).or_else(|| marked.first());
        if let Some((number, _)) = next {
            self.compare_with(*number);
        }
    }

    /// Compares what is shown with a moment that is kept; where an earlier change marks it, with the one before: what the
    /// change did is seen then.
    pub fn compare_with(&mut self, number: u64) {
        let Some(moment) = self.time.ring.moment(number) else {
            return self.say(NoticeTone::Warning, "that moment is not kept any more");
        };
        let is_past = self.shown_moment().is_some_and(|shown| number <= shown);
        let before = number.checked_sub(1).filter(|_| is_past && is_of_a_change(moment));
        let before = before.filter(|before| self.time.ring.moment(*before).is_some());
        let title = if before.is_some() { format!("before {}", title(moment)) } else { title(moment) };
        let picture = self.time.ring.picture(before.unwrap_or(number), self.live_history());
        self.time.comparison = picture.map(|picture| Comparison { number, title, picture });
        self.tell_time();
    }
}
