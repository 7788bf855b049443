//! The services, and what becomes of packets that are for none.

use std::time::Duration;

use maglev_core::sample::ServiceSample;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::Line,
};

use super::{Component, Outcome, ViewName};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        history::{Rates, Track},
        list::{List, Listed, Order, Value},
        number::{count, rate, several},
        widget::{
            graph::sparkline,
            table::{self, Column, Rows},
            text::{line, span, split_bottom},
        },
    },
    terminal::look::Look,
};

/// The view of the services.
#[derive(Clone, Debug, Default)]
pub struct Services {
    list: List,
}

struct Row<'a> {
    service: &'a ServiceSample,
    track: Option<&'a Track>,
    rates: Option<Rates>,
}

impl<'a> Row<'a> {
    fn of(data: &'a Data, service: &'a ServiceSample) -> Self {
        let track = data.history.service(&service.name).map(|history| history.track);
        Self { service, track, rates: track.and_then(Track::latest) }
    }
}

/// What rows can be sorted by.
fn orders<'a>() -> Vec<Order<Row<'a>>> {
    type Read<'a> = fn(&Row<'a>) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    vec![
        order("SERVICE", |row| Value::Text(row.service.name.clone())),
        order("ADDRESS", |row| Value::Text(row.service.address.to_string())),
        order("PROT", |row| Value::Text(row.service.protocol.word().to_owned())),
        order("ACTIVE", |row| whole(active(row.service))),
        order("SLOTS", |row| whole(row.service.slots.len())),
        order("SETTLING", |row| whole(row.service.slots.settling())),
        order("PKT/S", |row| Value::Number(row.rates.map(|rates| rates.packets))),
        order("BIT/S", |row| Value::Number(row.rates.map(|rates| rates.bits))),
        order("NEW/S", |row| Value::Number(row.rates.map(|rates| rates.new_connections))),
        order("HELD/S", |row| Value::Number(row.rates.map(|rates| rates.held_packets))),
        order("TREND", |row| Value::Number(row.track.and_then(Track::trend))),
    ]
}

fn whole(value: usize) -> Value {
    Value::Number(u32::try_from(value).ok().map(f64::from))
}

fn active(service: &ServiceSample) -> usize {
    service.backends.iter().filter(|backend| backend.gets_flows()).count()
}

fn columns<'a>(name: u16) -> Vec<Column<Row<'a>>> {
    type Cell<'a> = fn(&Row<'a>, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        text("SERVICE", name, 0, |row, look, _| span(row.service.name.clone(), look.text()).into()),
        text("ADDRESS", 15, 6, |row, look, _| span(row.service.address.to_string(), look.text()).into()),
        text("PROT", 4, 9, |row, look, _| span(row.service.protocol.word(), look.text()).into()),
        number("ACTIVE", 6, 3, |row, look, _| {
            let backends = &row.service.backends;
            let active = active(row.service);
            let style = if active == 0 { look.error() } else { look.text() };
            span(format!("{active}/{}", backends.len()), style).into()
        }),
        number("SLOTS", 7, 10, |row, look, _| {
            span(count(row.service.slots.len() as u64), look.text()).into()
        }),
        number("SETTLING", 8, 4, |row, look, _| {
            let settling = row.service.slots.settling() as u64;
            let style = if settling == 0 { look.faint() } else { look.draining() };
            span(count(settling), style).into()
        }),
        number("PKT/S", 5, 1, |row, look, _| span(rate(row.rates.map(|r| r.packets)), look.text()).into()),
        number("BIT/S", 5, 5, |row, look, _| span(rate(row.rates.map(|r| r.bits)), look.text()).into()),
        number("NEW/S", 5, 2, |row, look, _| {
            span(rate(row.rates.map(|r| r.new_connections)), look.text()).into()
        }),
        number("HELD/S", 6, 8, |row, look, _| {
            span(rate(row.rates.map(|r| r.held_packets)), look.text()).into()
        }),
        Column {
            title: "TREND",
            width: 8,
            number: false,
            grows: true,
            rank: 7,
            cell: |row, look, width| {
                let values: Vec<Option<f64>> = row
                    .track
                    .iter()
                    .flat_map(|track| track.last(usize::from(width)))
                    .map(|r| r.map(|r| r.packets))
                    .collect();
                sparkline(&values, width, look.faint(), look)
            },
        },
    ]
}

