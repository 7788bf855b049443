//! The slots as a change would leave them, drawn before it is made. A cell is one letter: who would own its slots, and
//! whether they would move, are told by the letter as well as by its colour.

use std::sync::Arc;

use maglev_core::{plan::Plan, table::NO_BACKEND};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{draw, window::Window};
use crate::{
    monitor::{
        data::Data,
        forecast::Load,
        number::{count, signed},
        widget::text::{line, span, split_bottom},
    },
    terminal::look::Look,
};

/// How wide a dialog is beside the slots.
const SIDE: u16 = 76;

/// What a change would make of a service's slots.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// The change, in words.
    pub words: String,
    /// What it moves.
    pub plan: Arc<Plan>,
    /// The load that goes with it, as far as it is known.
    pub load: Load,
}

/// Where the slots go and where the dialog does, so that neither hides the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The slots.
    pub slots: Rect,
    /// The dialog.
    pub dialog: Rect,
}

impl Split {
    /// Side by side where that is wide enough, one below the other where it is high enough; else `None`.
    #[must_use]
    pub fn of(area: Rect) -> Option<Self> {
        if area.width >= SIDE + 56 && area.height >= 14 {
            let slots = Rect { width: area.width - SIDE, ..area };
            return Some(Self { slots, dialog: Rect { x: slots.right(), width: SIDE, ..area } });
        }
        if area.height < 18 {
            return None;
        }
        let (slots, dialog) = split_bottom(area, (area.height * 3 / 5).min(20));
        Some(Self { slots, dialog })
    }
}

/// What a cell would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Who would own most of the slots that move; where none moves, who owns most of them.
    owner: u32,
    moves: Moves,
}

/// How much of a cell moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    Nothing,
    /// Less than a third of its slots.
    Some,
    /// A third or more: what an owner that has most of them gives away.
    Much,
}

impl Cell {
    /// The cell for slots from `first` to before `end`.
    fn of(plan: &Plan, first: u32, end: u32, counts: &mut [u32]) -> Option<Self> {
        let range = first as usize..(end as usize).min(plan.after.len());
        let (before, after) = (plan.before.get(range.clone())?, plan.after.get(range)?);
        if after.is_empty() {
            return None;
        }
        let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
        counts.fill(0);
        for (_, after) in before.iter().zip(after).filter(|(before, after)| moved == 0 || before != after) {
            if let Some(count) = counts.get_mut(*after as usize) {
                *count += 1;
            }
        }
        let most = counts.iter().copied().max().filter(|most| *most > 0);
        let owner = (0..).zip(counts).find(|(_, count)| Some(**count) == most).map(|(owner, _)| owner);
        let part = match moved {
            0 => Moves::Nothing,
            _ if moved * 3 < after.len() => Moves::Some,
            _ => Moves::Much,
        };
        Some(Self { owner: owner.unwrap_or(NO_BACKEND), moves: part })
    }

    fn drawn(self, marks: &[(usize, char)], look: &Look) -> (char, Style) {
        let Some((number, letter)) = marks.get(self.owner as usize) else {
            return match self.moves {
                Moves::Nothing => ('-', look.faint()),
                Moves::Some => ('!', look.warning()),
                Moves::Much => ('!', look.warning().add_modifier(Modifier::REVERSED)),
            };
        };
        let style = Style::new().fg(look.backend(*number));
        match self.moves {
            Moves::Nothing => (if look.unicode() { '·' } else { '.' }, style),
            Moves::Some => (*letter, style),
            Moves::Much => (letter.to_ascii_uppercase(), style.add_modifier(Modifier::REVERSED)),
        }
    }
}

/// Colour and letter of each backend of a plan.
fn marks(plan: &Plan, data: &Data) -> Vec<(usize, char)> {
    let mark = |name: &str| (data.colours.number(name), data.colours.letter(name));
    plan.backends.iter().map(|backend| mark(&backend.name)).collect()
}

