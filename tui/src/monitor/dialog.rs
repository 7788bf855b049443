//! Dialogs. Each is bound to a service and a backend by name from the moment it opens, whatever the rows do meanwhile.

pub mod add;
pub mod field;
pub mod filter;
pub mod palette;
pub mod panel;
pub mod preview;
pub mod search;
pub mod weight;

use std::net::IpAddr;

use maglev_core::{change::Change, sample::ServiceSample};
use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect};

use self::{
    add::AddForm,
    filter::FilterForm,
    palette::{Choice, PaletteForm},
    preview::Preview,
    search::SearchForm,
    weight::WeightForm,
};
use super::{
    action::{Action, Context},
    data::{Data, NoticeTone},
    message::Order,
    slots::search::Found,
    view::Outcome,
};
use crate::{source::ServiceChanges, terminal::look::Look};

/// Something that has to be answered first.
#[derive(Clone, Debug)]
pub enum Dialog {
    /// A change, shown before it is made.
    Preview(Preview),
    /// What is to be known of a new backend.
    Add(AddForm),
    /// Another weight.
    Weight(WeightForm),
    /// What to look for among the slots.
    Search(SearchForm),
    /// What to do, by its name.
    Palette(PaletteForm),
    /// Which rows of a list to show.
    Filter(FilterForm),
}

/// What came of a key.
#[derive(Debug)]
pub enum Answer {
    /// The dialog goes on.
    Stay,
    /// It is over, and nothing is changed.
    Close,
    /// Another one follows.
    Next(Box<Dialog>),
    /// The source has to do something; the dialog waits.
    Order(Order),
    /// It is over: the cursor goes to that slot.
    Found(Found),
    /// It is over: the cursor goes to that slot, and the flow is traced.
    Trace(Found),
    /// It is over: that is to be done.
    Chosen(Choice),
    /// It is over: rows that hold these words are shown.
    Filter(String),
}

impl Dialog {
    /// The contexts of every dialog.
    pub const CONTEXTS: [&[Context]; 8] = [
        Preview::CONTEXTS[0],
        Preview::CONTEXTS[1],
        Preview::CONTEXTS[2],
        AddForm::CONTEXTS,
        WeightForm::CONTEXTS,
        SearchForm::CONTEXTS,
        PaletteForm::CONTEXTS,
        FilterForm::CONTEXTS,
    ];

    /// The contexts that its keys are looked up in.
    #[must_use]
    pub const fn contexts(&self) -> &'static [Context] {
        match self {
            Self::Preview(preview) => preview.contexts(),
            Self::Add(_) => AddForm::CONTEXTS,
            Self::Weight(_) => WeightForm::CONTEXTS,
            Self::Search(_) => SearchForm::CONTEXTS,
            Self::Palette(_) => PaletteForm::CONTEXTS,
            Self::Filter(_) => FilterForm::CONTEXTS,
        }
    }

    /// What has to be known before it can be answered.
    pub fn open(&mut self, data: &mut Data) -> Option<Order> {
        match self {
            Self::Preview(preview) => Some(preview.ask(data)),
            Self::Add(_) | Self::Weight(_) | Self::Search(_) | Self::Palette(_) | Self::Filter(_) => None,
        }
    }

    /// Does what a key asks for.
    pub fn act(&mut self, action: Action, data: &mut Data) -> Answer {
        match self {
            Self::Preview(preview) => preview.act(action, data),
            Self::Add(form) => form.act(action, data),
            Self::Weight(form) => form.act(action, data),
            Self::Search(form) => form.act(action, data),
            Self::Palette(form) => form.act(action),
            Self::Filter(form) => form.act(action),
        }
    }

    /// Takes a key that stands for no action: something is typed.
    pub fn type_key(&mut self, key: KeyEvent) {
        match self {
            Self::Preview(_) => {}
            Self::Add(form) => form.type_key(key),
            Self::Weight(form) => form.type_key(key),
            Self::Search(form) => form.type_key(key),
            Self::Palette(form) => form.type_key(key),
            Self::Filter(form) => form.type_key(key),
        }
    }

    /// The service and the backends that it is about.
    #[must_use]
    pub fn target(&self) -> (&str, Vec<&str>) {
        match self {
            Self::Preview(preview) => preview.target(),
            Self::Add(form) => (form.service(), Vec::new()),
            Self::Weight(form) => (form.service(), vec![form.backend()]),
            Self::Search(form) => (form.service(), Vec::new()),
            Self::Palette(form) => form.target(),
            Self::Filter(form) => (form.service(), Vec::new()),
        }
    }

    /// Draws itself over the view.
    pub fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        match self {
            Self::Preview(preview) => preview.draw(data, look, area, buffer),
            Self::Add(form) => form.draw(data, look, area, buffer),
            Self::Weight(form) => form.draw(look, area, buffer),
            Self::Search(form) => form.draw(look, area, buffer),
            Self::Palette(form) => form.draw(look, area, buffer),
            Self::Filter(form) => form.draw(look, area, buffer),
        }
    }
}

