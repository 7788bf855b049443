//! The backends of a service: what each gets, beside what its weight calls for.

mod cilium;

use std::time::Duration;

use maglev_core::{
    cilium::Counted,
    drain::DrainProgress,
    health::Health,
    sample::{BackendSample, ByHand, ServiceSample},
    service::BackendState,
};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::{Line, Span},
};

use super::{Component, Outcome, ViewName, applicable::applies, compared};
use crate::{
    drain,
    monitor::{
        action::Action,
        data::Data,
        dialog,
        history::{
            Rates, Track,
            compare::{Comparison, Difference},
        },
        list::{List, Listed, Order, Value, steps},
        number::{count, percent, rate},
        slots::{
            self,
            draw::{Colouring, Marks},
            raster::Raster,
            window::Window,
        },
        view::chrome::Layout,
        widget::{
            graph::{chart, sparkline},
            table::{self, Column, Rows},
            text::{line, span, split_bottom, wrap},
        },
    },
    state,
    terminal::look::Look,
};

/// The view of the backends: what each gets, and below, where there is room, who owns the slots.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    list: List,
    raster: Raster,
}

/// Where the parts of the view go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    table: Rect,
    details: Rect,
    map_title: Rect,
    map: Rect,
}

/// How many lines the chosen backend takes in words: a blank one, its title, and three of text.
const WORDS: u16 = 5;

/// A map of fewer lines shows too little to be worth them.
const LEAST_MAP: u16 = 4;

/// How many lines the chosen backend's past takes, with a blank one; it yields to the map.
const PAST: u16 = 7;

impl Parts {
    fn of(area: Rect, data: &Data, service: &ServiceSample) -> Self {
        let gone = data.time.comparison.as_ref().map_or(0, |comparison| comparison.gone(data, service));
        let rows = u16::try_from(service.backends.len() + gone + 2).unwrap_or(u16::MAX);
        // The chosen backend in words takes what the rows leave, and some lines even where they leave none.
        let least = if area.height >= 10 { 3 } else { 0 };
        let (table, rest) = split_bottom(area, area.height.saturating_sub(rows).max(least));
        let draining =
            service.backends.iter().filter(|backend| backend.state == BackendState::Draining).count();
        let by_hand = usize::from(service.backends.iter().any(|backend| !backend.by_hand.is_empty()));
        let words = WORDS + u16::try_from(draining + by_hand).unwrap_or(u16::MAX - WORDS);
        let room = rest.height.saturating_sub(words);
        let lines = if room > 3 * PAST { room - PAST } else { room };
        let (details, below) = split_bottom(rest, if lines > LEAST_MAP { lines } else { 0 });
        let (map_title, map) = split_bottom(below, below.height.saturating_sub(1));
        Self { table, details, map_title, map }
    }
}

struct Row<'a> {
    backend: &'a BackendSample,
    service: &'a ServiceSample,
    colour: usize,
    letter: char,
    track: Option<&'a Track>,
    rates: Option<Rates>,
    whole: Option<Rates>,
}

impl<'a> Row<'a> {
    fn of(data: &'a Data, service: &'a ServiceSample, backend: &'a BackendSample) -> Self {
        let history = data.history.service(&service.name);
        let track = history.and_then(|history| history.backend(backend.id));
        Self {
            backend,
            service,
            colour: data.colours.number(&backend.name),
            letter: data.colours.letter(&backend.name),
            track,
            rates: track.and_then(Track::latest),
            whole: history.and_then(|history| history.track.latest()),
        }
    }

    /// Its share of new connections, in per cent.
    fn share(&self) -> String {
        match (self.rates, self.whole) {
            (Some(own), Some(whole)) => percent(own.new_connections, whole.new_connections),
            _ => "-".to_owned(),
        }
    }

    /// The share that its weight calls for.
    fn due(&self) -> String {
        percent(due(self.service, self.backend), 1.0)
    }
}

