//! Hits of a Cilium node, counted by the observer for as long as somebody watches.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use maglev_core::{
    cilium::Node,
    sample::{BackendId, Counters},
    seed::HashSeed,
};
use maglev_probe::observe::{BackendHits, FrontendHits, Observer, Placement};

use super::observed::{FrontendKey, Observed};
use crate::{cli::Counting, failure::in_words, monitor::number::several};

/// How long after it could not be it is tried again: what stood in the way may have gone.
const AGAIN: Duration = Duration::from_secs(30);

/// The observer, or why there is none.
#[derive(Debug, Default)]
pub(super) struct Observing {
    /// What was asked for; `None` where nothing is to be attached.
    wanted: Option<Counting>,
    running: Option<Running>,
    failed: Option<Failed>,
    tallies: BTreeMap<FrontendKey, Tally>,
}

#[derive(Debug)]
struct Running {
    observer: Observer,
    seed: HashSeed,
    /// When interfaces are looked for again.
    looks_round: Instant,
}

/// Why it could not be.
#[derive(Debug)]
struct Failed {
    words: String,
    /// When it is tried again.
    again: Instant,
}

/// What was counted of a frontend.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Packets by slot; none while nothing is counted by slot.
    pub(super) hits: Arc<[u64]>,
    /// Of all its backends.
    pub(super) all: Counters,
    /// What each backend was due, by who it is: Cilium's ids may change hands.
    pub(super) backends: BTreeMap<BackendId, Counters>,
    /// The same by Cilium's ids, as it was last read.
    read: BTreeMap<u32, BackendHits>,
}

impl Observing {
    /// Nothing is attached yet.
    pub(super) fn new(wanted: Option<Counting>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Follows the node, and reads what was counted by the frontends `before`; begins to count where it can be.
    pub(super) fn look(
        &mut self,
        node: &Node,
        seed: Option<HashSeed>,
        before: &BTreeMap<FrontendKey, Observed>,
    ) {
        // Slots are another seed's: what was counted means nothing any more.
        let running = self.running.take().filter(|running| Some(running.seed) == seed);
        match running {
            Some(mut running) => match self.go_on(&mut running, node) {
                Ok(counted) => {
                    self.tally(counted, before);
                    self.running = Some(running);
                }
                Err(words) => self.failed = Some(Failed::now(words)),
            },
            None => self.begin(node, seed),
        }
    }

    fn go_on(&self, running: &mut Running, node: &Node) -> Result<Vec<FrontendHits>, String> {
        if let Some(wanted) = &self.wanted {
            running.sit(wanted)?;
        }
        running.follow(node)
    }

    fn begin(&mut self, node: &Node, seed: Option<HashSeed>) {
        self.tallies.clear();
        let Some(wanted) = &self.wanted else { return };
        if self.failed.as_ref().is_some_and(|failed| Instant::now() < failed.again) {
            return;
        }
        let begun = match seed {
            Some(seed) => Running::begin(wanted, node, seed).map_err(Failed::now),
            None => {
                Err(Failed { words: "the seed is not known: give --seed".to_owned(), again: Instant::now() })
            }
        };
        match begun {
            Ok(running) => (self.running, self.failed) = (Some(running), None),
            Err(failed) => self.failed = Some(failed),
        }
    }

    fn tally(&mut self, counted: Vec<FrontendHits>, before: &BTreeMap<FrontendKey, Observed>) {
        let mut tallies = BTreeMap::new();
        for hits in counted {
            let key = (hits.address, hits.protocol, false);
            let mut tally = self.tallies.remove(&key).unwrap_or_default();
            let members = before.get(&key).map_or(&[][..], Observed::members);
            tally.add(hits, |id| members.iter().find(|seen| seen.member.id == id).map(|seen| seen.id));
            tallies.insert(key, tally);
        }
        self.tallies = tallies;
    }

    /// What was counted of a frontend; `None` where nothing is.
    pub(super) fn of(&self, frontend: &FrontendKey) -> Option<&Tally> {
        self.tallies.get(frontend)
    }

    /// Where hits are counted, in words; empty where nothing is.
    pub(super) fn counted(&self) -> String {
        match (&self.running, &self.failed) {
            (Some(running), _) => {
                let places: Vec<String> = running.observer.placements().filter_map(place).collect();
                format!("hits are counted on {}", places.join(", "))
            }
            (None, None) if self.wanted.is_some() => "hits are counted from the next look on".to_owned(),
            (None, _) => String::new(),
        }
    }

    /// What is not counted and why, in words; empty where all is that has a table.
    pub(super) fn not_counted(&self, frontends: &BTreeMap<FrontendKey, Observed>) -> String {
        let Some(running) = &self.running else { return self.why_nothing_is() };
        let mut words: Vec<String> = running.observer.placements().filter_map(no_place).collect();
        let without_room = frontends
            .iter()
            .filter(|(key, one)| !key.2 && one.is_looked_at())
            .filter(|(key, _)| self.tallies.get(key).is_some_and(|tally| tally.hits.is_empty()))
            .count() as u64;
        if without_room > 0 {
            words.push(format!(
                "there is no room to count {} by slot",
                several(without_room, "more service", "more services")
            ));
        }
        words.join("; ")
    }

    fn why_nothing_is(&self) -> String {
        match (&self.wanted, &self.failed) {
            (None, _) => "hits are not counted: --no-observer".to_owned(),
            (Some(_), Some(failed)) => format!("hits are not counted: {}", failed.words),
            (Some(_), None) => String::new(),
        }
    }
}

impl Failed {
    fn now(words: String) -> Self {
        Self { words, again: Instant::now() + AGAIN }
    }
}

impl Running {
    fn begin(wanted: &Counting, node: &Node, seed: HashSeed) -> Result<Self, String> {
        let chosen = wanted.interfaces().map_err(|error| in_words(&error))?;
        let interfaces: Vec<String> = chosen.into_iter().map(|one| one.interface).collect();
        let observer = Observer::attach(&interfaces, &wanted.terms(seed), node, |_| true);
        let observer = observer.map_err(|error| in_words(&error))?;
        Ok(Self { observer, seed, looks_round: Instant::now() + AGAIN })
    }

