//! Dialogs. Each is bound to a service and a backend by name from the moment it opens, whatever the rows do meanwhile.

pub mod add;
pub mod field;
pub mod filter;
pub mod palette;
pub mod panel;
pub mod preview;
pub mod search;
pub mod weight;

use maglev_core::change::Change;
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
use crate::terminal::look::Look;

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
    /// It is over: that is to be done.
    Chosen(Choice),
    /// It is over: rows that hold these words are shown.
    Filter(String),
}

impl Dialog {
    /// The contexts of every dialog.
    pub const CONTEXTS: [&[Context]; 6] = [
        Preview::CONTEXTS,
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
            Self::Preview(_) => Preview::CONTEXTS,
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

/// What an action does to the backend of that name in the chosen service; first it is asked, or shown.
pub fn for_backend(action: Action, data: &mut Data, backend: Option<&str>) -> Outcome {
    let known =
        matches!(action, Action::Add | Action::Drain | Action::Undrain | Action::Remove | Action::Weight);
    if !known {
        return Outcome::Ignored;
    }
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
    let dialog = match (action, member) {
        (Action::Add, _) => Some(Dialog::Add(AddForm::new(data, &name))),
        (Action::Weight, Some(member)) => Some(Dialog::Weight(WeightForm::new(&name, member))),
        (Action::Drain, Some(member)) => {
            Preview::new(data, &name, vec![Change::Drain(member.name.clone())]).map(Dialog::Preview)
        }
        (Action::Undrain, Some(member)) => {
            Preview::new(data, &name, vec![Change::Undrain(member.name.clone())]).map(Dialog::Preview)
        }
        (Action::Remove, Some(member)) => {
            Preview::new(data, &name, vec![Change::Remove(member.name.clone())]).map(Dialog::Preview)
        }
        _ => None,
    };
    if let Some(dialog) = dialog {
        return Outcome::Ask(Box::new(dialog));
    }
    data.say(NoticeTone::Warning, "no backend is chosen");
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
    if let Some(preview) = Preview::new(data, &undo.service, undo.changes.clone()) {
        return Outcome::Ask(Box::new(Dialog::Preview(preview.undoing(undo))));
    }
    data.undos.pop();
    data.say(
        NoticeTone::Error,
        format!("{} cannot be taken back: service {} is gone", undo.words, undo.service),
    );
    Outcome::Done
}
