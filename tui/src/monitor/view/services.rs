//! The services, and what becomes of packets that are for none.

mod cilium;

use std::time::Duration;

use humansize::{BINARY, format_size};
use maglev_core::{cilium::Counted, sample::ServiceSample};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::Line,
};

use super::{Component, Outcome, ViewName, applicable::applies};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        history::{Rates, Track},
        list::{List, Listed, Order, Value, steps},
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

/// What is counted of any service.
fn counted(data: &Data) -> Counted {
    data.services().iter().map(ServiceSample::counted).max().unwrap_or(Counted::Everything)
}

/// Whether it is a Cilium node that is watched.
fn is_cilium(data: &Data) -> bool {
    data.sample.as_ref().is_some_and(|sample| sample.cilium.is_some())
}

/// What rows can be sorted by.
fn orders<'a>(data: &Data) -> Vec<Order<Row<'a>>> {
    type Read<'a> = fn(&Row<'a>) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    let mut orders = vec![
        order("SERVICE", |row| Value::Text(row.service.name.clone())),
        order("ADDRESS", |row| Value::Text(row.service.address.to_string())),
        order("PROT", |row| Value::Text(protocol(row.service).to_owned())),
        order("ACTIVE", |row| whole(active(row.service))),
        order("SLOTS", |row| whole(row.service.slots.len())),
        order("SETTLING", |row| whole(row.service.slots.settling())),
        order("PKT/S", |row| Value::Number(row.rates.map(|rates| rates.packets))),
        order("BIT/S", |row| Value::Number(row.rates.map(|rates| rates.bits))),
        order("NEW/S", |row| Value::Number(row.rates.map(|rates| rates.new_connections))),
        order("HELD/S", |row| Value::Number(row.rates.map(|rates| rates.held_packets))),
        order("TREND", |row| Value::Number(row.track.and_then(Track::trend))),
    ];
    if is_cilium(data) {
        orders.push(order("TYPE", |row| Value::Text(kind(row.service))));
        orders.push(order("MEMORY", |row| Value::Number(memory(row.service).map(f64::from))));
        orders.push(order("TABLE", |row| {
            Value::Text(row.service.cilium.as_ref().map_or_else(String::new, |facts| cilium::table(facts)))
        }));
    }
    orders.retain(|order| applies(order.title, counted(data)));
    orders
}

/// The type that Cilium's service has.
fn kind(service: &ServiceSample) -> String {
    service.cilium.as_ref().map_or_else(String::new, |facts| facts.kind.to_string())
}

/// The memory that Cilium's table takes, in bytes.
fn memory(service: &ServiceSample) -> Option<u32> {
    u32::try_from(service.cilium.as_ref()?.table.as_ref()?.bytes).ok()
}

fn whole(value: usize) -> Value {
    Value::Number(u32::try_from(value).ok().map(f64::from))
}

/// Its protocol, of which Cilium has more.
fn protocol(service: &ServiceSample) -> &'static str {
    service.cilium.as_ref().map_or_else(|| service.protocol.word(), |facts| facts.protocol)
}

fn active(service: &ServiceSample) -> usize {
    service.backends.iter().filter(|backend| backend.gets_flows()).count()
}

fn columns<'a>(name: u16, data: &Data) -> Vec<Column<Row<'a>>> {
    type Cell<'a> = fn(&Row<'a>, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    // Of Cilium's there are more, of both families.
    let address = if is_cilium(data) { 21 } else { 15 };
    let mut columns = vec![
        text("SERVICE", name, 0, |row, look, _| span(row.service.name.clone(), look.text()).into()),
        text("ADDRESS", address, 6, |row, look, _| span(row.service.address.to_string(), look.text()).into()),
        text("PROT", 4, 9, |row, look, _| span(protocol(row.service), look.text()).into()),
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
    ];
    if is_cilium(data) {
        let cell: Cell<'a> = |row, look, _| span(kind(row.service), look.text()).into();
        columns.push(text("TYPE", 13, 7, cell));
        let cell: Cell<'a> = |row, look, _| {
            let bytes =
                memory(row.service).map_or_else(|| "-".to_owned(), |bytes| format_size(bytes, BINARY));
            span(bytes, look.text()).into()
        };
        columns.push(number("MEMORY", 9, 8, cell));
        columns.push(Column {
            title: "TABLE",
            width: 18,
            number: false,
            grows: true,
            rank: 2,
            cell: |row, look, _| match &row.service.cilium {
                Some(facts) => cilium::table_cell(facts, look).into(),
                None => Line::default(),
            },
        });
    }
    columns.retain(|column| applies(column.title, counted(data)));
    columns
}

impl Component for Services {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        if let Some(steps) = steps(action, data.size.height) {
            if let Some(service) = self.list.step(data.service.as_deref(), steps) {
                data.service = Some(service);
                data.keep_choice();
            }
            return Outcome::Done;
        }
        match action {
            Action::Open => Outcome::Go(ViewName::Backends),
            _ => Outcome::Ignored,
        }
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
            text: text_of(service),
            row: Row::of(data, service),
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        self.list.refresh(rows.collect(), &orders(data), now);
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let services = data.services();
        let shown = self.list.shown();
        let (top, bottom) = parts(services, area);
        let row = |index: usize| {
            let name = shown.get(index)?;
            Some(Row::of(data, services.iter().find(|service| service.name == *name)?))
        };
        // How many bits a Cilium node's services get is not known: there is room for names.
        let most = if is_cilium(data) { 36 } else { 20 };
        let name =
            services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0).clamp(7, most);
        let columns = columns(u16::try_from(name).unwrap_or(20), data);
        table::draw(&columns, self.rows(data), row, look, top, buffer);
        if is_cilium(data) {
            cilium::draw(data, look, bottom, buffer);
        } else {
            verdicts(data, look, bottom, buffer);
        }
    }
}

impl Services {
    fn rows(&self, data: &Data) -> Rows {
        let shown = self.list.shown();
        let selected = shown.iter().position(|name| Some(name) == data.service.as_ref());
        Rows { count: shown.len(), selected, sorted: self.list.sorted() }
    }
}

/// What the filter looks into.
fn text_of(service: &ServiceSample) -> String {
    let told = service.cilium.as_ref();
    let told = told.map_or_else(String::new, |facts| format!(" {} {}", facts.kind, cilium::table(facts)));
    format!("{} {} {}{told}", service.name, service.address, protocol(service))
}

/// Where the table goes, and what is said below it.
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
