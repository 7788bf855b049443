//! The heatmap on screen: two pixels in a cell where there are blocks and colours, else one, as a letter.

use std::collections::HashMap;

use maglev_core::sample::BackendId;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
};

use super::{
    raster::{Pixel, Raster},
    window::{Tile, Window},
};
use crate::{
    monitor::{
        data::Data,
        number::count,
        widget::text::{line, span},
    },
    terminal::{look::Look, theme::LEVELS},
};

/// What slots are coloured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colouring {
    /// Who owns them.
    #[default]
    Owner,
    /// How often they are hit.
    Hits,
    /// How long ago they changed.
    Age,
    /// Who owns them, where that was another at the moment that is compared with.
    Moved,
}

impl Colouring {
    /// Those that one chooses among, in turn; while moments are compared what moved stands for the owner.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Hits, Self::Age];

    /// What is shown instead while moments are compared.
    #[must_use]
    pub fn compared(self, compares: bool) -> Self {
        if compares && self == Self::Owner { Self::Moved } else { self }
    }

    /// What it is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Hits => "hits",
            Self::Age => "age",
            Self::Moved => "new owner",
        }
    }
}

/// The sizes that slots of small tables are drawn in, the largest first: cells are twice as tall as wide.
const TILES: [Tile; 4] = [
    Tile { wide: 8, tall: 4 },
    Tile { wide: 6, tall: 3 },
    Tile { wide: 4, tall: 2 },
    Tile { wide: 2, tall: 1 },
];

/// How wide the numbers of slots at the left are; nothing where there is no room for them.
#[must_use]
pub fn gutter(slots: usize, width: u16) -> u16 {
    let digits = count(slots.saturating_sub(1) as u64).len();
    let wanted = u16::try_from(digits).unwrap_or(9) + 1;
    if width < wanted + 20 { 0 } else { wanted }
}

/// The number of the slot that a row starts with, as wide as that.
#[must_use]
pub fn label(slot: u32, gutter: u16) -> String {
    format!("{:>width$} ", count(u64::from(slot)), width = usize::from(gutter.saturating_sub(1)))
}

/// The pixels that there is room for, in columns and rows.
#[must_use]
pub fn pixels(area: Rect, slots: usize, half_blocks: bool) -> (u32, u32) {
    let columns = u32::from(area.width - gutter(slots, area.width).min(area.width));
    // Rows that start at round numbers, where that costs little.
    let columns = if columns >= 30 { columns / 10 * 10 } else { columns };
    (columns, u32::from(area.height) * if half_blocks { 2 } else { 1 })
}

/// All slots, as large as there is room for them.
#[must_use]
pub fn overview(area: Rect, slots: usize, half_blocks: bool) -> Window {
    let number = u32::try_from(slots).unwrap_or(u32::MAX);
    let room = area.width - gutter(slots, area.width).min(area.width);
    let tiled = TILES.into_iter().find_map(|tile| {
        let columns = u32::from(room / tile.wide) / 10 * 10;
        let rows = u32::from(area.height / tile.tall);
        (columns * rows >= number && number > 0)
            .then(|| Window { tile: Some(tile), ..Window::overview(number, columns, rows) })
    });
    tiled.unwrap_or_else(|| {
        let (columns, rows) = pixels(area, slots, half_blocks);
        Window::overview(number, columns, rows)
    })
}

/// The first slot of what is drawn at that place of `area`.
#[must_use]
pub fn slot_at(window: Window, place: Position, area: Rect, half_blocks: bool) -> Option<u32> {
    let left = area.x + gutter(window.slots as usize, area.width);
    let column = place.x.checked_sub(left)?;
    let row = place.y.checked_sub(area.y).filter(|row| *row < area.height)?;
    let (column, row) = match window.tile {
        Some(Tile { wide, tall }) => (u32::from(column / wide), u32::from(row / tall)),
        None => (u32::from(column), u32::from(row) * if half_blocks { 2 } else { 1 }),
    };
    let slots = window.slots_of(column, row);
    (column < window.columns && row < window.rows && !slots.is_empty()).then_some(slots.start)
}

