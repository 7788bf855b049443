//! The one value of state: messages change it, and it is drawn.

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind},
    layout::{Position, Rect, Size},
};

use super::{
    action::{Action, Context},
    command::{Command, Offers},
    data::{Data, NoticeTone},
    dialog::{
        self, Answer, Dialog,
        filter::FilterForm,
        palette::{Choice, PaletteForm},
        preview::{Made, Undoing},
    },
    history::time::Move,
    list::List,
    message::{Effect, Message, Order},
    slots::{
        search::{self, Found},
        view::SlotsView,
        what_if::{Split, WhatIf},
    },
    view::{
        Component, Outcome, ViewName, backends::Backends, balance::Balance, chrome, events::Events,
        help::Help, hot::Hot, processors::Processors, services::Services, timeline,
    },
};
use crate::terminal::look::Look;

/// Looking more often than that would show little but the looking.
pub const SHORTEST: Duration = Duration::from_millis(100);
/// Looking less often than that is no live monitor.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Everything that the monitor knows and shows.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the views draw from.
    pub data: Data,
    /// The view that is open.
    active: ViewName,
    /// The one that the help was called from.
    behind_help: ViewName,
    dialog: Option<Dialog>,
    services: Services,
    backends: Backends,
    slots: SlotsView,
    events: Events,
    processors: Processors,
    balance: Balance,
    hot: Hot,
    help: Help,
}

impl Model {
    /// A monitor that shows that view first.
    #[must_use]
    pub fn new(data: Data, active: ViewName) -> Self {
        Self {
            data,
            active,
            behind_help: active,
            dialog: None,
            services: Services::default(),
            backends: Backends::default(),
            slots: SlotsView::default(),
            events: Events::default(),
            processors: Processors::default(),
            balance: Balance::default(),
            hot: Hot::default(),
            help: Help::default(),
        }
    }

    /// The view that is open.
    #[must_use]
    pub const fn active(&self) -> ViewName {
        self.active
    }

    /// The dialog that is open.
    #[must_use]
    pub const fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    /// The view of the slots.
    #[must_use]
    pub const fn slots(&self) -> &SlotsView {
        &self.slots
    }

