//! What to look for among the slots.

use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect, text::Line};

use super::{Answer, field::Field, panel};
use crate::{
    monitor::{
        action::{Action, Context},
        data::Data,
        slots::search,
        widget::text::{span, wrap},
    },
    terminal::look::Look,
};

/// The form for what to look for.
#[derive(Clone, Debug)]
pub struct SearchForm {
    service: String,
    wanted: Field,
    error: Option<String>,
    /// A client's flow is looked for, to be traced.
    for_trace: bool,
}

impl SearchForm {
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Search, Context::Always];

    /// Among the slots of that service.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self { service: service.to_owned(), wanted: Field::new("find", ""), error: None, for_trace: false }
    }

    /// A client's flow, to be traced.
    #[must_use]
    pub fn for_trace(service: &str) -> Self {
        Self { wanted: Field::new("flow", ""), for_trace: true, ..Self::new(service) }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn act(&mut self, action: Action, data: &Data) -> Answer {
        match action {
            Action::Accept => {}
            Action::Cancel => return Answer::Close,
            _ => return Answer::Stay,
        }
        if data.service.as_ref() != Some(&self.service) {
            self.error = Some(format!("service {} is gone", self.service));
            return Answer::Stay;
        }
        let wanted = self.wanted.value();
        let found = if self.for_trace { search::find_flow(data, wanted) } else { search::find(data, wanted) };
        match found {
            Ok(found) if self.for_trace => Answer::Trace(found),
            Ok(found) => Answer::Found(found),
            Err(error) => {
                self.error = Some(error);
                Answer::Stay
            }
        }
    }

    pub(super) fn type_key(&mut self, key: KeyEvent) {
        self.error = None;
        self.wanted.type_key(key);
    }

    pub(super) fn draw(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        let mut lines: Vec<Line<'_>> = vec![self.wanted.line(true, 44, look), Line::default()];
        let (text, style) = match &self.error {
            Some(error) => (error.as_str(), look.error()),
            None if self.for_trace => {
                ("A client's flow (1.2.3.4:5678): its packets are shown.", look.faint())
            }
            None => ("A slot (1234), a client's flow (1.2.3.4:5678), or a backend.", look.faint()),
        };
        lines.extend(wrap(text, 60).into_iter().map(|text| span(text, style).into()));
        let what = if self.for_trace { "Trace a flow to" } else { "Find a slot of" };
        panel::draw(&format!("{what} {}", self.service), lines, &[], look, area, buffer);
    }
}
