//! The slots that are hit most, with what they are of their service's and of their owner's packets.

use std::time::Duration;

use maglev_core::elephant::{self, HotSlot};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::Line,
};

use super::{Component, Outcome, backends::mark};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        dialog,
        list::{List, Listed, Order, Value, steps},
        number::{count, percent, short},
        slots::search::{self, Found},
        widget::{
            table::{self, Column, Rows},
            text::{line, span, split_bottom, wrap},
        },
    },
    terminal::look::Look,
};

/// How many are listed.
const LISTED: usize = 100;

/// The view of the hot slots.
#[derive(Clone, Debug, Default)]
pub struct Hot {
    list: List,
    rows: Vec<Row>,
    /// The slot that is chosen; the hottest where none is.
    chosen: Option<u32>,
}

/// One slot.
#[derive(Clone, Debug)]
struct Row {
    hot: HotSlot,
    owner: Option<String>,
    colour: usize,
    letter: char,
    settling: bool,
}

impl Row {
    fn owner(&self) -> &str {
        self.owner.as_deref().unwrap_or("nobody")
    }

    /// What it is, in words that need no colour.
    fn words(&self) -> &'static str {
        match (self.hot.is_elephant, self.settling) {
            (true, true) => "ELEPHANT, settling",
            (true, false) => "ELEPHANT",
            (false, true) => "settling",
            (false, false) => "",
        }
    }
}

/// What rows can be sorted by.
fn orders<'a>() -> Vec<Order<&'a Row>> {
    type Read<'a> = fn(&&'a Row) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    vec![
        order("SLOT", |row| Value::Number(Some(f64::from(row.hot.slot)))),
        order("OWNER", |row| Value::Text(row.owner().to_owned())),
        order("PKT/S", |row| Value::Number(Some(row.hot.rate))),
        order("OF SERVICE", |row| Value::Number(Some(row.hot.share))),
        order("OF OWNER", |row| Value::Number(Some(row.hot.share_of_owner))),
        order("WHAT", |row| Value::Text(row.words().to_owned())),
    ]
}

fn columns<'a>() -> Vec<Column<&'a Row>> {
    type Cell<'a> = fn(&&'a Row, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, grows, cell: Cell<'a>| Column { title, width, number: false, grows, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        number("SLOT", 9, 0, |row, look, _| span(count(u64::from(row.hot.slot)), look.text()).into()),
        text("OWNER", 22, 1, false, |row, look, _| {
            let name = span(format!(" {}", row.owner()), look.text());
            Line::from(vec![mark(row.colour, row.letter, look), name])
        }),
        number("PKT/S", 6, 2, |row, look, _| span(short(row.hot.rate), look.text()).into()),
        number("OF SERVICE", 10, 3, |row, look, _| span(percent(row.hot.share, 1.0), look.text()).into()),
        number("OF OWNER", 8, 4, |row, look, _| {
            span(percent(row.hot.share_of_owner, 1.0), look.text()).into()
        }),
        text("WHAT", 18, 5, true, |row, look, _| {
            let style = if row.hot.is_elephant { look.warning() } else { look.draining() };
            span(row.words(), style).into()
        }),
    ]
}

/// Where the table goes, and the words below it.
fn parts(area: Rect) -> (Rect, Rect) {
    split_bottom(area, if area.height >= 10 { 4 } else { 0 })
}

