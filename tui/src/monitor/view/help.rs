//! The keys, from the table that they are dispatched by.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{Component, Outcome};
use crate::{
    monitor::{
        action::{Action, BINDINGS, Context, sections},
        data::Data,
        keymap::Keymap,
        widget::text::{line, span},
    },
    terminal::look::Look,
};

/// The view of the keys.
#[derive(Clone, Debug, Default)]
pub struct Help {
    first: usize,
}

fn lines(keymap: &Keymap, look: &Look) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (context, bindings) in sections() {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(span(format!(" {}", context.title()), look.heading()).into());
        for binding in bindings {
            lines.push(Line::from(vec![
                span(format!("  {:<13}", keymap.shown(binding)), look.accent()),
                span(binding.description, look.text()),
                span(binding.also(), look.faint()),
                span(if binding.changes { " (shown first)" } else { "" }, look.faint()),
            ]));
        }
    }
    lines
}

impl Help {
    fn last(look_height: u16) -> usize {
        let count = BINDINGS.len() + 2 * Context::ALL.len();
        count.saturating_sub(usize::from(look_height.max(1)))
    }
}

impl Component for Help {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let height = data.size.height.saturating_sub(4);
        let page = usize::from(height.max(1));
        let to = match action {
            Action::Up => self.first.saturating_sub(1),
            Action::Down => self.first + 1,
            Action::PageUp => self.first.saturating_sub(page),
            Action::PageDown => self.first + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            _ => return Outcome::Ignored,
        };
        self.first = to.min(Self::last(height));
        Outcome::Done
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let mut rest = area;
        for text in lines(&data.keymap, look).into_iter().skip(self.first) {
            if rest.is_empty() {
                break;
            }
            rest = line(text, rest, buffer);
        }
    }
}
