//! Which rows of a list to show.

use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect, text::Line};

use super::{Answer, field::Field, panel};
use crate::{
    monitor::{
        action::{Action, Context},
        widget::text::{span, split_bottom},
    },
    terminal::look::Look,
};

/// The form for the words that rows hold. The list follows what is typed at once.
#[derive(Clone, Debug)]
pub struct FilterForm {
    service: String,
    wanted: Field,
    before: String,
}

impl FilterForm {
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Filter, Context::Always];

    /// A form for a list that has that filter, while that service is chosen.
    #[must_use]
    pub fn new(service: &str, before: &str) -> Self {
        Self { service: service.to_owned(), wanted: Field::new("rows", before), before: before.to_owned() }
    }

    /// The words typed so far.
    #[must_use]
    pub fn words(&self) -> &str {
        self.wanted.value()
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn act(&self, action: Action) -> Answer {
        match action {
            Action::Accept => Answer::Filter(self.words().to_owned()),
            Action::Cancel => Answer::Filter(self.before.clone()),
            _ => Answer::Stay,
        }
    }

    pub(super) fn type_key(&mut self, key: KeyEvent) {
        self.wanted.type_key(key);
    }

    pub(super) fn draw(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        // At the bottom: the rows that it leaves are to be seen.
        let (_, bottom) = split_bottom(area, 6);
        let lines: Vec<Line<'_>> = vec![
            self.wanted.line(true, 40, look),
            Line::default(),
            span("Rows that hold these words are shown.", look.faint()).into(),
        ];
        panel::draw("Filter", lines, &[], look, bottom, buffer);
    }
}