impl Component for Hot {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        if let Some(steps) = steps(action, data.size.height) {
            let from = self.list.shown().get(self.position()).cloned();
            let to = self.list.step(from.as_deref(), steps);
            // The first one is not held on to: what becomes the hottest is chosen then.
            let to = to.filter(|name| self.list.shown().first() != Some(name));
            self.chosen = to.and_then(|name| name.parse().ok());
            return Outcome::Done;
        }
        match action {
            Action::Open => {
                let slot = self.row().map(|row| row.hot.slot);
                match slot.zip(data.service.clone()) {
                    Some((slot, service)) => Outcome::Find(Found { service, slot, flow: None }),
                    None => Outcome::Done,
                }
            }
            _ => dialog::for_backend(action, data, self.subject(data).as_deref()),
        }
    }

    fn refresh(&mut self, data: &Data) {
        let rates = data.service_history().map_or(&[][..], |history| history.slots.rates());
        self.rows = data.service().map_or_else(Vec::new, |service| {
            let hottest = elephant::hottest(&service.slots.owner, rates, LISTED);
            let row = |hot: HotSlot| {
                let index = hot.slot as usize;
                let owner = service.slots.owner.get(index).and_then(|id| data.backend_of(*id));
                let owner = owner.map(|owner| owner.name.clone());
                let name = owner.as_deref().unwrap_or_default();
                Row {
                    colour: data.colours.number(name),
                    letter: data.colours.letter(name),
                    settling: service.slots.previous.get(index).is_some_and(|previous| !previous.is_none()),
                    hot,
                    owner,
                }
            };
            hottest.into_iter().map(row).collect()
        });
        let listed = self.rows.iter().map(|row| Listed {
            name: row.hot.slot.to_string(),
            text: format!("{} {} {}", row.hot.slot, row.owner(), row.words()),
            row,
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        self.list.refresh(listed.collect(), &orders(), now);
    }

    fn list(&self) -> Option<&List> {
        Some(&self.list)
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        Some(&mut self.list)
    }

    fn subject(&self, _data: &Data) -> Option<String> {
        self.row().and_then(|row| row.owner.clone())
    }

    fn copied(&self, data: &Data) -> Option<String> {
        let row = self.row()?;
        Some(format!(
            "slot {} of {}: {} packets a second, {} of the service's, {} of {}'s",
            row.hot.slot,
            data.service.as_deref().unwrap_or_default(),
            short(row.hot.rate),
            percent(row.hot.share, 1.0),
            percent(row.hot.share_of_owner, 1.0),
            row.owner(),
        ))
    }

    fn click(&mut self, place: Position, area: Rect, _data: &mut Data) {
        let row = table::row_at(self.shown_rows(), parts(area).0, place.y);
        let name = row.and_then(|row| self.list.shown().get(row).cloned());
        if let Some(name) = self.list.step(name.as_deref(), 0).filter(|_| name.is_some()) {
            self.chosen = name.parse().ok();
        }
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let Some(service) = data.service() else {
            line(span(" no service", look.faint()), area, buffer);
            return;
        };
        let (top, bottom) = parts(area);
        if self.rows.is_empty() {
            let why = search::why_no_slot_is_hottest(data).unwrap_or_else(|| "no slot is hit".to_owned());
            line(span(format!(" {why}"), look.faint()), top, buffer);
            return;
        }
        let shown = self.list.shown();
        let row = |index: usize| {
            let name = shown.get(index)?;
            self.rows.iter().find(|row| row.hot.slot.to_string() == *name)
        };
        table::draw(&columns(), self.shown_rows(), row, look, top, buffer);
        let listed: f64 = self.rows.iter().map(|row| row.hot.share).sum();
        let elephants = self.rows.iter().filter(|row| row.hot.is_elephant).count() as u64;
        let words = format!(
            "The {} hottest of {} slots have {} of the packets; {} (ELEPHANT: {} of them or more). A slot is hit by all flows that fall into it. Enter goes to the slot.",
            self.rows.len(),
            count(service.slots.len() as u64),
            percent(listed, 1.0),
            match elephants {
                0 => "none is an elephant".to_owned(),
                1 => "1 is an elephant".to_owned(),
                several => format!("{several} are elephants"),
            },
            percent(elephant::elephant_share(service.slots.len()), 1.0),
        );
        let mut rest = line("", bottom, buffer);
        for text in wrap(&words, rest.width.saturating_sub(2)) {
            rest = line(span(format!(" {text}"), look.faint()), rest, buffer);
        }
    }
}

impl Hot {
    /// Where the chosen one stands; at the top where none is chosen, or it is not among them any more.
    fn position(&self) -> usize {
        let place = |slot: u32| self.list.shown().iter().position(|name| *name == slot.to_string());
        self.chosen.and_then(place).unwrap_or(0)
    }

    fn row(&self) -> Option<&Row> {
        let name = self.list.shown().get(self.position())?;
        self.rows.iter().find(|row| row.hot.slot.to_string() == *name)
    }

    fn shown_rows(&self) -> Rows {
        let count = self.list.shown().len();
        Rows { count, selected: (count > 0).then(|| self.position()), sorted: self.list.sorted() }
    }
}