/// The share of new connections that a backend's weight calls for.
#[must_use]
pub fn due(service: &ServiceSample, backend: &BackendSample) -> f64 {
    let weight = |backend: &BackendSample| if backend.gets_flows() { f64::from(backend.weight) } else { 0.0 };
    let sum: f64 = service.backends.iter().map(weight).sum();
    if sum > 0.0 { weight(backend) / sum } else { 0.0 }
}

/// How far a drain has come, in words, and whether the backend can be removed without a connection lost; `None` where
/// it does not drain.
#[must_use]
pub fn drain_words(service: &ServiceSample, backend: &BackendSample) -> Option<(String, bool)> {
    let progress = DrainProgress::of(service, backend)?;
    Some((drain::in_words(progress, service.settle_time), progress.is_safe()))
}

/// The mark by which a backend is known everywhere: its colour, or its letter where there is none.
#[must_use]
pub fn mark(colour: usize, letter: char, look: &Look) -> Span<'static> {
    let style = Style::new().fg(look.backend(colour));
    if look.half_blocks() { span("■", style) } else { span(letter.to_string(), style) }
}

/// What rows can be sorted by.
fn orders<'a>(counted: Counted) -> Vec<Order<Row<'a>>> {
    type Read<'a> = fn(&Row<'a>) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    let mut orders = vec![
        order("BACKEND", |row| Value::Text(row.backend.name.clone())),
        order("STATE", |row| Value::Text(state_word(row.service, row.backend).to_owned())),
        order("WEIGHT", |row| Value::Number(Some(f64::from(row.backend.weight)))),
        order("SLOTS", |row| Value::Number(Some(f64::from(row.backend.slots)))),
        // Of one table: the order of the shares is that of the slots.
        order("SLOT%", |row| Value::Number(Some(f64::from(row.backend.slots)))),
        order("PKT/S", |row| Value::Number(row.rates.map(|rates| rates.packets))),
        order("BIT/S", |row| Value::Number(row.rates.map(|rates| rates.bits))),
        order("NEW/S", |row| Value::Number(row.rates.map(|rates| rates.new_connections))),
        // Of one service: the order of the shares is that of the rates.
        order("NEW%", |row| Value::Number(row.rates.map(|rates| rates.new_connections))),
        order("DUE%", |row| Value::Number(Some(due(row.service, row.backend)))),
        order("HELD/S", |row| Value::Number(row.rates.map(|rates| rates.held_packets))),
        order("TREND", |row| Value::Number(row.track.and_then(Track::trend))),
    ];
    orders.retain(|order| applies(order.title, counted));
    orders
}

/// Its state, in its colour.
fn state_cell(service: &ServiceSample, backend: &BackendSample, look: &Look) -> Span<'static> {
    if let Some(facts) = &service.cilium {
        return cilium::state(facts, backend, look);
    }
    let style = match (backend.health, backend.state) {
        (Health::Unhealthy, _) => look.error(),
        (Health::Kept, BackendState::Active) => look.warning(),
        (_, BackendState::Active) => look.active(),
        (_, BackendState::Draining) => look.draining(),
    };
    span(state::in_words(backend), style)
}

/// The word for its state.
fn state_word(service: &ServiceSample, backend: &BackendSample) -> &'static str {
    let cilium = service.cilium.as_ref();
    cilium.map_or_else(|| state::in_words(backend), |facts| cilium::state_of(facts, backend).word())
}

