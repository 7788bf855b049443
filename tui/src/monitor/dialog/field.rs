//! A field that is typed into.

use ratatui::{
    crossterm::event::{Event, KeyEvent},
    style::Modifier,
    text::Line,
};
use tui_input::{Input, backend::crossterm::EventHandler as _};

use crate::{monitor::widget::text::span, terminal::look::Look};

/// A label and what is typed behind it.
#[derive(Clone, Debug)]
pub struct Field {
    label: &'static str,
    input: Input,
}

impl Field {
    /// A field that says `value` at first.
    #[must_use]
    pub fn new(label: &'static str, value: impl Into<String>) -> Self {
        Self { label, input: Input::new(value.into()) }
    }

    /// What it says.
    #[must_use]
    pub fn value(&self) -> &str {
        self.input.value().trim()
    }

    /// What it says, with the blanks at its ends.
    #[must_use]
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// Has it say something else.
    pub fn set(&mut self, value: impl Into<String>) {
        self.input = Input::new(value.into());
    }

    /// Takes a key.
    pub fn type_key(&mut self, key: KeyEvent) {
        self.input.handle_event(&Event::Key(key));
    }

    /// As a line of a dialog; the cursor is a cell of it.
    #[must_use]
    pub fn line(&self, focused: bool, width: usize, look: &Look) -> Line<'static> {
        let mut spans = vec![
            span(if focused { look.either("› ", "> ") } else { "  " }.to_owned(), look.accent()),
            span(format!("{:<9}", self.label), look.heading()),
        ];
        let skipped = self.input.visual_scroll(width);
        let mut characters: Vec<char> = self.input.value().chars().skip(skipped).collect();
        characters.push(' ');
        for (index, character) in characters.into_iter().enumerate() {
            let mut style = look.text().add_modifier(Modifier::UNDERLINED);
            if focused && index + skipped == self.input.cursor() {
                style = style.add_modifier(Modifier::REVERSED);
            }
            spans.push(span(character.to_string(), style));
        }
        Line::from(spans)
    }
}