/// The letter or block for a level where there are not colours enough.
#[must_use]
pub fn ramp_glyph(level: usize, look: &Look) -> char {
    const ASCII: [char; LEVELS] = ['.', ',', ':', '-', '~', '=', '+', 'o', '*', '#', '%', '@'];
    const SHADES: [char; LEVELS] = ['·', '░', '░', '░', '▒', '▒', '▒', '▓', '▓', '▓', '█', '█'];
    let glyphs = if look.unicode() { SHADES } else { ASCII };
    glyphs[level.min(LEVELS - 1)]
}

/// Slots that stand out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks<'a> {
    /// The one under the cursor.
    pub cursor: Option<u32>,
    /// Those that have so many packets that they are told from the others, where slots are coloured by hits.
    pub elephants: &'a [u32],
}

/// The mark of an elephant.
#[must_use]
pub fn elephant(look: &Look) -> &'static str {
    if look.unicode() { "◆" } else { "!" }
}

/// Draws the pixels of a raster, the numbers of the slots that rows start with, and what is marked.
pub fn draw(
    raster: &Raster,
    colouring: Colouring,
    marks: Marks<'_>,
    data: &Data,
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let window = raster.window;
    let area = area.intersection(buffer.area);
    let gutter = gutter(window.slots as usize, area.width);
    let half_blocks = data.half_blocks;
    let in_cell = if half_blocks && window.tile.is_none() { 2 } else { 1 };
    let Tile { wide, tall } = window.tile.unwrap_or(Tile { wide: 1, tall: 1 });
    let cursor = marks.cursor.and_then(|slot| window.pixel_of(slot));
    let elephants: Vec<(u32, u32)> = match colouring {
        Colouring::Hits => marks.elephants.iter().filter_map(|slot| window.pixel_of(*slot)).collect(),
        Colouring::Owner | Colouring::Age | Colouring::Moved => Vec::new(),
    };
    // Names are looked up once, not once a pixel; and there may be a thousand of them.
    let numbers: HashMap<BackendId, (usize, char)> = data.service().map_or_else(HashMap::new, |service| {
        let of = |name: &str| (data.colours.number(name), data.colours.letter(name));
        service.backends.iter().map(|backend| (backend.id, of(&backend.name))).collect()
    });
    let owner = |id: BackendId| numbers.get(&id).copied();

    for cell_row in 0..area.height {
        let y = area.y + cell_row;
        let row = u32::from(cell_row / tall) * in_cell;
        let first = window.slots_of(0, row);
        if row >= window.rows || first.is_empty() {
            break;
        }
        let begins_tile = cell_row % tall == 0;
        if gutter > 0 && begins_tile {
            let here = cursor.is_some_and(|(_, cursor_row)| cursor_row / in_cell == row / in_cell);
            let style = if here { look.accent() } else { look.faint() };
            line(span(label(first.start, gutter), style), Rect { y, height: 1, ..area }, buffer);
        }
        let columns = (0..window.columns).flat_map(|column| (0..wide).map(move |cell| (column, cell == 0)));
        for (x, (column, begins)) in (area.x + gutter..area.right()).zip(columns) {
            // What is marked is marked once.
            let begins = begins && begins_tile;
            let Some(cell) = buffer.cell_mut((x, y)) else { continue };
            let at_cursor = |row: u32| cursor == Some((column, row));
            let pixel = raster.pixel(column, row);
            if !pixel.there {
                // Behind the end of the table: not even a block, for that would have the text's colour.
                continue;
            }
            if half_blocks {
                let below = row + in_cell - 1;
                let lower = raster.pixel(column, below);
                let shade = |pixel: Pixel, row: u32| {
                    if at_cursor(row) { look.cursor } else { colour(pixel, colouring, &owner, look) }
                };
                let (top, bottom) = (shade(pixel, row), shade(lower, below));
                cell.set_char('▀').set_fg(top).set_bg(bottom);
                let marked = [row, below].into_iter().find(|row| elephants.contains(&(column, *row)));
                if let Some(of) = marked.filter(|_| begins) {
                    // The mark takes the place of both pixels, on the colour of its own.
                    cell.set_symbol(elephant(look)).set_fg(look.heat[0]).set_bg(if of == row {
                        top
                    } else {
                        bottom
                    });
                }
            } else {
                let (glyph, style) = letter(pixel, colouring, &owner, look);
                cell.set_char(glyph).set_style(style);
                if begins && elephants.contains(&(column, row)) {
                    cell.set_symbol(elephant(look)).set_style(look.warning());
                }
                if at_cursor(row) {
                    cell.modifier.toggle(Modifier::REVERSED);
                }
            }
        }
    }
}

