//! A change, shown before it is made: what it moves, and what of that had to move. Cancel has the focus.

use std::net::IpAddr;

use maglev_core::{change::Change, plan::Plan, service::BackendState};
use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{
    Answer,
    panel::{self, Button},
};
use crate::{
    monitor::{
        action::{Action, Context},
        colours::natural,
        data::{Data, Undo, service_of, verb_of, words_of},
        message::Order,
        number::{count, percent, several, short},
        view::backends::{drain_words, mark},
        widget::text::{span, wrap},
    },
    source::{ChangeRequest, ServiceChanges, SourceError},
    terminal::look::Look,
};

/// How wide its sentences are at most.
const WIDTH: u16 = 66;

/// A change before it is made.
#[derive(Clone, Debug)]
pub struct Preview {
    request: ChangeRequest,
    /// What takes it back.
    inverse: Vec<ServiceChanges>,
    /// The machine that all of it is done to, if it is one.
    machine: Option<IpAddr>,
    /// The change that it takes back, if that is what it is for.
    undoes: Option<Undo>,
    /// The services that it leaves without an active backend.
    last_active: Vec<String>,
    /// Of what was asked of the source, this is what an answer is expected to.
    awaited: u64,
    stage: Stage,
    focus: Focus,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The plan is being worked out.
    Planning,
    /// The state is another than the one on screen: the plan waits for the next sample.
    Behind,
    /// It is there, service by service.
    Planned(Vec<Plan>),
    /// The change is being made.
    Executing(Vec<Plan>),
    /// It does not go, and why.
    Refused(String),
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
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Preview, Context::Always];

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
            undoes: None,
            last_active,
            awaited: 0,
            stage: Stage::Planning,
            focus: Focus::Cancel,
            note: None,
        })
    }

    /// The same, to take `undo` back.
    #[must_use]
    pub fn undoing(mut self, undo: Undo) -> Self {
        self.undoes = Some(undo);
        self
    }

    /// Asks for the plan. Cancel has the focus, whatever had it before.
    pub(super) fn ask(&mut self, data: &mut Data) -> Order {
        self.stage = Stage::Planning;
        self.focus = Focus::Cancel;
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
        if let Some(one) = self.only_service() {
            let changes: Vec<String> = one.changes.iter().map(words_of).collect();
            return changes.join(", ");
        }
        let verb = self.changes().next().map_or("change", |(_, change)| verb_of(change));
        let what = self.machine.map_or_else(|| "backends".to_owned(), |address| address.to_string());
        format!("{verb} {what} in {} services", self.request.services.len())
    }

    /// Whether its button can be pressed.
    #[must_use]
    pub fn ready(&self) -> bool {
        matches!(self.stage, Stage::Planned(_)) && (self.last_active.is_empty() || self.request.force)
    }

    pub(super) fn act(&mut self, action: Action, data: &mut Data) -> Answer {
        match action {
            Action::Cancel => return self.cancel(data),
            Action::NextField => self.focus = self.step(1),
            Action::PreviousField => self.focus = self.step(self.stops().len() - 1),
            Action::Force if !self.last_active.is_empty() => self.request.force = !self.request.force,
            Action::Accept => match self.focus {
                Focus::Cancel => return self.cancel(data),
                Focus::Force => self.request.force = !self.request.force,
                Focus::Act if self.ready() => {
                    let Stage::Planned(plans) = std::mem::replace(&mut self.stage, Stage::Planning) else {
                        return Answer::Stay;
                    };
                    self.stage = Stage::Executing(plans);
                    self.awaited = data.next_request();
                    return Answer::Order(Order::Execute(self.awaited, self.request.clone()));
                }
                Focus::Act => {}
            },
            _ => {}
        }
        Answer::Stay
    }

    fn cancel(&self, data: &mut Data) -> Answer {
        // What cannot be taken back any more must not stand in the way of what was done before it.
        if let (Some(undo), Stage::Refused(_)) = (&self.undoes, &self.stage) {
            data.undos.retain(|other| other != undo);
        }
        Answer::Close
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
    pub fn planned(&mut self, id: u64, result: Result<Vec<Plan>, SourceError>) {
        if id != self.awaited || self.stage != Stage::Planning {
            return;
        }
        match result {
            Ok(plans) => self.stage = Stage::Planned(plans),
            Err(error) if error.stale => self.fall_behind(&error),
            Err(error) => self.stage = Stage::Refused(error.message),
        }
    }

    /// Takes in what came of making the change.
    pub fn executed(&mut self, id: u64, result: Result<Vec<Plan>, SourceError>) -> Option<Made> {
        if id != self.awaited || !matches!(self.stage, Stage::Executing(_)) {
            return None;
        }
        match result {
            Ok(plans) => return Some(self.made(&plans)),
            Err(error) if error.stale => self.fall_behind(&error),
            Err(error) => {
                self.stage = Stage::Refused(error.message);
                self.focus = Focus::Cancel;
            }
        }
        None
    }

    fn fall_behind(&mut self, error: &SourceError) {
        self.focus = Focus::Cancel;
        self.note = Some(format!("Not done: {}. What stands here is the plan as it is now.", error.message));
        self.stage = Stage::Behind;
    }

    /// Asks for the plan anew where it waited for a sample.
    pub fn sampled(&mut self, data: &mut Data) -> Option<Order> {
        (self.stage == Stage::Behind).then(|| self.ask(data))
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
        let undo = self.undoes.clone().map_or_else(
            || Undoing::Forward(Undo { services: self.inverse.clone(), words: self.words() }),
            Undoing::Back,
        );
        Made { words, undo }
    }

    /// What a backend that is to leave still carries.
    fn at_stake(service: &str, change: &Change, data: &Data, look: &Look) -> Option<(String, Style)> {
        let Change::Remove(name) = change else { return None };
        let service = data.services().iter().find(|other| other.name == service)?;
        let backend = service.backends.iter().find(|backend| backend.name == *name)?;
        if let Some((words, safe)) = drain_words(service, backend) {
            return Some((format!("It is {words}."), if safe { look.good() } else { look.warning() }));
        }
        let rates = data.history.service(&service.name)?.backend(backend.id)?.latest()?;
        let words =
            format!("It gets {} packets a second. To lose none, drain it first.", short(rates.packets));
        Some((words, look.warning()))
    }

    pub(super) fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let width = WIDTH.min(area.width.saturating_sub(6)).max(10);
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut say = |text: &str, style| {
            lines.extend(wrap(text, width).into_iter().map(|text| Line::from(span(text, style))));
        };
        if let Some(note) = &self.note {
            say(note, look.warning());
        }
        let mut told = None;
        for (service, change) in self.changes() {
            // What is the same for all is said once.
            if told.replace(consequence(change)) != Some(consequence(change)) {
                say(consequence(change), look.text());
            }
            if let Some((words, style)) = Self::at_stake(service, change, data, look) {
                let whose = if self.only_service().is_some() { "" } else { service };
                let colon = if whose.is_empty() { "" } else { ": " };
                say(&format!("{whose}{colon}{words}"), style);
            }
        }
        match &self.stage {
            Stage::Planning | Stage::Behind => say("Working out what it moves …", look.faint()),
            Stage::Refused(reason) => say(&format!("This does not go: {reason}."), look.error()),
            Stage::Planned(plans) | Stage::Executing(plans) => {
                say(&moves(plans), look.heading());
                if !self.last_active.is_empty() {
                    let mark = if self.request.force { "[x]" } else { "[ ]" };
                    let style = if self.focus == Focus::Force { look.selected() } else { look.warning() };
                    let whose = if self.only_service().is_some() {
                        String::new()
                    } else {
                        format!(" in {}", self.last_active.join(", "))
                    };
                    say(
                        &format!(
                            "No backend would be left{whose} that takes new connections: they would be dropped."
                        ),
                        look.warning(),
                    );
                    lines.push(span(format!("{mark} Space: do it nevertheless"), style).into());
                }
                // What has to be read stands above; rows give way when there are many.
                let room = usize::from(area.height).saturating_sub(lines.len() + 6);
                match plans.as_slice() {
                    [plan] => lines.extend(table(plan, data, look, room)),
                    plans => lines.extend(services(&self.request.services, plans, look, room)),
                }
            }
        }
        lines.push(Line::default());
        let what = if self.undoes.is_some() { "Undo" } else { "Do it" };
        let act = match self.stage {
            Stage::Executing(_) => "…".to_owned(),
            _ => format!("{what}: {}", self.words()),
        };
        let mut buttons =
            vec![Button { words: "Cancel".to_owned(), focused: self.focus == Focus::Cancel, enabled: true }];
        if !matches!(self.stage, Stage::Refused(_)) {
            buttons.push(Button { words: act, focused: self.focus == Focus::Act, enabled: self.ready() });
        }
        let undo = if self.undoes.is_some() { "Undo: " } else { "" };
        let service = self.only_service().map_or_else(String::new, |one| format!(" ({})", one.service));
        let title = format!("{undo}{}{service}", self.words());
        panel::draw(&title, lines, &buttons, look, area, buffer);
    }
}

