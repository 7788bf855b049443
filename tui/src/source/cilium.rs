//! A Cilium node as a source: its own maps, read and never written, and what its agent does to them while one looks.

mod change;
mod identity;
mod naming;
mod observed;
mod observing;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use maglev_core::{
    cilium::{Node, NodeFacts},
    plan::Plan,
    sample::{Event, Sample},
    seed::HashSeed,
};
use maglev_probe::cilium::{self as maps, CiliumError, MapReading};
use rustix::time::{ClockId, clock_gettime};

use self::{
    change::{Change, between, new_map},
    identity::Identities,
    naming::named,
    observed::{FrontendKey, Observed, key_of},
    observing::Observing,
};
use super::{ChangeRequest, Identity, ServiceChanges, Source, SourceError};
use crate::{
    cilium::{
        names::Names,
        seed::{self, KnownSeed},
    },
    cli::Counting,
    failure::in_words,
    monitor::data::service_of,
};

/// How often a look is worth its cost: every table is read whole.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long names are taken for those that the agent gave.
const NAMES_HOLD: Duration = Duration::from_secs(30);

/// How many changes are kept on record.
const MOST_EVENTS: usize = 1000;

/// How long the tables of one look are verified; those that are left wait for the next one.
const VERIFYING: Duration = Duration::from_millis(100);

/// Why nothing can be changed from here.
const READ_ONLY: &str = "the tables are Cilium's";

/// Who changes the maps.
const AGENT: &str = "agent";

/// Where a node's maps lie, and what is told of it beforehand.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The folder that the maps are pinned in.
    pub(crate) pins: PathBuf,
    /// Cilium's state on the node.
    pub(crate) run_dir: PathBuf,
    /// Names that were given; the agent is asked where there are none.
    pub(crate) names: Option<Names>,
    /// The seed, if it was given.
    pub(crate) seed: Option<HashSeed>,
    /// Where hits are to be counted; nowhere where there is none.
    pub(crate) counting: Option<Counting>,
}

/// A Cilium node, read anew at each look.
#[derive(Debug)]
pub(crate) struct CiliumSource {
    place: Place,
    host: String,
    seed: Option<KnownSeed>,
    names: Names,
    /// Whether the agent is asked for names, and when it was.
    asks: bool,
    asked: Option<Instant>,
    identities: Identities,
    /// Each frontend as it was at the last look.
    frontends: BTreeMap<FrontendKey, Observed>,
    /// The maps of that look, by name: another id means that the agent has made a map anew.
    maps: BTreeMap<String, u32>,
    has_looked: bool,
    observing: Observing,
    events: Vec<Event>,
    state_version: u64,
}

impl CiliumSource {
    /// Opens the maps of a node, and reads them once.
    ///
    /// # Errors
    ///
    /// When there are none, when they may not be read, or when one is of another shape.
    pub(crate) fn open(mut place: Place) -> Result<Self, CiliumError> {
        let reading = maps::read(&place.pins)?;
        let seed = seed::find(place.seed, &place.run_dir, &Node::of(reading.snapshot));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            host: host.trim().to_owned(),
            seed,
            asks: place.names.is_none(),
            names: place.names.take().unwrap_or_default(),
            asked: None,
            identities: Identities::default(),
            frontends: BTreeMap::new(),
            maps: BTreeMap::new(),
            has_looked: false,
            observing: Observing::new(place.counting.take()),
            events: Vec::new(),
            state_version: 1,
            place,
        })
    }

    fn record(&mut self, change: Change, at: SystemTime) {
        if self.events.len() == MOST_EVENTS {
            self.events.remove(0);
        }
        self.state_version += 1;
        self.events.push(Event {
            sequence: self.events.last().map_or(1, |last| last.sequence + 1),
            at,
            actor: AGENT.to_owned(),
            action: change.action.to_owned(),
            service: change.service,
            backend: change.backend,
            detail: change.detail,
            moved: change.moved,
            minimum: change.minimum,
        });
    }
}

