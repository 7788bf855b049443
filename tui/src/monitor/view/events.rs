//! Every change: when, who, what, and what it moved beside what had to move. The latest stands first.

use std::time::{Duration, SystemTime};

use maglev_core::sample::Event;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::Line,
};

use super::{Component, Outcome};
use crate::{
    monitor::{
        action::Action,
        data::{Data, clock},
        list::{List, Listed, Order, Value, steps},
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
    list: List,
    /// The number of the chosen one; the latest where none is chosen.
    chosen: Option<u64>,
}

/// What rows can be sorted by.
fn orders<'a>() -> Vec<Order<&'a Event>> {
    type Read<'a> = fn(&&'a Event) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    vec![
        order("NR", |event| Value::Number(u32::try_from(event.sequence).ok().map(f64::from))),
        order("TIME UTC", |event| {
            let since = event.at.duration_since(SystemTime::UNIX_EPOCH).ok();
            Value::Number(since.map(|since| since.as_secs_f64()))
        }),
        order("WHAT", |event| Value::Text(event.action.clone())),
        order("SERVICE", |event| Value::Text(event.service.clone())),
        order("BACKEND", |event| Value::Text(event.backend.clone())),
        order("MOVED", |event| Value::Number(Some(f64::from(event.moved)))),
        order("MINIMUM", |event| Value::Number(Some(f64::from(event.minimum)))),
        order("EXCESS", |event| Value::Number(Some(f64::from(event.moved.saturating_sub(event.minimum))))),
        order("WHO", |event| Value::Text(event.actor.clone())),
    ]
}

/// Every change, the latest first.
fn latest_first(data: &Data) -> impl Iterator<Item = &Event> {
    data.sample.as_ref().map_or(&[][..], |sample| &sample.events).iter().rev()
}

/// How wide a column of words is for the longest of them.
fn width(data: &Data, least: usize, most: usize, word: fn(&Event) -> &str) -> u16 {
    let longest = latest_first(data).map(|event| word(event).chars().count()).max().unwrap_or(0);
    u16::try_from(longest.clamp(least, most)).unwrap_or(u16::MAX)
}

fn columns<'a>(data: &Data) -> Vec<Column<&'a Event>> {
    type Cell<'a> = fn(&&'a Event, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        number("NR", 4, 8, |event, look, _| span(event.sequence.to_string(), look.faint()).into()),
        text("TIME UTC", 8, 3, |event, look, _| span(clock(event.at), look.text()).into()),
        text("WHAT", width(data, 8, 11, |event| &event.action), 0, |event, look, _| {
            span(event.action.clone(), look.accent()).into()
        }),
        text("SERVICE", width(data, 10, 24, |event| &event.service), 4, |event, look, _| {
            span(event.service.clone(), look.text()).into()
        }),
        text("BACKEND", width(data, 10, 24, |event| &event.backend), 1, |event, look, _| {
            span(event.backend.clone(), look.text()).into()
        }),
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
    fn rows(&self) -> Rows {
        Rows { count: self.list.shown().len(), selected: Some(self.position()), sorted: self.list.sorted() }
    }

    /// Where the chosen one stands; at the top where none is chosen.
    fn position(&self) -> usize {
        let place = |chosen: u64| self.list.shown().iter().position(|name| *name == chosen.to_string());
        self.chosen.and_then(place).unwrap_or(0)
    }
}

impl Component for Events {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let Some(steps) = steps(action, data.size.height) else { return Outcome::Ignored };
        let from = self.list.shown().get(self.position()).cloned();
        let to = self.list.step(from.as_deref(), steps);
        // The first one is not held on to: new ones then come in above the choice.
        let to = to.filter(|name| self.list.shown().first() != Some(name));
        self.chosen = to.and_then(|name| name.parse().ok());
        Outcome::Done
    }

    fn list(&self) -> Option<&List> {
        Some(&self.list)
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        Some(&mut self.list)
    }

    fn copied(&self, data: &Data) -> Option<String> {
        let sequence: u64 = self.list.shown().get(self.position())?.parse().ok()?;
        let event = latest_first(data).find(|event| event.sequence == sequence)?;
        Some(format!(
            "{} {} {} {}: moved {} of at least {}, by {}",
            clock(event.at),
            event.action,
            event.service,
            event.backend,
            event.moved,
            event.minimum,
            event.actor
        ))
    }

    fn click(&mut self, place: Position, area: Rect, _data: &mut Data) {
        let row = table::row_at(self.rows(), area, place.y);
        let name = row.and_then(|row| self.list.shown().get(row).cloned());
        if let Some(name) = self.list.step(name.as_deref(), 0).filter(|_| name.is_some()) {
            self.chosen = name.parse().ok();
        }
    }

    fn refresh(&mut self, data: &Data) {
        let rows = latest_first(data).map(|event| Listed {
            name: event.sequence.to_string(),
            text: format!(
                "{} {} {} {} {} {}",
                clock(event.at),
                event.action,
                event.service,
                event.backend,
                event.actor,
                event.detail
            ),
            row: event,
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        self.list.refresh(rows.collect(), &orders(), now);
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        if latest_first(data).next().is_none() {
            line(span(" nothing was changed yet", look.faint()), area, buffer);
            return;
        }
        let shown = self.list.shown();
        let row = |index: usize| {
            let sequence: u64 = shown.get(index)?.parse().ok()?;
            latest_first(data).find(|event| event.sequence == sequence)
        };
        table::draw(&columns(data), self.rows(), row, look, area, buffer);
    }
}
