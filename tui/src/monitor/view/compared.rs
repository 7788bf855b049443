//! The backends of a service at two moments: what they have, and by how much that is more or less than then.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::backends::mark;
use crate::{
    monitor::{
        data::Data,
        history::compare::{Difference, Figures},
        number::{count, rate, short},
        widget::{
            table::{self, Column, Rows},
            text::span,
        },
    },
    state,
    terminal::look::Look,
};

/// A row: a backend then and now, and its mark.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    both: Difference<'a>,
    colour: usize,
    letter: char,
}

impl<'a> Row<'a> {
    /// The row of a backend at two moments.
    #[must_use]
    pub fn of(data: &Data, both: Difference<'a>) -> Self {
        let name = both.now.or(both.then).map_or("", |figures| &figures.backend.name);
        Self { both, colour: data.colours.number(name), letter: data.colours.letter(name) }
    }

    /// The backend's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.both.now.or(self.both.then).map_or("", |figures| &figures.backend.name)
    }

    /// What became of it: in which state it is, and was where that is another.
    fn state(&self, look: &Look) -> String {
        match (self.both.then, self.both.now) {
            (Some(then), Some(now)) => {
                let (then, now) = (word(then), word(now));
                if then == now { now.to_owned() } else { format!("{then}{}{now}", look.either("→", ">")) }
            }
            (None, Some(now)) => format!("new, {}", word(now)),
            (_, None) => "gone".to_owned(),
        }
    }

    /// By how much a figure is more or less; of one that was not there, it was nothing.
    fn more(&self, figure: impl Fn(Figures<'_>) -> Option<f64>) -> Option<f64> {
        let of = |figures: Option<Figures<'_>>| figures.map_or(Some(0.0), &figure);
        Some(of(self.both.now)? - of(self.both.then)?)
    }
}

fn word(figures: Figures<'_>) -> &'static str {
    state::in_words(figures.backend)
}

/// A difference, with its sign; `=` where there is none.
fn signed(difference: Option<f64>, written: impl Fn(f64) -> String) -> String {
    let Some(difference) = difference else { return "-".to_owned() };
    let text = written(difference.abs());
    match difference {
        _ if text == written(0.0) => "=".to_owned(),
        less if less < 0.0 => format!("-{text}"),
        _ => format!("+{text}"),
    }
}

fn points(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn whole(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of slots")]
    count(value.round() as u64)
}

fn columns<'a>(name: u16) -> Vec<Column<Row<'a>>> {
    type Cell<'a> = fn(&Row<'a>, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        text("BACKEND", name, 0, |row, look, _| {
            let name = span(format!(" {}", row.name()), look.text());
            Line::from(vec![mark(row.colour, row.letter, look), name])
        }),
        text("STATE", 17, 3, |row, look, _| {
            let state = row.state(look);
            let style = match (row.both.then, row.both.now) {
                (Some(then), Some(now)) if word(then) == word(now) => look.text(),
                _ => look.warning(),
            };
            span(state, style).into()
        }),
        number("SLOTS", 6, 4, |row, look, _| {
            let slots = row.both.now.map_or(0, |now| now.backend.slots);
            span(count(u64::from(slots)), look.text()).into()
        }),
        number("+/-", 8, 1, |row, look, _| {
            let more = row.more(|figures| Some(f64::from(figures.backend.slots)));
            span(signed(more, whole), look.accent()).into()
        }),
        number("PKT/S", 5, 5, |row, look, _| {
            let rates = row.both.now.and_then(|now| now.rates);
            span(rate(rates.map(|rates| rates.packets)), look.text()).into()
        }),
        number("+/-", 6, 2, |row, look, _| {
            let more = row.more(|figures| figures.rates.map(|rates| rates.packets));
            span(signed(more, short), look.accent()).into()
        }),
        number("NEW%", 5, 7, |row, look, _| {
            let share = row.both.now.and_then(|now| now.share);
            span(share.map_or_else(|| "-".to_owned(), points), look.text()).into()
        }),
        number("+/-", 5, 6, |row, look, _| {
            span(signed(row.more(|figures| figures.share), points), look.accent()).into()
        }),
    ]
}

/// Draws the rows, which may have one that is chosen.
pub fn draw(
    rows: &[Row<'_>],
    selected: Option<usize>,
    name: u16,
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let counted = Rows { count: rows.len(), selected, sorted: None };
    table::draw(&columns(name), counted, |index| rows.get(index).copied(), look, area, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign() {
        let told = [Some(3276.0), Some(-12.0), Some(0.0), None].map(|value| signed(value, whole));
        assert_eq!(told, ["+3,276", "-12", "=", "-"]);
        assert_eq!(signed(Some(-0.001), points), "-0.1");
        assert_eq!(signed(Some(0.0001), points), "=");
    }
}