    /// The contexts that keys are looked up in.
    #[must_use]
    pub fn contexts(&self) -> &'static [Context] {
        match &self.dialog {
            Some(dialog) => dialog.contexts(),
            None if self.data.is_frozen() => self.active.frozen_contexts(),
            None => self.active.contexts(),
        }
    }

    /// Takes in something that happened, and says what is to be done about it.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            Message::Key(key) => effects.extend(self.key(key)),
            Message::Mouse(event) => effects.extend(self.mouse(event)),
            Message::Resize(size) => self.data.size = size,
            Message::Sampled(sampled) => {
                self.data.add(*sampled);
                if let Some(Dialog::Preview(preview)) = &mut self.dialog {
                    effects.extend(preview.sampled(&mut self.data).map(Effect::Order));
                }
            }
            Message::Planned(id, result) => {
                if let Some(Dialog::Preview(preview)) = &mut self.dialog {
                    preview.planned(id, result, &mut self.data);
                }
            }
            Message::Executed(id, result) => {
                if let Some(Dialog::Preview(preview)) = &mut self.dialog
                    && let Some(made) = preview.executed(id, result)
                {
                    self.made(made);
                }
            }
            Message::Traced(number, news) => self.slots.hear_of_trace(number, news, &mut self.data),
        }
        effects.extend(self.end_trace_elsewhere().map(Effect::Order));
        self.refresh();
        effects
    }

    /// Leaves the trace where its slots are not on screen any more.
    fn end_trace_elsewhere(&mut self) -> Option<Order> {
        let service = self.slots.trace()?.service();
        let is_here = self.tab() == ViewName::Slots && self.data.service.as_deref() == Some(service);
        if is_here { None } else { self.slots.close_trace() }
    }

    /// A change was made: it is told, and can be taken back.
    fn made(&mut self, made: Made) {
        self.dialog = None;
        match made.undo {
            Undoing::Forward(undo) => self.data.remember(undo),
            Undoing::Back(undo) => self.data.undos.retain(|other| *other != undo),
        }
        if made.staged {
            self.data.stage.clear();
        }
        self.data.expect_change(made.state_version);
        self.data.say(NoticeTone::Good, made.words);
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let contexts = self.contexts();
        let Some(binding) = self.data.keymap.find(key, contexts) else {
            if let Some(dialog) = &mut self.dialog {
                dialog.type_key(key);
            }
            if let Some(Dialog::Filter(form)) = &self.dialog {
                let words = form.words().to_owned();
                self.arrange(|list| list.set_filter(&words));
            }
            return Vec::new();
        };
        if let Some(effect) = always(binding.action) {
            return vec![effect];
        }
        if self.dialog.is_some() {
            return self.answer(binding.action);
        }
        // Whoever presses a key has read what was said.
        self.data.notice = None;
        self.perform(binding.action)
    }

    /// Does what is asked for, in the view that is open.
    fn perform(&mut self, action: Action) -> Vec<Effect> {
        if action.changes() && !self.come_back_to_now(action) {
            return Vec::new();
        }
        let outcome = match self.act(action) {
            Outcome::Ignored => {
                let (component, data) = self.component();
                component.act(action, data)
            }
            outcome => outcome,
        };
        self.follow(outcome)
    }

    /// Does what came of an action.
    fn follow(&mut self, outcome: Outcome) -> Vec<Effect> {
        match outcome {
            Outcome::Ignored | Outcome::Done => Vec::new(),
            Outcome::Effect(effect) => vec![effect],
            Outcome::Go(view) => {
                self.go(view);
                Vec::new()
            }
            Outcome::Find(found) => {
                self.show(found);
                Vec::new()
            }
            Outcome::Ask(dialog) => self.ask(*dialog).map(Effect::Order).into_iter().collect(),
        }
    }

    /// What the mouse does: a press chooses, the wheel moves or zooms. While a dialog is open it does nothing.
    fn mouse(&mut self, event: MouseEvent) -> Vec<Effect> {
        if self.dialog.is_some() {
            return Vec::new();
        }
        let place = Position::new(event.column, event.row);
        let parts = chrome::Layout::of(self.data.size, self.data.is_frozen());
        let inside = parts.content.contains(place);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) if parts.tabs.contains(place) => {
                if let Some(view) = chrome::tab_at(place.x) {
                    self.go(view);
                }
            }
            MouseEventKind::Down(MouseButton::Left) if inside => {
                let (component, data) = self.component();
                component.click(place, parts.content, data);
            }
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown if inside => {
                let action = self.shown().wheel(event.kind == MouseEventKind::ScrollUp);
                // It zooms in on what is under it.
                if action == Action::ZoomIn {
                    let (component, data) = self.component();
                    component.click(place, parts.content, data);
                }
                return self.perform(action);
            }
            _ => {}
        }
        Vec::new()
    }

    /// What means the same in every view.
    fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Help | Action::Cancel if self.active == ViewName::Help => Outcome::Go(self.behind_help),
            Action::Help => Outcome::Go(ViewName::Help),
            Action::NextView => Outcome::Go(self.tab().step(1)),
            Action::PreviousView => Outcome::Go(self.tab().step(ViewName::TABS.len() - 1)),
            Action::Services => Outcome::Go(ViewName::Services),
            Action::Backends => Outcome::Go(ViewName::Backends),
            Action::Slots => Outcome::Go(ViewName::Slots),
            Action::Events => Outcome::Go(ViewName::Events),
            Action::Processors => Outcome::Go(ViewName::Processors),
            Action::Balance => self.go_or_come_back(ViewName::Balance),
            Action::Hot => self.go_or_come_back(ViewName::Hot),
            Action::NextService => {
                self.data.step_service(1);
                Outcome::Done
            }
            Action::PreviousService => {
                self.data.step_service(-1);
                Outcome::Done
            }
            Action::Freeze => {
                self.data.freeze(!self.data.is_frozen());
                Outcome::Done
            }
            Action::EarlierMoment => self.go_in_time(Move::Back),
            Action::LaterMoment => self.go_in_time(Move::On),
            Action::MuchEarlier => self.go_in_time(Move::FarBack),
            Action::MuchLater => self.go_in_time(Move::FarOn),
            Action::PreviousMark => self.go_in_time(Move::MarkBack),
            Action::NextMark => self.go_in_time(Move::MarkOn),
            Action::EarliestMoment => self.go_in_time(Move::Earliest),
            Action::LatestMoment => self.go_in_time(Move::Latest),
            Action::Mark => {
                self.data.mark();
                Outcome::Done
            }
            Action::Compare => {
                self.data.compare_or_not();
                Outcome::Done
            }
            Action::CompareWithEarlier => {
                self.data.compare_with_the_one_before();
                Outcome::Done
            }
            Action::Slower => self.look_every(self.data.interval.saturating_mul(2)),
            Action::Faster => self.look_every(self.data.interval / 2),
            Action::Undo => dialog::for_undo(&mut self.data),
            Action::Staged => dialog::for_stage(&mut self.data),
            Action::Filter => match self.shown().list() {
                Some(list) => {
                    let service = self.data.service.as_deref().unwrap_or_default();
                    Outcome::Ask(Box::new(Dialog::Filter(FilterForm::new(service, list.filter()))))
                }
                None => Outcome::Ignored,
            },
            Action::ClearFilter => self.arrange(|list| list.set_filter("")),
            Action::SortByNext => self.arrange(List::sort_by_next),
            Action::ReverseOrder => self.arrange(List::reverse),
            Action::Copy => match self.shown().copied(&self.data) {
                Some(text) => {
                    self.data.say(NoticeTone::Good, format!("to the clipboard: {text}"));
                    Outcome::Effect(Effect::Copy(text))
                }
                None => Outcome::Ignored,
            },
            Action::Mouse => {
                self.data.mouse = !self.data.mouse;
                let words = if self.data.mouse {
                    "the mouse is listened to; the terminal's own selecting takes Shift"
                } else {
                    "the mouse is the terminal's"
                };
                self.data.say(NoticeTone::Good, words);
                Outcome::Effect(Effect::Mouse(self.data.mouse))
            }
            Action::Palette => Outcome::Ask(Box::new(Dialog::Palette(self.palette()))),
            Action::QuitKeepingScreen => Outcome::Effect(Effect::Quit { keep_screen: true }),
            _ => Outcome::Ignored,
        }
    }

    fn go_in_time(&mut self, step: Move) -> Outcome {
        self.data.go_in_time(step);
        Outcome::Done
    }

    /// Changes are made to what is there now, not to what was: a frozen picture goes on before it is asked for one. Says
    /// whether what was chosen in the picture is there still, and the same one.
    fn come_back_to_now(&mut self, action: Action) -> bool {
        if !self.data.is_frozen() || self.data.identity.read_only.is_some() {
            return true;
        }
        let chosen = |model: &Self| {
            let service = model.data.service()?;
            let subject = model.shown().subject(&model.data)?;
            let backend = service.backends.iter().find(|backend| backend.name == subject)?;
            Some((service.name.clone(), backend.id, subject))
        };
        let (service, then) = (self.data.service.clone(), chosen(self));
        self.data.freeze(false);
        self.refresh();
        let same = match action {
            Action::Undo | Action::Staged => true,
            Action::Add => self.data.service == service,
            _ => chosen(self) == then,
        };
        if same {
            self.data.say(NoticeTone::Warning, "back to now: what is changed is what is there now");
        } else {
            let text = "back to now: what was chosen is gone or another one by now, and nothing was done";
            self.data.say(NoticeTone::Warning, text);
        }
        same
    }

    /// Has the list that is open filter or sort otherwise.
    fn arrange(&mut self, how: impl FnOnce(&mut List)) -> Outcome {
        let (component, data) = self.component();
        let Some(list) = component.list_mut() else { return Outcome::Ignored };
        how(list);
        component.refresh(data);
        Outcome::Done
    }

    /// Chooses the first row where the filter leaves the chosen one out.
    fn choose_what_is_shown(&mut self) {
        let chosen = match self.active {
            ViewName::Services => self.data.service.clone(),
            ViewName::Backends | ViewName::Balance => self.data.backend.clone(),
            _ => None,
        };
        let (component, data) = self.component();
        if component.list().zip(chosen).is_some_and(|(list, chosen)| !list.shows(&chosen)) {
            component.act(Action::First, data);
        }
    }

    fn look_every(&mut self, interval: Duration) -> Outcome {
        self.data.interval = interval.clamp(SHORTEST, LONGEST);
        Outcome::Effect(Effect::Order(Order::Interval(self.data.interval)))
    }

    fn answer(&mut self, action: Action) -> Vec<Effect> {
        let Some(dialog) = &mut self.dialog else { return Vec::new() };
        let order = match dialog.act(action, &mut self.data) {
            Answer::Stay => None,
            Answer::Close => {
                self.dialog = None;
                None
            }
            Answer::Next(dialog) => self.ask(*dialog),
            Answer::Order(order) => Some(order),
            Answer::Found(found) => {
                self.dialog = None;
                self.slots.find(found);
                None
            }
            Answer::Trace(found) => {
                self.dialog = None;
                self.slots.find(found);
                let outcome = self.slots.begin_trace(&mut self.data);
                return self.follow(outcome);
            }
            Answer::Filter(words) => {
                self.dialog = None;
                self.arrange(|list| list.set_filter(&words));
                self.choose_what_is_shown();
                None
            }
            Answer::Chosen(choice) => {
                self.dialog = None;
                return self.run(choice);
            }
        };
        order.into_iter().map(Effect::Order).collect()
    }

    /// Everything that can be done here.
    fn palette(&self) -> PaletteForm {
        let columns = self.shown().list().map_or(&[][..], List::titles);
        let offers = Offers::new(self.contexts(), columns, &self.data);
        PaletteForm::new(offers, self.data.service.clone(), self.shown().subject(&self.data))
    }

    /// Does what was chosen in the palette.
    fn run(&mut self, choice: Choice) -> Vec<Effect> {
        match choice.command {
            Command::Action(action) => {
                if let Some(effect) = always(action) {
                    return vec![effect];
                }
                let now = (self.data.service.as_ref(), self.shown().subject(&self.data));
                if action.changes() && now != (choice.service.as_ref(), choice.backend.clone()) {
                    let text = "what was chosen is another one by now: nothing was done";
                    self.data.say(NoticeTone::Warning, text);
                    return Vec::new();
                }
                return self.perform(action);
            }
            Command::Sort(title) => {
                self.arrange(|list| list.sort_by(&title));
            }
            Command::Theme(name) => return vec![Effect::Theme(name)],
            Command::Service(name) => {
                self.data.service = Some(name);
                self.data.keep_choice();
            }
            Command::Backend(name) if self.active == ViewName::Slots => {
                self.go_to_slot(&format!("backend {name}"));
            }
            Command::Backend(name) => {
                self.data.backend = Some(name);
                self.data.keep_choice();
                self.active = ViewName::Backends;
            }
            Command::Slot(words) => self.go_to_slot(&words),
            Command::Compare(mark) => {
                let number = mark.split_whitespace().next().and_then(|number| number.parse().ok());
                self.data.compare_with(number.unwrap_or(u64::MAX));
            }
        }
        Vec::new()
    }

    fn go_to_slot(&mut self, words: &str) {
        match search::find(&self.data, words) {
            Ok(found) => self.show(found),
            Err(error) => self.data.say(NoticeTone::Warning, error),
        }
    }

    /// Shows a slot among the others.
    fn show(&mut self, found: Found) {
        self.active = ViewName::Slots;
        // The view takes another service for another table, and begins anew.
        self.refresh();
        self.slots.find(found);
    }

    /// Where that view is open already, the tab that it belongs to.
    fn go_or_come_back(&self, view: ViewName) -> Outcome {
        Outcome::Go(if self.active == view { view.tab().unwrap_or(view) } else { view })
    }

    fn ask(&mut self, mut dialog: Dialog) -> Option<Order> {
        let order = dialog.open(&mut self.data);
        self.dialog = Some(dialog);
        order
    }

    /// The tab that is open, or was before the help.
    #[must_use]
    pub fn tab(&self) -> ViewName {
        self.active.tab().or(self.behind_help.tab()).unwrap_or_default()
    }

    fn go(&mut self, view: ViewName) {
        if view == ViewName::Help {
            self.behind_help = self.active;
        }
        // From a backend one comes to its slots.
        if (self.active, view) == (ViewName::Backends, ViewName::Slots)
            && let (Some(service), Some(backend)) = (self.data.service(), self.data.backend())
        {
            self.slots.go_to_hottest(&self.data, |slot| service.slots.owner.get(slot) == Some(&backend.id));
        }
        self.active = view;
    }

    /// What the change that is shown would make of the slots, where these are on screen and there is room for both.
    fn what_if(&self) -> Option<WhatIf> {
        let Some(Dialog::Preview(preview)) = &self.dialog else { return None };
        let layout = chrome::Layout::of(self.data.size, self.data.is_frozen());
        let shown = self.active == ViewName::Slots && Split::of(layout.content).is_some();
        let what_if = preview.what_if(&self.data).filter(|_| shown)?;
        (self.data.service.as_ref() == Some(&what_if.plan.service)).then_some(what_if)
    }

    fn refresh(&mut self) {
        self.data.what_if = self.what_if();
        let (component, data) = self.component();
        component.refresh(data);
    }

    fn component(&mut self) -> (&mut dyn Component, &mut Data) {
        let component: &mut dyn Component = match self.active {
            ViewName::Services => &mut self.services,
            ViewName::Backends => &mut self.backends,
            ViewName::Slots => &mut self.slots,
            ViewName::Events => &mut self.events,
            ViewName::Processors => &mut self.processors,
            ViewName::Balance => &mut self.balance,
            ViewName::Hot => &mut self.hot,
            ViewName::Help => &mut self.help,
        };
        (component, &mut self.data)
    }

    fn shown(&self) -> &dyn Component {
        match self.active {
            ViewName::Services => &self.services,
            ViewName::Backends => &self.backends,
            ViewName::Slots => &self.slots,
            ViewName::Events => &self.events,
            ViewName::Processors => &self.processors,
            ViewName::Balance => &self.balance,
            ViewName::Hot => &self.hot,
            ViewName::Help => &self.help,
        }
    }

    /// Draws everything, and changes nothing.
    pub fn draw(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        buffer.set_style(area, look.text());
        let data = &self.data;
        let parts = chrome::Layout::of(Size::new(area.width, area.height), data.is_frozen());
        chrome::title(data, look, parts.title, buffer);
        let note = self.shown().list().map(List::note).unwrap_or_default();
        chrome::tabs(self.active, &note, data, look, parts.tabs, buffer);
        self.shown().draw(data, look, parts.content, buffer);
        timeline::draw(data, look, parts.timeline, buffer);
        chrome::status(self.active, &note, data, look, parts.status, buffer);
        chrome::footer(self.contexts(), data, look, parts.footer, buffer);
        if let Some(dialog) = &self.dialog {
            dialog.draw(data, look, parts.content, buffer);
        }
    }
}

/// What is done at once, whatever is on screen.
const fn always(action: Action) -> Option<Effect> {
    match action {
        Action::Quit => Some(Effect::Quit { keep_screen: false }),
        Action::Suspend => Some(Effect::Suspend),
        Action::Repaint => Some(Effect::Repaint),
        _ => None,
    }
}