/// What an action does to the backend of that name in the chosen service, or to its machine in all of them; first it is
/// asked, or shown.
pub fn for_backend(action: Action, data: &mut Data, backend: Option<&str>) -> Outcome {
    let Some(target) = Target::of(action) else { return Outcome::Ignored };
    if let Some(reason) = &data.identity.read_only {
        let text = format!("read-only: {reason}");
        data.say(NoticeTone::Warning, text);
        return Outcome::Done;
    }
    let Some(service) = data.service() else {
        data.say(NoticeTone::Warning, "there is no service to change");
        return Outcome::Done;
    };
    let name = service.name.clone();
    let member = backend.and_then(|name| service.backends.iter().find(|member| member.name == name));
    let dialog = match (target, member) {
        (Target::New, _) => Some(Dialog::Add(AddForm::new(data, &name))),
        (Target::Weight, Some(member)) => Some(Dialog::Weight(WeightForm::new(&name, member))),
        (Target::Backend(make), Some(member)) => {
            Preview::new(data, &name, vec![make(member.name.clone())]).map(Dialog::Preview)
        }
        (Target::Machine(make), Some(member)) => {
            let (address, state) = (member.address.ip(), member.state);
            let services = of_machine(data, address, make);
            if services.is_empty() {
                let text = format!("{address} is {state} already in every service that it is in");
                data.say(NoticeTone::Warning, text);
                return Outcome::Done;
            }
            Preview::of_services(data, services).map(Dialog::Preview)
        }
        (_, None) => None,
    };
    if let Some(dialog) = dialog {
        return Outcome::Ask(Box::new(dialog));
    }
    data.say(NoticeTone::Warning, "no backend is chosen");
    Outcome::Done
}

/// What an action is done to.
enum Target {
    /// A backend that is not there yet.
    New,
    /// A backend's weight.
    Weight,
    /// One backend.
    Backend(fn(String) -> Change),
    /// The machine that it is, in every service.
    Machine(fn(String) -> Change),
}

impl Target {
    const fn of(action: Action) -> Option<Self> {
        Some(match action {
            Action::Add => Self::New,
            Action::Weight => Self::Weight,
            Action::Drain => Self::Backend(Change::Drain),
            Action::Undrain => Self::Backend(Change::Undrain),
            Action::Remove => Self::Backend(Change::Remove),
            Action::DrainMachine => Self::Machine(Change::Drain),
            Action::UndrainMachine => Self::Machine(Change::Undrain),
            Action::RemoveMachine => Self::Machine(Change::Remove),
            _ => return None,
        })
    }
}

/// The change to every backend that is the machine of that address, where it is not as it would be already.
fn of_machine(data: &Data, address: IpAddr, make: fn(String) -> Change) -> Vec<ServiceChanges> {
    let changes_of = |service: &ServiceSample| -> Vec<Change> {
        let members = service.backends.iter().filter(|member| member.address.ip() == address);
        members
            .map(|member| (make(member.name.clone()), member.state))
            .filter(|(change, state)| !change.is_done_in(*state))
            .map(|(change, _)| change)
            .collect()
    };
    data.services()
        .iter()
        .map(|service| ServiceChanges { service: service.name.clone(), changes: changes_of(service) })
        .filter(|one| !one.changes.is_empty())
        .collect()
}

/// All that is staged, to be made as one; first it is shown.
pub fn for_stage(data: &mut Data) -> Outcome {
    if let Some(reason) = &data.identity.read_only {
        let text = format!("read-only: {reason}");
        data.say(NoticeTone::Warning, text);
        return Outcome::Done;
    }
    let staged = data.stage.changes().len();
    if let Some(preview) = Preview::of_stage(data) {
        return Outcome::Ask(Box::new(Dialog::Preview(preview)));
    }
    let text = if staged == 0 {
        format!(
            "nothing is staged: {} stages a change where it is shown first",
            data.keymap.first(Action::Stage)
        )
    } else {
        "nothing that was staged fits what there is now: it is discarded".to_owned()
    };
    data.say(NoticeTone::Warning, text);
    Outcome::Done
}

/// What takes the last change back; first it is shown.
pub fn for_undo(data: &mut Data) -> Outcome {
    if let Some(reason) = &data.identity.read_only {
        let text = format!("read-only: {reason}");
        data.say(NoticeTone::Warning, text);
        return Outcome::Done;
    }
    let Some(undo) = data.undos.last().cloned() else {
        data.say(NoticeTone::Warning, "nothing was changed from here that could be taken back");
        return Outcome::Done;
    };
    if let Some(preview) = Preview::of_services(data, undo.services.clone()) {
        return Outcome::Ask(Box::new(Dialog::Preview(preview.undoing(undo))));
    }
    data.undos.pop();
    data.say(
        NoticeTone::Error,
        format!("{} cannot be taken back: a service that it was done to is gone", undo.words),
    );
    Outcome::Done
}