impl Component for Services {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let page = isize::try_from(data.size.height / 2).unwrap_or(1);
        let steps = match action {
            Action::Up => -1,
            Action::Down => 1,
            Action::PageUp => -page,
            Action::PageDown => page,
            Action::First => isize::MIN,
            Action::Last => isize::MAX,
            Action::Open => return Outcome::Go(ViewName::Backends),
            _ => return Outcome::Ignored,
        };
        if let Some(service) = self.list.step(data.service.as_deref(), steps) {
            data.service = Some(service);
            data.keep_choice();
        }
        Outcome::Done
    }

    fn list(&self) -> Option<&List> {
        Some(&self.list)
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        Some(&mut self.list)
    }

    fn copied(&self, data: &Data) -> Option<String> {
        data.service().map(|service| service.address.to_string())
    }

    fn click(&mut self, place: Position, area: Rect, data: &mut Data) {
        let (table, _) = parts(data.services(), area);
        let row = table::row_at(self.rows(data), table, place.y);
        let name = row.and_then(|row| self.list.shown().get(row).cloned());
        if let Some(service) = self.list.step(name.as_deref(), 0).filter(|_| name.is_some()) {
            data.service = Some(service);
            data.keep_choice();
        }
    }

    fn refresh(&mut self, data: &Data) {
        let rows = data.services().iter().map(|service| Listed {
            name: service.name.clone(),
            text: format!("{} {} {}", service.name, service.address, service.protocol.word()),
            row: Row::of(data, service),
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        self.list.refresh(rows.collect(), &orders(), now);
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let services = data.services();
        let shown = self.list.shown();
        let (top, bottom) = parts(services, area);
        let row = |index: usize| {
            let name = shown.get(index)?;
            Some(Row::of(data, services.iter().find(|service| service.name == *name)?))
        };
        let name =
            services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0).clamp(7, 20);
        table::draw(&columns(u16::try_from(name).unwrap_or(20)), self.rows(data), row, look, top, buffer);
        verdicts(data, look, bottom, buffer);
    }
}

impl Services {
    fn rows(&self, data: &Data) -> Rows {
        let shown = self.list.shown();
        let selected = shown.iter().position(|name| Some(name) == data.service.as_ref());
        Rows { count: shown.len(), selected, sorted: self.list.sorted() }
    }
}

/// Where the table goes, and the verdicts below it.
fn parts(services: &[ServiceSample], area: Rect) -> (Rect, Rect) {
    let wanted = u16::try_from(services.len() + 2).unwrap_or(u16::MAX);
    let words = if area.height >= 10 { 5 } else { 0 };
    split_bottom(area, area.height.saturating_sub(wanted).max(words))
}

/// What became of packets, word by word; and what could not be remembered, for that is a loss that nothing else tells.
fn verdicts(data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let Some(sample) = &data.sample else { return };
    let mut rest = area;
    for service in sample.services.iter().filter(|service| service.unremembered > 0) {
        let text = format!(
            " {}: {} could not be remembered and went to the owner before",
            service.name,
            several(service.unremembered, "new connection", "new connections")
        );
        rest = line(span(text, look.warning()), rest, buffer);
    }
    rest = line(span(" VERDICT                    PACKETS      PKT/S", look.heading()), rest, buffer);
    for ((word, packets), per_second) in sample.verdicts.iter().zip(&data.history.verdicts) {
        let text = format!(" {word:<20} {:>13} {:>10}", count(*packets), rate(*per_second));
        rest = line(span(text, look.text()), rest, buffer);
    }
}