/// The cells of a window, row by row, with the cursor if there is one.
#[must_use]
pub fn lines(
    plan: &Plan,
    window: Window,
    cursor: Option<u32>,
    data: &Data,
    look: &Look,
) -> Vec<Line<'static>> {
    let marks = marks(plan, data);
    let mut counts = vec![0; plan.backends.len()];
    let cursor = cursor.and_then(|slot| window.pixel_of(slot));
    let mut lines = Vec::new();
    for row in 0..window.rows {
        let mut runs: Vec<(String, Style)> = Vec::new();
        for column in 0..window.columns {
            let slots = window.slots_of(column, row);
            let Some(cell) = Cell::of(plan, slots.start, slots.end, &mut counts) else { break };
            let (glyph, mut style) = cell.drawn(&marks, look);
            if cursor == Some((column, row)) {
                style = if look.coloured() { style.bg(look.cursor) } else { style }
                    .add_modifier(Modifier::UNDERLINED);
            }
            let glyphs = glyph.to_string().repeat(window.tile.map_or(1, |tile| usize::from(tile.wide)));
            match runs.last_mut() {
                Some((text, before)) if *before == style => text.push_str(&glyphs),
                _ => runs.push((glyphs, style)),
            }
        }
        if runs.is_empty() {
            break;
        }
        lines.push(runs.into_iter().map(|(text, style)| span(text, style)).collect());
    }
    lines
}

/// Draws the cells of a window, with the numbers of the slots that rows start with.
pub fn draw_map(
    what_if: &WhatIf,
    window: Window,
    cursor: u32,
    data: &Data,
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let gutter = draw::gutter(window.slots as usize, area.width);
    let mut rest = area;
    for (row, cells) in (0..).zip(lines(&what_if.plan, window, Some(cursor), data, look)) {
        let first = window.slots_of(0, row).start;
        let here = window.pixel_of(cursor).is_some_and(|(_, cursor_row)| cursor_row == row);
        let label = span(draw::label(first, gutter), if here { look.accent() } else { look.faint() });
        for below in 0..window.tile.map_or(1, |tile| tile.tall) {
            let left = match gutter {
                0 => Span::raw(""),
                _ if below == 0 => label.clone(),
                _ => Span::raw(" ".repeat(usize::from(gutter))),
            };
            let text: Line<'_> = [left].into_iter().chain(cells.spans.iter().cloned()).collect();
            rest = line(text, rest, buffer);
        }
    }
}

/// What the letters mean, with what each owner would get, in as many lines of that width as it takes.
#[must_use]
pub fn legend(what_if: &WhatIf, data: &Data, look: &Look, width: u16) -> Vec<Line<'static>> {
    let plan = &what_if.plan;
    let stays = look.either("·", ".");
    let mut entries: Vec<Vec<Span<'static>>> =
        vec![vec![span(format!("{stays} stays, A moves, a less than a third of it   "), look.text())]];
    for (index, (backend, (number, letter))) in plan.backends.iter().zip(marks(plan, data)).enumerate() {
        if backend.gained == 0 {
            continue;
        }
        let style = Style::new().fg(look.backend(number)).add_modifier(Modifier::REVERSED);
        let load = what_if.load.gained(index);
        let load = load.map_or_else(String::new, |load| format!(", {} pkt/s", signed(load)));
        entries.push(vec![
            span(letter.to_ascii_uppercase().to_string(), style),
            span(format!(" {} +{}{load}   ", backend.name, count(u64::from(backend.gained))), look.text()),
        ]);
    }
    if plan.after.contains(&NO_BACKEND) {
        entries.push(vec![span("!", look.warning()), span(" nobody   ", look.text())]);
    }
    super::legend::flow(entries, width)
}

#[cfg(test)]
mod tests {
    use maglev_core::plan::PlannedBackend;

    use super::*;

    fn plan(before: &[u32], after: &[u32]) -> Plan {
        let backend = |name: &str| PlannedBackend {
            name: name.to_owned(),
            address: "10.0.0.1:80".parse().unwrap(),
            before: 0,
            after: 0,
            gained: 0,
            lost: 0,
        };
        Plan {
            service: "web".to_owned(),
            table_size: u32::try_from(before.len()).unwrap(),
            moved: 0,
            minimum: 0,
            backends: ["b1", "b2", "b3"].map(backend).into(),
            before: before.into(),
            after: after.into(),
        }
    }

    #[test]
    fn a_cell_tells_where_what_moves_would_go() {
        let plan = plan(&[0, 0, 0, 1, 1, 1, 2, 2, 2], &[0, 0, 0, 1, 2, 2, 2, 2, NO_BACKEND]);
        let cell = |first, end| Cell::of(&plan, first, end, &mut [0; 3]);
        let told = |owner, moves| Some(Cell { owner, moves });
        assert_eq!(cell(0, 3), told(0, Moves::Nothing));
        assert_eq!(cell(3, 6), told(2, Moves::Much));
        assert_eq!(cell(0, 5), told(2, Moves::Some), "one of five moves: it is told, and that it is few");
        assert_eq!(cell(8, 9), told(NO_BACKEND, Moves::Much));
        assert_eq!(cell(9, 12), None);
        assert_eq!(cell(7, 12), told(NO_BACKEND, Moves::Much));
    }
}