const fn consequence(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "It takes its share of the slots; connections that are there stay where they are.",
        Change::Drain(_) => {
            "It gets no new connections. Those that it has stay with it as long as they are used."
        }
        Change::Undrain(_) => "It gets its slots back, and new connections with them.",
        Change::SetHealth(..) => "Its checks say so.",
        Change::Remove(_) => "It leaves at once, and connections that it still has break.",
        Change::SetWeight(..) => {
            "Its share of the slots changes; connections that are there stay where they are."
        }
    }
}

fn moves(plans: &[Plan]) -> String {
    let sum = |of: fn(&Plan) -> u32| plans.iter().map(of).sum::<u32>();
    let (moved, size, minimum) =
        (sum(|plan| plan.moved), sum(|plan| plan.table_size), sum(|plan| plan.minimum));
    let excess = moved.saturating_sub(minimum);
    format!(
        "Moves {} of {} ({}). {} had to move, {} {} Maglev's own.",
        several(u64::from(moved), "slot", "slots"),
        count(u64::from(size)),
        percent(f64::from(moved), f64::from(size)),
        count(u64::from(minimum)),
        count(u64::from(excess)),
        if excess == 1 { "is" } else { "are" },
    )
}

/// What the change does to each service.
fn services(asked: &[ServiceChanges], plans: &[Plan], look: &Look, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(span(
        "  SERVICE         BACKEND            MOVES       OF  MINIMUM",
        look.heading(),
    ))];
    let shown = if plans.len() + 1 > room { room.saturating_sub(2) } else { plans.len() };
    for (one, plan) in asked.iter().zip(plans).take(shown) {
        let service: String = one.service.chars().take(14).collect();
        let names: Vec<&str> = one.changes.iter().map(Change::backend).collect();
        let backend: String = names.join(" ").chars().take(14).collect();
        let text = format!(
            "  {service:<15} {backend:<15} {:>8} {:>8} {:>8}",
            count(u64::from(plan.moved)),
            count(u64::from(plan.table_size)),
            count(u64::from(plan.minimum)),
        );
        lines.push(span(text, look.text()).into());
    }
    if shown < plans.len() {
        lines.push(span(format!("  and {} more", plans.len() - shown), look.faint()).into());
    }
    lines
}

