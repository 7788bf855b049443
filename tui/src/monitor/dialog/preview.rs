//! A change, shown before it is made: what it moves, and what of that had to move. Cancel has the focus.

mod draw;

use std::{net::IpAddr, sync::Arc};

use maglev_core::{change::Change, plan::Plan};

use super::{Answer, Dialog};
use crate::{
    monitor::{
        action::{Action, Context},
        data::{Data, NoticeTone, Undo, service_of, verb_of, words_of},
        forecast::Load,
        message::Order,
        number::{count, several},
        slots::what_if::WhatIf,
    },
    source::{ChangeRequest, ServiceChanges, SourceError},
};

/// A change before it is made.
#[derive(Clone, Debug)]
pub struct Preview {
    request: ChangeRequest,
    /// What takes it back.
    inverse: Vec<ServiceChanges>,
    /// The machine that all of it is done to, if it is one.
    machine: Option<IpAddr>,
    origin: Origin,
    /// The services that it leaves without an active backend.
    last_active: Vec<String>,
    /// Of what was asked of the source, this is what an answer is expected to.
    awaited: u64,
    phase: Phase,
    focus: Focus,
    note: Option<String>,
    /// Whether its button was pressed while it could not be.
    pressed_early: bool,
}

/// What it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// It was asked for.
    Asked,
    /// It takes that change back.
    Undo(Undo),
    /// It is all that is staged; one of it is chosen.
    Stage { chosen: usize },
}

#[derive(Clone, Debug)]
enum Phase {
    /// The plan is being worked out.
    Planning,
    /// The state is another than the one on screen: the plan waits for the next sample.
    Behind,
    /// It is there, service by service.
    Planned(Vec<Planned>),
    /// The change is being made.
    Executing(Vec<Planned>),
    /// It does not go, and why.
    Refused(String),
}

/// What it moves in one service.
#[derive(Clone, Debug)]
struct Planned {
    plan: Arc<Plan>,
    load: Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Cancel,
    Force,
    Act,
}

/// A change that was made.
#[derive(Debug)]
pub struct Made {
    /// What it moved.
    pub words: String,
    /// Which way it went.
    pub undo: Undoing,
    /// Whether it was all that was staged.
    pub staged: bool,
    /// The state version that it was made to.
    pub state_version: Option<u64>,
}

/// Which way a change went.
#[derive(Debug)]
pub enum Undoing {
    /// It can be taken back by this.
    Forward(Undo),
    /// It took this back.
    Back(Undo),
}

impl Preview {
    /// The contexts of one that was asked for, of one that takes a change back, and of all that is staged.
    pub const CONTEXTS: [&'static [Context]; 3] = [
        &[Context::Asked, Context::Preview, Context::Always],
        &[Context::Preview, Context::Always],
        &[Context::Staged, Context::Preview, Context::Always],
    ];

