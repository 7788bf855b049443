//! What every view draws from.

use std::time::Duration;

use maglev_core::{
    change::Change,
    sample::{BackendId, BackendSample, Sample, ServiceSample},
    seed::HashSeed,
    service::{Backend, Service},
};
use ratatui::layout::Size;

use super::{
    colours::{Colours, natural},
    history::{History, ServiceHistory, time::Time},
    keymap::Keymap,
    message::Sampled,
    number,
    slots::what_if::WhatIf,
    stage::Stage,
};
use crate::source::{Checker, Identity, ServiceChanges};

/// How many changes can be taken back.
const UNDOS: usize = 100;

/// What is known of the source, and what of it the operator has chosen. Everything is chosen by name: rows move.
#[derive(Clone, Debug)]
pub struct Data {
    /// What the source is.
    pub identity: Identity,
    /// The seed that the tables are filled with, where it is known.
    pub seed: Option<HashSeed>,
    /// Backends on offer.
    pub spares: Vec<Backend>,
    /// Who runs the health checks that services ask for.
    pub checker: Checker,
    /// The sample that is shown: the latest, or where the picture is frozen the one of its moment.
    pub sample: Option<Sample>,
    /// What is known beyond it.
    pub history: History,
    /// The past, and what of it is shown.
    pub time: Time,
    /// Which colours backends have.
    pub colours: Colours,
    /// The service that was chosen.
    pub service: Option<String>,
    /// The backend that was chosen.
    pub backend: Option<String>,
    /// The size of the terminal.
    pub size: Size,
    /// Whether two pixels fit into a cell of it.
    pub half_blocks: bool,
    /// What can be taken back, the latest last.
    pub undos: Vec<Undo>,
    /// Changes that wait to be made as one.
    pub stage: Stage,
    /// What the change that is shown would make of the slots on screen.
    pub what_if: Option<WhatIf>,
    /// How often samples are taken.
    pub interval: Duration,
    /// How late the sample was.
    pub late: Duration,
    /// What the monitor itself sends.
    pub traffic: Traffic,
    /// Why there was no sample the last time.
    pub failure: Option<String>,
    /// The last thing that is to be said.
    pub notice: Option<Notice>,
    /// How many things were asked of the source.
    pub requests: u64,
    /// Whether the mouse is listened to.
    pub mouse: bool,
    /// Which keys stand for what.
    pub keymap: Keymap,
}

/// Something that is said in the status bar until something else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is said.
    pub text: String,
    /// How it is meant.
    pub tone: NoticeTone,
}

/// How something is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeTone {
    /// It is done.
    Good,
    /// It needs a look.
    Warning,
    /// It failed.
    Error,
}

/// A change that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// What takes the change back, service by service.
    pub services: Vec<ServiceChanges>,
    /// What was done, in words.
    pub words: String,
}

/// Bytes that went to the terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Since they were last measured.
    pub pending: u64,
    /// A second, as it is shown.
    pub rate: f64,
    measured_at: Duration,
}

impl Traffic {
    /// Measures over a second or more, and shows it where it is clearly another.
    ///
    /// What is shown is itself traffic: if it followed every byte, showing that nothing is sent would be something to
    /// send, for ever.
    fn measure(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.measured_at);
        if elapsed < Duration::from_secs(1) {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with two digits")]
        let rate = self.pending as f64 / elapsed.as_secs_f64();
        if (rate - self.rate).abs() > (self.rate / 5.0).max(300.0) {
            self.rate = rate;
        }
        (self.pending, self.measured_at) = (0, now);
    }
}

impl Data {
    /// Of a source that was not looked at yet.
    #[must_use]
    pub fn new(identity: Identity, seed: Option<HashSeed>, half_blocks: bool) -> Self {
        let interval = identity.interval;
        Self {
            identity,
            seed,
            spares: Vec::new(),
            checker: Checker::Unknown,
            sample: None,
            history: History::default(),
            time: Time::default(),
            colours: Colours::default(),
            service: None,
            backend: None,
            size: Size::new(80, 24),
            half_blocks,
            undos: Vec::new(),
            stage: Stage::default(),
            what_if: None,
            interval,
            late: Duration::ZERO,
            traffic: Traffic::default(),
            failure: None,
            notice: None,
            requests: 0,
            mouse: false,
            keymap: Keymap::default(),
        }
    }

    /// Takes in what came of looking at the source.
    pub fn add(&mut self, sampled: Sampled) {
        (self.identity, self.seed) = (sampled.identity, sampled.seed);
        self.spares = sampled.spares;
        self.checker = sampled.checker;
        match sampled.result {
            Ok(mut sample) => {
                sample.services.sort_by_cached_key(|service| natural(&service.name));
                for service in &mut sample.services {
                    service.backends.sort_by_cached_key(|backend| natural(&backend.name));
                }
                self.colours.add(&sample);
                // Of what stands still nothing changes, not even what it costs.
                if !self.is_frozen() {
                    self.traffic.measure(sample.taken_at);
                }
                self.keep(sample, sampled.late, sampled.interval);
            }
            Err(error) => self.miss(error.message, sampled.late),
        }
        self.keep_choice();
    }

