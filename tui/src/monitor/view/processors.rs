//! What each processor handles: where one has it all, the card's queues are not spread.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{Component, Outcome};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        number::{count, percent, rate},
        widget::{
            graph::bar,
            table::{self, Column, Rows},
            text::{line, span},
        },
    },
    terminal::look::Look,
};

/// The view of the processors.
#[derive(Clone, Debug, Default)]
pub struct Processors {
    chosen: usize,
}

struct Row {
    number: usize,
    packets: u64,
    rate: Option<f64>,
    whole: f64,
}

fn columns() -> Vec<Column<Row>> {
    type Cell = fn(&Row, &Look, u16) -> Line<'static>;
    let number =
        |title, width, rank, cell: Cell| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        number("CPU", 4, 0, |row, look, _| span(row.number.to_string(), look.text()).into()),
        number("PKT/S", 6, 1, |row, look, _| span(rate(row.rate), look.text()).into()),
        number("SHARE", 6, 2, |row, look, _| {
            span(row.rate.map_or_else(|| "-".to_owned(), |rate| percent(rate, row.whole)), look.text()).into()
        }),
        number("PACKETS", 15, 4, |row, look, _| span(count(row.packets), look.faint()).into()),
        Column {
            title: "",
            width: 8,
            number: false,
            grows: true,
            rank: 3,
            cell: |row, look, width| {
                let share = row.rate.filter(|_| row.whole > 0.0).map_or(0.0, |rate| rate / row.whole);
                span(bar(share, width, look), look.accent()).into()
            },
        },
    ]
}

impl Component for Processors {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let page = usize::from(data.size.height / 2);
        self.chosen = match action {
            Action::Up => self.chosen.saturating_sub(1),
            Action::Down => self.chosen + 1,
            Action::PageUp => self.chosen.saturating_sub(page),
            Action::PageDown => self.chosen + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            _ => return Outcome::Ignored,
        };
        self.refresh(data);
        Outcome::Done
    }

    fn refresh(&mut self, data: &Data) {
        let count = data.sample.as_ref().map_or(0, |sample| sample.processors.len());
        self.chosen = self.chosen.min(count.saturating_sub(1));
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let packets = data.sample.as_ref().map_or(&[][..], |sample| &sample.processors);
        if packets.is_empty() {
            line(span(" the source does not tell processors apart", look.faint()), area, buffer);
            return;
        }
        let rates = &data.history.processors;
        let whole = rates.iter().flatten().sum();
        let row = |number: usize| {
            let rate = rates.get(number).copied().flatten();
            Some(Row { number, packets: *packets.get(number)?, rate, whole })
        };
        let rows = Rows { count: packets.len(), selected: Some(self.chosen), sorted: None };
        table::draw(&columns(), rows, row, look, area, buffer);
    }
}
