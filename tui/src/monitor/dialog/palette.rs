//! What to do, by its name.

use ratatui::{
    buffer::Buffer,
    crossterm::event::KeyEvent,
    layout::Rect,
    text::{Line, Span},
};

use super::{Answer, field::Field, panel};
use crate::{
    monitor::{
        action::{Action, Context},
        command::{Command, Does, Entry, Offers},
        widget::text::span,
    },
    terminal::look::Look,
};

/// How many lines are offered at once, where there is room for them.
const LINES: u16 = 12;

/// How wide the offers are, where there is room.
const WIDTH: u16 = 76;

/// What was chosen, and the service and backend that were chosen when the palette opened: what changes something is
/// done to those or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is to be done.
    pub command: Command,
    /// The service.
    pub service: Option<String>,
    /// The backend.
    pub backend: Option<String>,
}

/// The form for what to do.
#[derive(Clone, Debug)]
pub struct PaletteForm {
    wanted: Field,
    offers: Offers,
    answers: Vec<Entry>,
    chosen: usize,
    error: Option<String>,
    service: Option<String>,
    backend: Option<String>,
}

impl PaletteForm {
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Palette, Context::Always];

    /// A palette of those offers, while that service and that backend are chosen.
    #[must_use]
    pub fn new(offers: Offers, service: Option<String>, backend: Option<String>) -> Self {
        let answers = offers.answers("");
        Self { wanted: Field::new(":", ""), offers, answers, chosen: 0, error: None, service, backend }
    }

    pub(super) fn target(&self) -> (&str, Vec<&str>) {
        (self.service.as_deref().unwrap_or_default(), self.backend.as_deref().into_iter().collect())
    }

    pub(super) fn act(&mut self, action: Action) -> Answer {
        match action {
            Action::Cancel => return Answer::Close,
            Action::Up => self.chosen = self.chosen.saturating_sub(1),
            Action::Down => self.chosen = (self.chosen + 1).min(self.answers.len().saturating_sub(1)),
            Action::Complete => {
                if let Some(entry) = self.answers.get(self.chosen) {
                    let text = match &entry.does {
                        Does::More(text) => text.clone(),
                        Does::Run(_) | Does::Refused(_) => entry.name.clone(),
                    };
                    self.type_text(text);
                }
            }
            Action::Accept => return self.accept(),
            _ => {}
        }
        Answer::Stay
    }

    fn accept(&mut self) -> Answer {
        let does = self.answers.get(self.chosen).map(|entry| entry.does.clone());
        match does {
            Some(Does::Run(command)) => {
                let (service, backend) = (self.service.clone(), self.backend.clone());
                return Answer::Chosen(Choice { command, service, backend });
            }
            Some(Does::Refused(reason)) => self.error = Some(reason),
            Some(Does::More(text)) => self.type_text(text),
            None => self.error = Some(format!("nothing here is called {:?}", self.wanted.value())),
        }
        Answer::Stay
    }

    fn type_text(&mut self, text: String) {
        self.wanted.set(text);
        self.find();
    }

    pub(super) fn type_key(&mut self, key: KeyEvent) {
        self.wanted.type_key(key);
        self.find();
    }

    fn find(&mut self) {
        self.error = None;
        self.chosen = 0;
        self.answers = self.offers.answers(self.wanted.text());
    }

    pub(super) fn draw(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        let width = usize::from(WIDTH.min(area.width.saturating_sub(6)));
        let mut lines: Vec<Line<'_>> = vec![self.wanted.line(true, width.saturating_sub(13), look)];
        if let Some(error) = &self.error {
            lines.push(span(cut(error, width), look.error()).into());
        }
        let rows = usize::from(LINES.min(area.height.saturating_sub(4))).max(1);
        let first = self.chosen.saturating_sub(rows.saturating_sub(1));
        let shown = self.answers.iter().enumerate().skip(first).take(rows);
        lines.extend(shown.map(|(index, entry)| row(entry, index == self.chosen, width, look)));
        // The box keeps its size while what is in it gets less.
        lines.resize(rows + 1 + usize::from(self.error.is_some()), Line::from(" ".repeat(width)));
        panel::draw("What to do", lines, &[], look, area, buffer);
    }
}

fn row(entry: &Entry, chosen: bool, width: usize, look: &Look) -> Line<'static> {
    let (name, keys) = (24, 12);
    let refused = matches!(entry.does, Does::Refused(_));
    let instead = if refused { "read-only" } else { &entry.keys };
    let mark = if chosen { look.either("› ", "> ") } else { "  " };
    let description = cut(&entry.description, width.saturating_sub(name + keys + 4));
    let style = |style| if chosen { look.selected() } else { style };
    let text = if refused { look.faint() } else { look.text() };
    let spans: Vec<Span<'static>> = vec![
        span(mark.to_owned(), look.accent()),
        span(cut(&format!("{:<name$} ", entry.name), width.saturating_sub(2)), style(text)),
        span(format!("{instead:<keys$} "), style(look.accent())),
        span(format!("{description:<0$}", width.saturating_sub(name + keys + 4)), style(look.faint())),
    ];
    Line::from(spans)
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}