fn columns<'a>(name: u16, service: &ServiceSample) -> Vec<Column<Row<'a>>> {
    type Cell<'a> = fn(&Row<'a>, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    let words = service.backends.iter().map(|backend| state_word(service, backend).len());
    let state = u16::try_from(words.max().unwrap_or(0)).unwrap_or(u16::MAX).max(8);
    let mut columns = vec![
        text("BACKEND", name, 0, |row, look, _| {
            let name = span(format!(" {}", row.backend.name), look.text());
            Line::from(vec![mark(row.colour, row.letter, look), name])
        }),
        text("STATE", state, 1, |row, look, _| state_cell(row.service, row.backend, look).into()),
        number("WEIGHT", 6, 11, |row, look, _| span(row.backend.weight.to_string(), look.text()).into()),
        number("SLOTS", 6, 10, |row, look, _| span(count(u64::from(row.backend.slots)), look.text()).into()),
        number("SLOT%", 5, 4, |row, look, _| {
            #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
            let slots = row.service.slots.len() as f64;
            span(percent(f64::from(row.backend.slots), slots), look.text()).into()
        }),
        number("PKT/S", 5, 2, |row, look, _| span(rate(row.rates.map(|r| r.packets)), look.text()).into()),
        number("BIT/S", 5, 9, |row, look, _| span(rate(row.rates.map(|r| r.bits)), look.text()).into()),
        number("NEW/S", 5, 3, |row, look, _| {
            span(rate(row.rates.map(|r| r.new_connections)), look.text()).into()
        }),
        number("NEW%", 5, 7, |row, look, _| span(row.share(), look.text()).into()),
        number("DUE%", 5, 8, |row, look, _| span(row.due(), look.faint()).into()),
        number("HELD/S", 6, 5, |row, look, _| {
            let held = row.rates.map(|r| r.held_packets);
            let style = if held.is_some_and(|held| held > 0.0) { look.draining() } else { look.faint() };
            span(rate(held), style).into()
        }),
        Column {
            title: "TREND",
            width: 8,
            number: false,
            grows: true,
            rank: 6,
            cell: |row, look, width| {
                let values: Vec<Option<f64>> = row
                    .track
                    .iter()
                    .flat_map(|track| track.last(usize::from(width)))
                    .map(|r| r.map(|r| r.packets))
                    .collect();
                sparkline(&values, width, Style::new().fg(look.backend(row.colour)), look)
            },
        },
    ];
    columns.retain(|column| applies(column.title, service.counted()));
    columns
}