fn colour(
    pixel: Pixel,
    colouring: Colouring,
    owner: &impl Fn(BackendId) -> Option<(usize, char)>,
    look: &Look,
) -> Color {
    if !pixel.there {
        return Color::Reset;
    }
    match colouring {
        Colouring::Owner => match owner(pixel.owner) {
            None => look.nobody,
            Some((number, _)) if pixel.settling => look.backend_settling(number),
            Some((number, _)) => look.backend(number),
        },
        Colouring::Hits if pixel.settling => look.heat_settling[usize::from(pixel.heat)],
        Colouring::Hits => look.heat[usize::from(pixel.heat)],
        Colouring::Age => look.age[usize::from(pixel.age)],
        Colouring::Moved => match pixel.moved.map(|(id, many)| (owner(id), many)) {
            None => look.age[0],
            Some((None, _)) => look.nobody,
            Some((Some((number, _)), true)) => look.backend(number),
            Some((Some((number, _)), false)) => look.backend_settling(number),
        },
    }
}

fn letter(
    pixel: Pixel,
    colouring: Colouring,
    owner: &impl Fn(BackendId) -> Option<(usize, char)>,
    look: &Look,
) -> (char, Style) {
    if !pixel.there {
        return (' ', look.text());
    }
    let settling = if pixel.settling { look.settling_mark() } else { look.text() };
    match colouring {
        Colouring::Owner => match owner(pixel.owner) {
            None => ('-', look.faint()),
            Some((number, letter)) => {
                let letter = if pixel.settling { letter.to_ascii_uppercase() } else { letter };
                (letter, Style::new().fg(look.backend(number)))
            }
        },
        Colouring::Hits => (ramp_glyph(usize::from(pixel.heat), look), settling),
        Colouring::Age => (ramp_glyph(usize::from(pixel.age), look), settling),
        Colouring::Moved => match pixel.moved.map(|(id, many)| (owner(id), many)) {
            None => (ramp_glyph(0, look), look.faint()),
            Some((None, _)) => ('-', look.text()),
            Some((Some((number, letter)), many)) => {
                let letter = if many { letter.to_ascii_uppercase() } else { letter };
                (letter, Style::new().fg(look.backend(number)))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_table_is_drawn_large_and_each_cell_is_its_slots() {
        let sizes = [
            (Rect::new(0, 3, 120, 31), 251, Some(Tile { wide: 4, tall: 2 })),
            (Rect::new(0, 3, 120, 31), 1021, Some(Tile { wide: 2, tall: 1 })),
            (Rect::new(0, 3, 200, 45), 251, Some(Tile { wide: 6, tall: 3 })),
            (Rect::new(0, 3, 120, 31), 16_381, None),
            (Rect::new(0, 3, 60, 9), 251, None),
            (Rect::new(0, 3, 80, 14), 0, None),
        ];
        for (area, slots, tile) in sizes {
            let window = overview(area, slots, true);
            assert_eq!(window.tile, tile, "{slots} slots in {area}");
            assert_eq!(window.shown(), 0..u32::try_from(slots).unwrap());
            let Some(Tile { wide, tall }) = tile else { continue };
            assert_eq!(window.columns % 10, 0, "rows begin at slots that can be said");
            let left = gutter(slots, area.width);
            let mut cells = vec![0; slots];
            for y in area.y..area.bottom() {
                for x in 0..area.right() {
                    let Some(slot) = slot_at(window, Position::new(x, y), area, true) else { continue };
                    let (column, row) = window.pixel_of(slot).unwrap();
                    assert_eq!(u32::from((x - left) / wide), column);
                    assert_eq!(u32::from((y - area.y) / tall), row);
                    cells[slot as usize] += 1;
                }
            }
            assert!(cells.iter().all(|cells| *cells == wide * tall), "each slot has its cells: {cells:?}");
        }
    }
}