    /// The contexts that its keys are looked up in.
    #[must_use]
    pub const fn contexts(&self) -> &'static [Context] {
        match self.origin {
            Origin::Asked => Self::CONTEXTS[0],
            Origin::Undo(_) => Self::CONTEXTS[1],
            Origin::Stage { .. } => Self::CONTEXTS[2],
        }
    }

    /// For those changes to the service of that name; `None` where there is no such service.
    #[must_use]
    pub fn new(data: &Data, service: &str, changes: Vec<Change>) -> Option<Self> {
        Self::of_services(data, vec![ServiceChanges { service: service.to_owned(), changes }])
    }

    /// For changes to several services, all of them one change; `None` where there is not each of the services.
    #[must_use]
    pub fn of_services(data: &Data, services: Vec<ServiceChanges>) -> Option<Self> {
        let (mut inverse, mut last_active, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for ServiceChanges { service, changes } in &services {
            let sample = data.services().iter().find(|other| other.name == *service)?;
            let mut state = service_of(sample);
            let active_before = state.active_backends().count();
            let mut backwards = Vec::new();
            for change in changes {
                backwards.extend(change.inverse(&state));
                let member = match change {
                    Change::Add(backend) => Some(backend),
                    change => state.backend(change.backend()),
                };
                addresses.extend(member.map(|member| member.address.ip()));
                // What does not fit is refused by the plan, in words.
                let _ = change.apply(&mut state, true);
            }
            backwards.reverse();
            inverse.push(ServiceChanges { service: service.clone(), changes: backwards });
            if active_before > 0 && state.active_backends().count() == 0 {
                last_active.push(service.clone());
            }
        }
        addresses.dedup();
        Some(Self {
            request: ChangeRequest { services, force: false, state_version: None },
            inverse,
            machine: <[IpAddr; 1]>::try_from(addresses).ok().map(|[address]| address),
            origin: Origin::Asked,
            last_active,
            awaited: 0,
            phase: Phase::Planning,
            focus: Focus::Cancel,
            note: None,
            pressed_early: false,
        })
    }

    /// For all that is staged, as it fits by now; `None` where nothing is, or nothing fits.
    #[must_use]
    pub fn of_stage(data: &mut Data) -> Option<Self> {
        let services = data.sample.as_ref().map_or(&[][..], |sample| &sample.services);
        let gone = data.stage.forget_what_is_gone(services);
        if data.stage.changes().is_empty() {
            return None;
        }
        let moved_on = data.stage.planned_on(data.sample.as_ref().map(|sample| sample.state_version));
        let mut notes = Vec::new();
        if !gone.is_empty() {
            notes.push(format!("Left out, for it does not fit what there is now: {}.", gone.join(", ")));
        }
        if moved_on {
            notes.push(
                "The state changed since this was staged: what stands here is the plan as it is now."
                    .to_owned(),
            );
        }
        let note = (!notes.is_empty()).then(|| notes.join(" "));
        let preview = Self::of_services(data, data.stage.services())?;
        Some(Self { origin: Origin::Stage { chosen: 0 }, note, ..preview })
    }

    /// The same, to take `undo` back.
    #[must_use]
    pub fn undoing(mut self, undo: Undo) -> Self {
        self.origin = Origin::Undo(undo);
        self
    }

    /// Asks for the plan. Cancel has the focus, whatever had it before.
    pub(super) fn ask(&mut self, data: &mut Data) -> Order {
        self.phase = Phase::Planning;
        self.focus = Focus::Cancel;
        self.pressed_early = false;
        self.awaited = data.next_request();
        self.request.state_version = data.sample.as_ref().map(|sample| sample.state_version);
        // The plan changes nothing: it may show even what has to be allowed first.
        Order::Plan(
            self.awaited,
            ChangeRequest { force: !self.last_active.is_empty(), ..self.request.clone() },
        )
    }

    /// The first service and the backends that it is about.
    #[must_use]
    pub fn target(&self) -> (&str, Vec<&str>) {
        let first = self.request.services.first().map_or("", |first| &first.service);
        (first, self.changes().map(|(_, change)| change.backend()).collect())
    }

    /// Every change, with its service.
    fn changes(&self) -> impl Iterator<Item = (&str, &Change)> {
        self.request
            .services
            .iter()
            .flat_map(|one| one.changes.iter().map(|change| (one.service.as_str(), change)))
    }

    /// The service, where it is about one alone.
    fn only_service(&self) -> Option<&ServiceChanges> {
        match self.request.services.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The change, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let changes = self.changes().count() as u64;
        if matches!(self.origin, Origin::Stage { .. }) {
            return several(changes, "staged change", "staged changes");
        }
        if let Some(one) = self.only_service() {
            let changes: Vec<String> = one.changes.iter().map(words_of).collect();
            return changes.join(", ");
        }
        let services = self.request.services.len();
        let mut verbs = self.changes().map(|(_, change)| verb_of(change));
        let first = verbs.next().unwrap_or("change");
        match self.machine.filter(|_| verbs.all(|verb| verb == first)) {
            Some(address) => format!("{first} {address} in {services} services"),
            None => format!("{} in {services} services", several(changes, "change", "changes")),
        }
    }

    /// What it moves, service by service, once that is known.
    fn planned_services(&self) -> &[Planned] {
        match &self.phase {
            Phase::Planned(planned) | Phase::Executing(planned) => planned,
            Phase::Planning | Phase::Behind | Phase::Refused(_) => &[],
        }
    }

    /// What it would make of the slots of the chosen service; of the first one that it is about where it is not about
    /// that one.
    #[must_use]
    pub fn what_if(&self, data: &Data) -> Option<WhatIf> {
        let planned = self.planned_services();
        let chosen = planned.iter().find(|one| Some(&one.plan.service) == data.service.as_ref());
        let Planned { plan, load } = chosen.or(planned.first())?;
        Some(WhatIf { words: self.words(), plan: Arc::clone(plan), load: load.clone() })
    }

    /// Whether its button can be pressed.
    #[must_use]
    pub fn ready(&self) -> bool {
        matches!(self.phase, Phase::Planned(_)) && (self.last_active.is_empty() || self.request.force)
    }

    pub(super) fn act(&mut self, action: Action, data: &mut Data) -> Answer {
        // Nobody but this dialog hears what came of it: it stays until that is told.
        let leaves = matches!(action, Action::Cancel | Action::Discard | Action::Accept);
        if leaves && matches!(self.phase, Phase::Executing(_)) {
            self.note = Some("It is being made already: what came of it is told in a moment.".to_owned());
            return Answer::Stay;
        }
        match action {
            Action::Cancel => return self.cancel(data),
            Action::NextField => self.focus = self.step(1),
            Action::PreviousField => self.focus = self.step(self.stops().len() - 1),
            Action::NextPlan => self.look_at(data, 1),
            Action::PreviousPlan => self.look_at(data, self.request.services.len() - 1),
            Action::Stage => return self.stage(data),
            Action::Up => self.choose(|chosen| chosen.saturating_sub(1)),
            Action::Down => self.choose(|chosen| chosen + 1),
            Action::Unstage => return self.unstage(data),
            Action::Discard => {
                data.stage.clear();
                data.say(NoticeTone::Good, "what was staged is discarded; nothing was changed");
                return Answer::Close;
            }
            Action::Force if !self.last_active.is_empty() => self.allow(),
            Action::Accept => match self.focus {
                Focus::Cancel => return self.cancel(data),
                Focus::Force => self.allow(),
                Focus::Act if self.ready() => {
                    let Phase::Planned(planned) = std::mem::replace(&mut self.phase, Phase::Planning) else {
                        return Answer::Stay;
                    };
                    self.phase = Phase::Executing(planned);
                    self.awaited = data.next_request();
                    return Answer::Order(Order::Execute(self.awaited, self.request.clone()));
                }
                // What was not seen is never done: it is said why, and nothing is done later either.
                Focus::Act => self.pressed_early = true,
            },
            _ => {}
        }
        Answer::Stay
    }

    /// Allows what leaves a service without an active backend, or no more.
    const fn allow(&mut self) {
        self.request.force = !self.request.force;
        self.pressed_early = false;
    }

    fn cancel(&self, data: &mut Data) -> Answer {
        // What cannot be taken back any more must not stand in the way of what was done before it.
        if let (Origin::Undo(undo), Phase::Refused(_)) = (&self.origin, &self.phase) {
            data.undos.retain(|other| other != undo);
        }
        Answer::Close
    }

    /// Puts it with what waits, and does nothing else.
    fn stage(&mut self, data: &mut Data) -> Answer {
        if matches!(self.phase, Phase::Executing(_)) {
            return Answer::Stay;
        }
        let sample = data.sample.as_ref();
        let services = sample.map_or(&[][..], |sample| &sample.services);
        let version = sample.map(|sample| sample.state_version);
        match data.stage.add(services, &self.request.services, version) {
            Ok(()) => {
                let waiting = several(data.stage.changes().len() as u64, "change waits", "changes wait");
                let key = data.keymap.first(Action::Staged);
                data.say(NoticeTone::Good, format!("staged: {}; {waiting}: {key}", self.words()));
                Answer::Close
            }
            Err(error) => {
                self.note = Some(format!("Not staged: {error}."));
                Answer::Stay
            }
        }
    }

    fn choose(&mut self, step: impl Fn(usize) -> usize) {
        let last = self.changes().count().saturating_sub(1);
        if let Origin::Stage { chosen } = &mut self.origin {
            *chosen = step(*chosen).min(last);
        }
    }

    /// Takes the chosen change from what is staged; the rest is planned anew.
    fn unstage(&self, data: &mut Data) -> Answer {
        let (Origin::Stage { chosen }, false) = (&self.origin, matches!(self.phase, Phase::Executing(_)))
        else {
            return Answer::Stay;
        };
        let services = data.sample.as_ref().map_or(&[][..], |sample| &sample.services);
        let left = data.stage.remove(*chosen, services);
        let Some(mut rest) = Self::of_stage(data) else {
            data.say(NoticeTone::Good, "nothing is staged any more; nothing was changed");
            return Answer::Close;
        };
        if left > 1 {
            rest.note = Some(format!(
                "{} left with it: without it they do not fit.",
                several(left as u64 - 1, "change", "changes")
            ));
        }
        let chosen = *chosen;
        rest.choose(|_| chosen);
        Answer::Next(Box::new(Dialog::Preview(rest)))
    }

    /// Chooses the service that stands `steps` further on among those that it is about.
    fn look_at(&self, data: &mut Data, steps: usize) {
        let services = &self.request.services;
        let at = services.iter().position(|one| Some(&one.service) == data.service.as_ref());
        let next = at.map_or(0, |at| (at + steps) % services.len());
        if let Some(one) = services.get(next) {
            data.service = Some(one.service.clone());
            data.keep_choice();
        }
    }

    fn stops(&self) -> &'static [Focus] {
        if self.last_active.is_empty() {
            &[Focus::Cancel, Focus::Act]
        } else {
            &[Focus::Cancel, Focus::Force, Focus::Act]
        }
    }

    fn step(&self, steps: usize) -> Focus {
        let order = self.stops();
        let at = order.iter().position(|stop| *stop == self.focus).unwrap_or(0);
        order[(at + steps) % order.len()]
    }

    /// Takes in a plan.
    pub fn planned(&mut self, id: u64, result: Result<Vec<Plan>, SourceError>, data: &mut Data) {
        if id != self.awaited || !matches!(self.phase, Phase::Planning) {
            return;
        }
        match result {
            Ok(plans) => {
                self.pressed_early = false;
                // One that is to be added has a colour of its own before it is there.
                let names = plans.iter().flat_map(|plan| &plan.backends).map(|backend| backend.name.as_str());
                data.colours.add_names(names.collect());
                let planned = plans.into_iter().map(|plan| {
                    let load = Load::of(&plan, data);
                    Planned { plan: Arc::new(plan), load }
                });
                self.phase = Phase::Planned(planned.collect());
            }
            Err(error) if error.stale => self.fall_behind(&error),
            Err(error) => self.phase = Phase::Refused(error.message),
        }
    }

    /// Takes in what came of making the change.
    pub fn executed(&mut self, id: u64, result: Result<Vec<Plan>, SourceError>) -> Option<Made> {
        if id != self.awaited || !matches!(self.phase, Phase::Executing(_)) {
            return None;
        }
        match result {
            Ok(plans) => return Some(self.made(&plans)),
            Err(error) if error.stale => self.fall_behind(&error),
            Err(error) => {
                self.note = None;
                self.phase = Phase::Refused(error.message);
                self.focus = Focus::Cancel;
            }
        }
        None
    }

    fn fall_behind(&mut self, error: &SourceError) {
        self.focus = Focus::Cancel;
        self.note = Some(format!("Not done: {}. What stands here is the plan as it is now.", error.message));
        self.phase = Phase::Behind;
    }

    /// Looks at a new sample: where the state is another one, the plan is asked for anew, and that is said.
    pub fn sampled(&mut self, data: &mut Data) -> Option<Order> {
        let version = data.sample.as_ref().map(|sample| sample.state_version);
        let moved_on = self.request.state_version != version;
        match &mut self.phase {
            Phase::Behind => Some(self.ask(data)),
            Phase::Planned(_) if moved_on && matches!(self.origin, Origin::Stage { .. }) => {
                if let Some(anew) = Self::of_stage(data) {
                    *self = anew;
                    return Some(self.ask(data));
                }
                self.phase = Phase::Refused("nothing that was staged fits any more".to_owned());
                self.focus = Focus::Cancel;
                None
            }
            Phase::Planned(_) if moved_on => {
                self.note = Some(
                    "The state changed meanwhile: what stands here is the plan as it is now.".to_owned(),
                );
                Some(self.ask(data))
            }
            Phase::Planned(planned) => {
                for one in planned {
                    one.load = Load::of(&one.plan, data);
                }
                None
            }
            Phase::Planning | Phase::Executing(_) | Phase::Refused(_) => None,
        }
    }

    fn made(&self, plans: &[Plan]) -> Made {
        let sum = |of: fn(&Plan) -> u32| plans.iter().map(of).map(u64::from).sum::<u64>();
        let service = self.only_service().map_or_else(String::new, |one| format!("{}: ", one.service));
        let words = format!(
            "{service}{}: {} moved of {} (minimum {})",
            self.words(),
            several(sum(|plan| plan.moved), "slot", "slots"),
            count(sum(|plan| plan.table_size)),
            count(sum(|plan| plan.minimum)),
        );
        let undo = match &self.origin {
            Origin::Undo(undo) => Undoing::Back(undo.clone()),
            Origin::Asked | Origin::Stage { .. } => {
                Undoing::Forward(Undo { services: self.inverse.clone(), words: self.words() })
            }
        };
        Made {
            words,
            undo,
            staged: matches!(self.origin, Origin::Stage { .. }),
            state_version: self.request.state_version,
        }
    }
}
