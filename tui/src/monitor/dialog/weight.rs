//! Another weight for a backend.

use maglev_core::{change::Change, sample::BackendSample};
use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect, text::Line};

use super::{Answer, Dialog, field::Field, panel, preview::Preview};
use crate::{
    monitor::{
        action::{Action, Context},
        data::Data,
        widget::text::{span, wrap},
    },
    terminal::look::Look,
};

/// The form for a weight.
#[derive(Clone, Debug)]
pub struct WeightForm {
    service: String,
    backend: String,
    weight: Field,
    error: Option<String>,
}

impl WeightForm {
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Form, Context::Always];

    /// For that backend of that service.
    #[must_use]
    pub fn new(service: &str, backend: &BackendSample) -> Self {
        Self {
            service: service.to_owned(),
            backend: backend.name.clone(),
            weight: Field::new("weight", backend.weight.to_string()),
            error: None,
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    pub(super) fn act(&mut self, action: Action, data: &Data) -> Answer {
        match action {
            Action::Accept => {}
            Action::Cancel => return Answer::Close,
            _ => return Answer::Stay,
        }
        match parse_weight(self.weight.value()) {
            Ok(weight) => {
                let change = Change::SetWeight(self.backend.clone(), weight);
                Preview::new(data, &self.service, vec![change])
                    .map_or(Answer::Close, |preview| Answer::Next(Box::new(Dialog::Preview(preview))))
            }
            Err(error) => {
                self.error = Some(error);
                Answer::Stay
            }
        }
    }

    pub(super) fn type_key(&mut self, key: KeyEvent) {
        self.error = None;
        self.weight.type_key(key);
    }

    pub(super) fn draw(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        let mut lines: Vec<Line<'_>> = vec![self.weight.line(true, 20, look), Line::default()];
        if let Some(error) = &self.error {
            lines.extend(wrap(error, 50).into_iter().map(|text| span(text, look.error()).into()));
        } else {
            lines.push(span("1 to 65,535. Enter shows what it moves, Esc leaves.", look.faint()).into());
        }
        panel::draw(
            &format!("Weight of {} in {}", self.backend, self.service),
            lines,
            &[],
            look,
            area,
            buffer,
        );
    }
}

/// The weight that a text stands for.
///
/// # Errors
///
/// When it stands for none; in words.
pub fn parse_weight(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(0) => Err("a weight is at least 1; for no new connections, drain the backend".to_owned()),
        Ok(weight) => Ok(weight),
        Err(_) => Err(format!("{text:?} is no weight: write a whole number from 1 to 65535")),
    }
}
