//! The services, and what becomes of packets that are for none.

use maglev_core::sample::ServiceSample;
use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{Component, Outcome, ViewName};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        history::{Rates, Track},
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
pub struct Services;

struct Row<'a> {
    service: &'a ServiceSample,
    track: Option<&'a Track>,
    rates: Option<Rates>,
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
            let active = backends.iter().filter(|backend| backend.gets_flows()).count();
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
        match action {
            Action::Up => data.step_service(-1, false),
            Action::Down => data.step_service(1, false),
            Action::PageUp => data.step_service(-page, false),
            Action::PageDown => data.step_service(page, false),
            Action::First => data.step_service(isize::MIN, false),
            Action::Last => data.step_service(isize::MAX, false),
            Action::Open => return Outcome::Go(ViewName::Backends),
            _ => return Outcome::Ignored,
        }
        Outcome::Done
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let services = data.services();
        let rows = Rows {
            count: services.len(),
            selected: services.iter().position(|service| Some(&service.name) == data.service.as_ref()),
        };
        let wanted = u16::try_from(services.len() + 2).unwrap_or(u16::MAX);
        let words = if area.height >= 10 { 5 } else { 0 };
        let (top, bottom) = split_bottom(area, area.height.saturating_sub(wanted).max(words));
        let row = |index: usize| {
            let service = services.get(index)?;
            let track = data.history.service(&service.name).map(|history| &history.track);
            Some(Row { service, track, rates: track.and_then(Track::latest) })
        };
        let name =
            services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0).clamp(7, 20);
        table::draw(&columns(u16::try_from(name).unwrap_or(20)), rows, row, look, top, buffer);
        verdicts(data, look, bottom, buffer);
    }
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