impl CiliumSource {
    /// Asks the agent for names again where none were given and those that there are may be old.
    fn ask_for_names(&mut self) {
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= NAMES_HOLD);
        if self.asks && is_due {
            self.names = Names::ask(&self.place.run_dir);
            self.asked = Some(Instant::now());
        }
    }

    /// Puts every map that was made anew on record.
    fn compare_maps(&mut self, maps: &[MapReading], at: SystemTime) {
        let now: BTreeMap<String, u32> = maps.iter().map(|map| (map.name.clone(), map.id)).collect();
        let changes: Vec<Change> = now
            .iter()
            .filter_map(|(name, id)| {
                let before = self.maps.get(name)?;
                (before != id).then(|| new_map(name, *before, *id))
            })
            .collect();
        for change in changes {
            self.record(change, at);
        }
        self.maps = now;
    }

    /// Puts what became of each frontend on record.
    fn compare_frontends(&mut self, now: BTreeMap<FrontendKey, Observed>, at: SystemTime) {
        let before = std::mem::take(&mut self.frontends);
        // At the first look everything is new, and nothing has changed.
        if self.has_looked {
            let keys: BTreeSet<&FrontendKey> = before.keys().chain(now.keys()).collect();
            for change in keys.into_iter().flat_map(|key| between(before.get(key), now.get(key))) {
                self.record(change, at);
            }
        }
        (self.frontends, self.has_looked) = (now, true);
    }

    /// Looks for the seed again where something changed: an agent that starts anew may have another.
    fn find_seed(&mut self, node: &Node, version_before: u64) {
        if self.state_version == version_before {
            return;
        }
        let seed = seed::find(self.place.seed, &self.place.run_dir, node);
        if seed.map(|known| known.seed) != self.seed.map(|known| known.seed) {
            self.seed = seed;
            self.frontends.values_mut().for_each(Observed::forget_verification);
        }
    }

    /// Compares tables with what their backends call for, as many as there is time for.
    fn verify(&mut self) {
        let begun = Instant::now();
        let seed = self.seed.as_ref().map(|known| known.seed);
        for frontend in self.frontends.values_mut() {
            if begun.elapsed() > VERIFYING {
                return;
            }
            frontend.verify(seed.as_ref());
        }
    }

    fn facts(&self, node: &Node, maps: &[MapReading]) -> NodeFacts {
        NodeFacts {
            table_bytes: maps.iter().flat_map(|map| &map.inner).map(|inner| inner.bytes).sum(),
            orphans: node.orphans.keys().copied().collect(),
            seed: self.seed.as_ref().map_or_else(
                || "not known: give --seed".to_owned(),
                |known| format!("{}, {}", known.seed, known.source),
            ),
            counted: self.observing.counted(),
            not_counted: self.observing.not_counted(&self.frontends),
        }
    }
}

impl Source for CiliumSource {
    fn identity(&self) -> Identity {
        Identity {
            name: format!("Cilium on {}", self.host),
            attached: self.place.pins.display().to_string(),
            simulated: false,
            read_only: Some(READ_ONLY.to_owned()),
            pins: None,
            interval: INTERVAL,
        }
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.ask_for_names();
        let reading = maps::read(&self.place.pins).map_err(|error| refused(in_words(&error)))?;
        let (taken_at, wall) = (since_boot(), SystemTime::now());
        let node = Node::of(reading.snapshot);
        let version = self.state_version;
        self.compare_maps(&reading.maps, wall);
        let mut now = BTreeMap::new();
        for frontend in &node.frontends {
            let (key, name) = (key_of(frontend), named(frontend, &self.names));
            let before = self.frontends.get(&key);
            now.insert(key, Observed::of(&node, frontend, name, &mut self.identities, before));
        }
        if self.has_looked {
            // At the first look one waits for a screen, and nothing has been counted.
            let seed = self.seed.as_ref().map(|known| known.seed);
            self.observing.look(&node, seed, &self.frontends);
        }
        self.compare_frontends(now, wall);
        self.find_seed(&node, version);
        self.verify();
        let members = self.frontends.values().flat_map(Observed::members);
        self.identities.keep(&members.map(|seen| seen.id).collect());
        Ok(Sample {
            taken_at,
            wall: Some(wall),
            state_version: self.state_version,
            services: self.frontends.iter().map(|(key, one)| one.sample(self.observing.of(key))).collect(),
            verdicts: Vec::new(),
            processors: Vec::new(),
            events: self.events.clone(),
            cilium: Some(Arc::new(self.facts(&node, &reading.maps))),
        })
    }

    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        let seed = self.seed.as_ref().map(|known| known.seed);
        let seed = seed.ok_or_else(|| refused("the seed is not known: give --seed".to_owned()))?;
        let plan = |one: &ServiceChanges| {
            let service = self.frontends.values().find(|frontend| frontend.name == one.service);
            let service = service
                .map(|service| service.sample(None))
                .ok_or_else(|| refused(format!("there is no service {}", one.service)))?;
            if !service.is_reproducible() {
                return Err(refused(format!(
                    "the table of {} is not one that its backends and the seed explain: there is no saying what Cilium would make of a change",
                    one.service
                )));
            }
            let planned = Plan::of_changes(&service_of(&service), &one.changes, &seed, request.force);
            planned.map(|(plan, _)| plan).map_err(|error| refused(in_words(&error)))
        };
        request.services.iter().map(plan).collect()
    }

    fn execute(&mut self, _request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        Err(refused(format!("nothing was changed: {READ_ONLY}, and follow the pods of the service")))
    }

    fn seed(&self) -> Option<HashSeed> {
        self.seed.as_ref().map(|known| known.seed)
    }
}

fn refused(message: String) -> SourceError {
    SourceError { message, stale: false }
}

/// The time since boot, suspended or not.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