impl Component for Backends {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        if let Some(steps) = steps(action, data.size.height) {
            if let Some(backend) = self.list.step(data.backend.as_deref(), steps) {
                data.backend = Some(backend);
            }
            return Outcome::Done;
        }
        match action {
            Action::Open => Outcome::Go(ViewName::Slots),
            _ => dialog::for_backend(action, data, self.subject(data).as_deref()),
        }
    }

    fn list(&self) -> Option<&List> {
        Some(&self.list)
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        Some(&mut self.list)
    }

    fn copied(&self, data: &Data) -> Option<String> {
        data.backend().map(|backend| backend.address.to_string())
    }

    fn click(&mut self, place: Position, area: Rect, data: &mut Data) {
        let Some(service) = data.service() else { return };
        let row = table::row_at(self.rows(data), Parts::of(area, data, service).table, place.y);
        let name = row.and_then(|row| self.list.shown().get(row).cloned());
        if let Some(backend) = self.list.step(name.as_deref(), 0).filter(|_| name.is_some()) {
            data.backend = Some(backend);
        }
    }

    fn refresh(&mut self, data: &Data) {
        let rows = data.service().into_iter().flat_map(|service| {
            service.backends.iter().map(move |backend| Listed {
                name: backend.name.clone(),
                text: format!("{} {} {}", backend.name, backend.address, state_word(service, backend)),
                row: Row::of(data, service, backend),
            })
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        let counted = data.service().map_or(Counted::Everything, ServiceSample::counted);
        self.list.refresh(rows.collect(), &orders(counted), now);
        let (Some(service), Some(sample)) = (data.service(), data.sample.as_ref()) else {
            self.raster = Raster::default();
            return;
        };
        let map = Parts::of(Layout::of(data.size, data.is_frozen()).content, data, service).map;
        let slots = &service.slots;
        let (columns, rows) = slots::draw::pixels(map, slots.len(), data.half_blocks);
        let window = Window::overview(u32::try_from(slots.len()).unwrap_or(u32::MAX), columns, rows);
        let history = data.service_history().map(|history| history.slots);
        let moved = data.time.comparison.as_ref().and_then(|comparison| comparison.moved(service));
        let differs = moved.as_ref().map(|moved| &moved.differs[..]);
        self.raster.update(window, slots, history, differs, sample.taken_at);
    }

    fn subject(&self, data: &Data) -> Option<String> {
        // What the filter leaves out is not changed unseen.
        data.backend.clone().filter(|backend| self.list.shows(backend))
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let Some(service) = data.service() else {
            line(span(" no service", look.faint()), area, buffer);
            return;
        };
        if let Some(facts) = service.cilium.as_ref().filter(|_| service.backends.is_empty()) {
            cilium::without_backends(facts, look, area, buffer);
            return;
        }
        let parts = Parts::of(area, data, service);
        let backends = &service.backends;
        let shown = self.list.shown();
        let row = |index: usize| {
            let name = shown.get(index)?;
            Some(Row::of(data, service, backends.iter().find(|backend| backend.name == *name)?))
        };
        let name = backends.iter().map(|backend| backend.name.chars().count() + 2).max().unwrap_or(0);
        let name = u16::try_from(name.clamp(8, 24)).unwrap_or(24);
        match &data.time.comparison {
            Some(comparison) => {
                let rows = self.compared(comparison, data, service);
                compared::draw(&rows, self.rows(data).selected, name, look, parts.table, buffer);
            }
            None => table::draw(&columns(name, service), self.rows(data), row, look, parts.table, buffer),
        }
        details(data, service, look, parts.details, buffer);
        self.draw_map(data, service, look, &parts, buffer);
    }
}

impl Backends {
    fn rows(&self, data: &Data) -> Rows {
        let shown = self.list.shown();
        let selected = shown.iter().position(|name| Some(name) == data.backend.as_ref());
        Rows { count: shown.len(), selected, sorted: self.list.sorted() }
    }

    /// The rows beside what they were: those that are shown, in their order, and those that are gone.
    fn compared<'a>(
        &self,
        comparison: &'a Comparison,
        data: &'a Data,
        service: &'a ServiceSample,
    ) -> Vec<compared::Row<'a>> {
        let shown = self.list.shown();
        let place = |both: &Difference<'_>| match both.now {
            Some(now) => shown.iter().position(|name| *name == now.backend.name),
            None => Some(usize::MAX),
        };
        let both = comparison.backends(data, service).into_iter();
        let mut placed: Vec<_> = both.filter_map(|both| Some((place(&both)?, both))).collect();
        placed.sort_by_key(|(place, _)| *place);
        placed.into_iter().map(|(_, both)| compared::Row::of(data, both)).collect()
    }

    /// Who owns the slots, in the colours of the rows above.
    fn draw_map(
        &self,
        data: &Data,
        service: &ServiceSample,
        look: &Look,
        parts: &Parts,
        buffer: &mut Buffer,
    ) {
        if parts.map.is_empty() || service.slots.is_empty() {
            return;
        }
        let window = self.raster.window;
        let settling = match service.slots.settling() as u64 {
            0 => String::new(),
            settling => format!(", {} settling", count(settling)),
        };
        let colouring = Colouring::Owner.compared(data.time.comparison.is_some());
        let text = format!(
            " {} slots by {}{settling}: Enter looks at them closely",
            count(u64::from(window.slots)),
            colouring.title()
        );
        line(span(text, look.faint()), parts.map_title, buffer);
        slots::draw::draw(&self.raster, colouring, Marks::default(), data, look, parts.map, buffer);
    }
}