    /// The services, in their order.
    #[must_use]
    pub fn services(&self) -> &[ServiceSample] {
        self.sample.as_ref().map_or(&[], |sample| &sample.services)
    }

    /// The service that is chosen.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceSample> {
        let name = self.service.as_deref()?;
        self.services().iter().find(|service| service.name == name)
    }

    /// What is known of it beyond the latest sample.
    #[must_use]
    pub fn service_history(&self) -> Option<ServiceHistory<'_>> {
        self.history.service(self.service.as_deref()?)
    }

    /// The backend that is chosen, of the service that is.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendSample> {
        let name = self.backend.as_deref()?;
        self.service()?.backends.iter().find(|backend| backend.name == name)
    }

    /// The backend of the chosen service that slots name by `id`.
    #[must_use]
    pub fn backend_of(&self, id: BackendId) -> Option<&BackendSample> {
        self.service()?.backends.iter().find(|backend| backend.id == id)
    }

    /// Chooses the service that stands `steps` further on, round and round.
    pub fn step_service(&mut self, steps: isize) {
        let names: Vec<&str> = self.services().iter().map(|service| service.name.as_str()).collect();
        self.service = step(&names, self.service.as_deref(), steps, true);
        self.keep_choice();
    }

    /// Has what is chosen be there: of what is gone, the first one left is chosen.
    pub fn keep_choice(&mut self) {
        if self.sample.is_none() {
            return;
        }
        if self.service().is_none() {
            self.service = self.services().first().map(|service| service.name.clone());
        }
        if self.backend().is_none() {
            let first = self.service().and_then(|service| service.backends.first());
            self.backend = first.map(|backend| backend.name.clone());
        }
    }

    /// Has something said.
    pub fn say(&mut self, tone: NoticeTone, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), tone });
    }

    /// The number of the next thing that is asked of the source.
    pub const fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Keeps what takes a change back.
    pub fn remember(&mut self, undo: Undo) {
        if self.undos.len() == UNDOS {
            self.undos.remove(0);
        }
        self.undos.push(undo);
    }

    /// The wall clock's time of the sample that is shown, to the second.
    #[must_use]
    pub fn time(&self) -> Option<String> {
        self.sample.as_ref()?.wall.map(clock)
    }
}

/// The time of day of a moment, in UTC.
#[must_use]
pub fn clock(moment: std::time::SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    text.get(11..19).unwrap_or(&text).to_owned()
}

/// The name that stands `steps` further on from another, round and round or up to the ends.
pub(super) fn step(names: &[&str], from: Option<&str>, steps: isize, around: bool) -> Option<String> {
    let last = isize::try_from(names.len()).ok()?.checked_sub(1)?;
    let at = names.iter().position(|name| Some(*name) == from).and_then(|at| isize::try_from(at).ok());
    let to = at.unwrap_or(0).saturating_add(steps);
    let to = if around { to.rem_euclid(last + 1) } else { to.clamp(0, last.max(0)) };
    names.get(usize::try_from(to).ok()?).map(|name| (*name).to_owned())
}

/// A service as the tables see it.
#[must_use]
pub fn service_of(sample: &ServiceSample) -> Service {
    Service {
        name: sample.name.clone(),
        address: sample.address,
        protocol: sample.protocol,
        table_size: u32::try_from(sample.slots.len()).unwrap_or(u32::MAX),
        forwarding: sample.forwarding,
        affinity: sample.affinity,
        tracking: sample.tracking,
        settle_time: sample.settle_time,
        settle_limit: None,
        health: None,
        backends: sample.backends.iter().map(backend_of).collect(),
    }
}

fn backend_of(sample: &BackendSample) -> Backend {
    Backend {
        name: sample.name.clone(),
        address: sample.address,
        weight: sample.weight,
        state: sample.state,
        health: sample.health,
    }
}

/// What a change does, in words: `drain b2`.
#[must_use]
pub fn words_of(change: &Change) -> String {
    match change {
        Change::SetWeight(name, weight) => {
            format!("give {name} weight {}", number::count(u64::from(*weight)))
        }
        Change::SetHealth(name, _) => format!("take {name} for {}", change.action()),
        change => format!("{} {}", verb_of(change), change.backend()),
    }
}

/// The verb for a change.
#[must_use]
pub const fn verb_of(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "add",
        Change::Drain(_) => "drain",
        Change::Undrain(_) => "enable",
        Change::Remove(_) => "remove",
        Change::SetWeight(..) => "weigh",
        Change::SetHealth(..) => change.action(),
    }
}