/// What the change does to each backend, those first that it does most to.
fn table(plan: &Plan, data: &Data, look: &Look, room: usize) -> Vec<Line<'static>> {
    let mut rows: Vec<_> = plan.backends.iter().collect();
    rows.sort_by_cached_key(|row| natural(&row.name));
    if rows.len() + 1 > room {
        rows.sort_by_key(|row| std::cmp::Reverse(row.before.abs_diff(row.after)));
    }
    let mut lines =
        vec![Line::from(span("  BACKEND         BEFORE           AFTER   CHANGE", look.heading()))];
    let shown = if rows.len() + 1 > room { room.saturating_sub(2) } else { rows.len() };
    let draining = |name: &str| {
        data.services()
            .iter()
            .filter(|service| service.name == plan.service)
            .flat_map(|service| &service.backends)
            .any(|backend| backend.name == name && backend.state == BackendState::Draining)
    };
    for row in &rows[..shown] {
        let share = |slots: u32| percent(f64::from(slots), f64::from(plan.table_size));
        let change = i64::from(row.after) - i64::from(row.before);
        let sign = if change < 0 { "-" } else { "+" };
        let style = match change {
            0 => look.faint(),
            _ if change < 0 => look.draining(),
            _ => look.good(),
        };
        let name: String = row.name.chars().take(12).collect();
        lines.push(Line::from(vec![
            mark(data.colours.number(&row.name), data.colours.letter(&row.name), look),
            span(
                format!(
                    " {name:<12} {:>7} {:>6} {:>8} {:>6} ",
                    count(u64::from(row.before)),
                    share(row.before),
                    count(u64::from(row.after)),
                    share(row.after),
                ),
                look.text(),
            ),
            span(format!("{:>8}", format!("{sign}{}", count(change.unsigned_abs()))), style),
            span(if draining(&row.name) { " draining" } else { "" }, look.draining()),
        ]));
    }
    if shown < rows.len() {
        lines.push(span(format!("  and {} more", rows.len() - shown), look.faint()).into());
    }
    lines
}