/// What of a service is not as the configuration has it that was last applied, in words; `None` where all is.
fn by_hand(service: &ServiceSample) -> Option<String> {
    let done = |backend: &BackendSample| {
        let words = backend.by_hand.iter().map(|what| match what {
            ByHand::Added => "added".to_owned(),
            ByHand::State(BackendState::Active) => "drained".to_owned(),
            ByHand::State(BackendState::Draining) => "undrained".to_owned(),
            ByHand::Weight(configured) => format!("weight {} for {configured}", backend.weight),
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| format!("{} {}", backend.name, words.join(" and ")))
    };
    let done: Vec<String> = service.backends.iter().filter_map(done).collect();
    (!done.is_empty()).then(|| format!("By hand since the last apply: {}", done.join(", ")))
}

/// How drains have come on, and the chosen backend in words.
fn details(data: &Data, service: &ServiceSample, look: &Look, area: Rect, buffer: &mut Buffer) {
    let mut rest = area;
    for backend in &service.backends {
        let Some((words, safe)) = drain_words(service, backend) else { continue };
        let style = if safe { look.good() } else { look.draining() };
        let text = format!(" {} drains: {words}", backend.name);
        rest = line(span(text, style), rest, buffer);
    }
    if let Some(words) = by_hand(service) {
        for text in wrap(&words, rest.width.saturating_sub(2)) {
            rest = line(span(format!(" {text}"), look.warning()), rest, buffer);
        }
    }
    let Some(backend) = data.backend() else { return };
    let row = Row::of(data, service, backend);
    rest = line("", rest, buffer);
    let title = Line::from(vec![
        span(" ", look.text()),
        mark(row.colour, row.letter, look),
        span(format!(" {} ", backend.name), look.heading()),
        span(
            format!("{} of {} ({} {})", backend.address, service.name, service.address, service.protocol),
            look.text(),
        ),
    ]);
    rest = line(title, rest, buffer);
    let words = match &service.cilium {
        Some(facts) => cilium::words(facts, service, backend),
        None => story(&row),
    };
    for text in wrap(&words, rest.width.saturating_sub(2)) {
        rest = line(span(format!(" {text}"), look.text()), rest, buffer);
    }
    draw_past(&row, look, rest, buffer);
}

/// What the chosen backend's weight calls for and what it gets, in sentences.
fn story(row: &Row<'_>) -> String {
    let (service, backend) = (row.service, row.backend);
    #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
    let slots = service.slots.len() as f64;
    let owns = format!(
        "It owns {} of the slots ({} of {})",
        percent(f64::from(backend.slots), slots),
        count(u64::from(backend.slots)),
        count(service.slots.len() as u64),
    );
    let calls = match backend.state {
        _ if backend.health == Health::Unhealthy => format!(
            "It is down: its checks fail. It gets nothing, and nothing is held for it, until they succeed again. {owns}; its weight of {} waits.",
            backend.weight
        ),
        BackendState::Active if backend.health == Health::Kept => format!(
            "Its checks fail, and it keeps its slots: no other backend of the service gets new connections. {owns}."
        ),
        BackendState::Active => {
            let (weight, due, share) = (backend.weight, row.due(), row.share());
            let gets = if row.rates.is_some() {
                format!(" and gets {share} of the new connections")
            } else {
                String::new()
            };
            format!("Weight {weight} calls for {due} of the new connections. {owns}{gets}.")
        }
        BackendState::Draining => {
            format!(
                "It drains: no new connections are sent to it. {owns}; its weight of {} waits.",
                backend.weight
            )
        }
    };
    format!(
        "{calls} Since it was added: {} packets, {} connections, {} packets held.",
        count(backend.counters.packets),
        count(backend.counters.new_connections),
        count(backend.counters.held_packets),
    )
}

/// Packets a second of the chosen backend, as far back as there is room for.
fn draw_past(row: &Row<'_>, look: &Look, area: Rect, buffer: &mut Buffer) {
    let rest = line("", area, buffer);
    let Some(track) = row.track.filter(|_| rest.height >= 3) else { return };
    let width = rest.width.saturating_sub(10);
    let values: Vec<Option<f64>> =
        track.last(usize::from(width)).map(|rates| rates.map(|r| r.packets)).collect();
    let Some(top) = values.iter().flatten().copied().reduce(f64::max) else { return };
    let height = rest.height.min(6);
    let rows = chart(&values, width, height, Style::new().fg(look.backend(row.colour)), look);
    for ((index, bars), y) in rows.into_iter().enumerate().zip(rest.y..) {
        let label = match index {
            0 => format!("{:>6} ", rate(Some(top))),
            1 => " pkt/s ".to_owned(),
            _ => String::new(),
        };
        let mut text = Line::from(span(format!(" {label:<7}"), look.faint()));
        text.spans.extend(bars.spans);
        line(text, Rect { y, height: 1, ..rest }, buffer);
    }
}
