//! The time bar of a frozen picture: where in the time that is kept it is, what happened, and what is missing.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    monitor::{
        data::Data,
        history::time::{Strip, Tick},
        widget::text::{line, span},
    },
    terminal::look::Look,
};

/// Draws the bar between the earliest and the latest moment's time. A column may stand for several moments: it shows
/// what must not be overlooked of them.
pub fn draw(data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let Some(frozen) = &data.time.frozen else { return };
    let strip = &frozen.strip;
    let clock = |tick: Option<&Tick>| tick.map(|tick| tick.clock.clone()).unwrap_or_default();
    let (from, to) = (clock(strip.ticks.first()), clock(strip.ticks.last()));
    let labels = u16::try_from(from.len() + to.len() + 4).unwrap_or(u16::MAX);
    let width = usize::from(area.width.saturating_sub(labels));
    let mut spans = vec![span(format!(" {from} "), look.faint())];
    spans.extend(cells(strip, width, look));
    spans.push(span(format!(" {to} "), look.faint()));
    line(Line::from(spans), area, buffer);
}

fn cells(strip: &Strip, width: usize, look: &Look) -> Vec<Span<'static>> {
    let count = strip.ticks.len();
    let cell = |x: usize| {
        let start = (x * count / width).min(count.saturating_sub(1));
        let end = ((x + 1) * count / width).clamp(start + 1, count.max(start + 1));
        let here = start..end;
        // Where a moment is wider than a column, it is at the first one.
        let first = x == 0 || start != (x - 1) * count / width;
        let ticks = strip.ticks.get(here.clone()).unwrap_or_default();
        if here.contains(&strip.shown) && first {
            span(look.either("◆", "X"), look.accent())
        } else if strip.compared.is_some_and(|compared| here.contains(&compared)) && first {
            span(look.either("◇", "O"), look.accent())
        } else if ticks.iter().any(|tick| tick.marked) && first {
            span(look.either("┃", "|"), look.warning())
        } else if ticks.iter().any(|tick| tick.gap) && first {
            span(" ", look.text())
        } else {
            span(look.either("─", "-"), look.border())
        }
    };
    if count == 0 { Vec::new() } else { (0..width).map(cell).collect() }
}

/// The same in words.
#[must_use]
pub fn words(strip: &Strip, look: &Look) -> String {
    format!(" {}", strip.words.join(look.either(" · ", ", ")))
}
