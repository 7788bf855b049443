//! Every change: when, who, what, and what it moved beside what had to move. The latest stands first.

use maglev_core::sample::Event;
use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{Component, Outcome};
use crate::{
    monitor::{
        action::Action,
        data::{Data, clock},
        number::count,
        widget::{
            table::{self, Column, Rows},
            text::{line, span},
        },
    },
    terminal::look::Look,
};

/// The view of the changes.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// The number of the chosen one; the latest where none is chosen.
    chosen: Option<u64>,
}

fn columns<'a>() -> Vec<Column<&'a Event>> {
    type Cell<'a> = fn(&&'a Event, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        number("NR", 4, 8, |event, look, _| span(event.sequence.to_string(), look.faint()).into()),
        text("TIME UTC", 8, 3, |event, look, _| span(clock(event.at), look.text()).into()),
        text("WHAT", 8, 0, |event, look, _| span(event.action.clone(), look.accent()).into()),
        text("SERVICE", 10, 4, |event, look, _| span(event.service.clone(), look.text()).into()),
        text("BACKEND", 10, 1, |event, look, _| span(event.backend.clone(), look.text()).into()),
        number("MOVED", 7, 2, |event, look, _| span(count(u64::from(event.moved)), look.text()).into()),
        number("MINIMUM", 7, 5, |event, look, _| span(count(u64::from(event.minimum)), look.faint()).into()),
        number("EXCESS", 6, 6, |event, look, _| {
            // What had to move had to; the rest is what Maglev moves beside it.
            let excess = event.moved.saturating_sub(event.minimum);
            span(count(u64::from(excess)), look.text()).into()
        }),
        Column {
            title: "WHO",
            width: 8,
            number: false,
            grows: true,
            rank: 7,
            cell: |event, look, _| {
                let detail =
                    if event.detail.is_empty() { String::new() } else { format!(" ({})", event.detail) };
                span(format!("{}{detail}", event.actor), look.text()).into()
            },
        },
    ]
}

impl Events {
    /// How far from the latest the chosen one stands.
    fn position(&self, events: &[Event]) -> usize {
        let chosen = |chosen: u64| events.iter().rev().position(|event| event.sequence == chosen);
        self.chosen.and_then(chosen).unwrap_or(0)
    }
}

impl Component for Events {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let events = data.sample.as_ref().map_or(&[][..], |sample| &sample.events);
        let page = usize::from(data.size.height / 2);
        let at = self.position(events);
        let to = match action {
            Action::Up => at.saturating_sub(1),
            Action::Down => at + 1,
            Action::PageUp => at.saturating_sub(page),
            Action::PageDown => at + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            _ => return Outcome::Ignored,
        };
        let to = to.min(events.len().saturating_sub(1));
        // The first one is not held on to: new ones then come in above the choice.
        self.chosen = (to > 0).then(|| events.iter().rev().nth(to).map(|event| event.sequence)).flatten();
        Outcome::Done
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let events = data.sample.as_ref().map_or(&[][..], |sample| &sample.events);
        if events.is_empty() {
            line(span(" nothing was changed yet", look.faint()), area, buffer);
            return;
        }
        let rows = Rows { count: events.len(), selected: Some(self.position(events)) };
        table::draw(&columns(), rows, |index| events.iter().rev().nth(index), look, area, buffer);
    }
}