    /// Now and then takes hooks that have become free, on interfaces that have come, too.
    fn sit(&mut self, wanted: &Counting) -> Result<(), String> {
        if Instant::now() < self.looks_round {
            return Ok(());
        }
        self.looks_round = Instant::now() + AGAIN;
        // Without any it goes on where it is.
        let chosen = wanted.interfaces().unwrap_or_default();
        for interface in chosen {
            self.observer.sit_on(&interface.interface).map_err(|error| in_words(&error))?;
        }
        Ok(())
    }

    /// What was counted by the tables of before; the observer goes by those of `node` from here on.
    fn follow(&mut self, node: &Node) -> Result<Vec<FrontendHits>, String> {
        self.observer.follow(node, |_| true).map_err(|error| in_words(&error))?;
        if self.observer.placements().all(|placement| placement.outcome.is_err()) {
            let refusals: Vec<String> = self.observer.placements().filter_map(no_place).collect();
            return Err(refusals.join("; "));
        }
        self.observer.counted().map(|counted| counted.frontends).map_err(|error| in_words(&error))
    }
}

impl Tally {
    /// Takes what was read now; `who` knows the backends that it was counted for by Cilium's ids.
    fn add(&mut self, now: FrontendHits, who: impl Fn(u32) -> Option<BackendId>) {
        for (id, due) in &now.backends {
            let read = self.read.get(id).copied().unwrap_or_default();
            let counted = Counters {
                packets: due.packets.saturating_sub(read.packets),
                new_connections: due.new_connections.saturating_sub(read.new_connections),
                ..Counters::default()
            };
            if counted == Counters::default() {
                continue;
            }
            add(&mut self.all, counted);
            if let Some(backend) = who(*id) {
                add(self.backends.entry(backend).or_default(), counted);
            }
        }
        self.read = now.backends;
        // Where no packet came the slots are the same ones, not a copy.
        if *self.hits != *now.hits {
            self.hits = now.hits.into();
        }
    }
}

fn add(sum: &mut Counters, counted: Counters) {
    sum.packets += counted.packets;
    sum.new_connections += counted.new_connections;
}

fn place(placement: &Placement) -> Option<String> {
    let hook = placement.outcome.as_ref().ok()?;
    Some(format!("{} ({})", placement.interface, hook.word()))
}

fn no_place(placement: &Placement) -> Option<String> {
    let refusal = placement.outcome.as_ref().err()?;
    Some(format!("not on {}: {refusal}", placement.interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(backends: &[(u32, u64)]) -> FrontendHits {
        let due = |&(id, packets)| (id, BackendHits { packets, new_connections: packets / 10 });
        FrontendHits {
            id: 5,
            address: "192.0.2.10:80".parse().unwrap(),
            protocol: 6,
            is_counted: true,
            hits: vec![backends.iter().map(|(_, packets)| packets).sum()],
            connections: vec![0],
            backends: backends.iter().map(due).collect(),
        }
    }

    #[test]
    fn counts_stay_with_whom_they_were_for_when_ids_change_hands() {
        let mut tally = Tally::default();
        tally.add(read(&[(1, 100), (2, 40)]), |id| Some(BackendId(id)));
        // An agent that starts anew gives each the other's id.
        tally.add(read(&[(1, 110), (2, 340)]), |id| Some(BackendId(3 - id)));
        let packets = |id| tally.backends[&BackendId(id)].packets;
        assert_eq!([packets(1), packets(2)], [100 + 300, 40 + 10]);
        assert_eq!((tally.all.packets, tally.all.new_connections), (450, 45));
        assert_eq!(*tally.hits, [450]);
    }

    #[test]
    fn a_table_that_nobody_looks_at_for_a_while_goes_on_where_it_was() {
        let mut observing = Observing::default();
        let mut idle = read(&[(1, 100)]);
        (idle.is_counted, idle.hits) = (false, Vec::new());
        for hits in [read(&[(1, 90)]), idle, read(&[(1, 105)])] {
            observing.tally(vec![hits], &BTreeMap::new());
        }
        let tally = &observing.tallies[&("192.0.2.10:80".parse().unwrap(), 6, false)];
        assert_eq!((tally.all.packets, &*tally.hits), (105, &[105][..]), "nothing is counted twice");
    }

    #[test]
    fn slots_that_no_packet_came_for_are_not_copied() {
        let mut tally = Tally::default();
        tally.add(read(&[(1, 100)]), |_| None);
        let hits = Arc::clone(&tally.hits);
        tally.add(read(&[(1, 100)]), |_| None);
        assert!(Arc::ptr_eq(&hits, &tally.hits));
        assert_eq!((tally.all.packets, tally.backends.len()), (100, 0), "whose they were is not known");
    }
}
