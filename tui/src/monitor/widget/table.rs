//! Tables whose columns leave as room gets short, the least needed first.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget as _,
};

use crate::terminal::look::Look;

/// A column: one definition for its heading, its place and its cells.
pub struct Column<Row: ?Sized> {
    /// Its heading.
    pub title: &'static str,
    /// How wide it is at least.
    pub width: u16,
    /// Whether numbers stand in it: they stand on the right.
    pub number: bool,
    /// Whether it takes the room that is left.
    pub grows: bool,
    /// Columns of the largest rank leave first.
    pub rank: u8,
    /// What stands in it, for a row, in that width.
    pub cell: fn(&Row, &Look, u16) -> Line<'static>,
}

/// Which row is chosen, among how many.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// How many rows there are.
    pub count: usize,
    /// Which one is chosen.
    pub selected: Option<usize>,
    /// The column that they are sorted by, if they are.
    pub sorted: Option<Sorted>,
}

/// The column that rows are sorted by, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// Its heading.
    pub title: &'static str,
    /// Whether the largest stands first.
    pub descending: bool,
}

impl Rows {
    /// The first row to show where there is room for `height`: the chosen one stays in the middle, where it can.
    #[must_use]
    pub fn first(&self, height: usize) -> usize {
        let middle = self.selected.unwrap_or(0).saturating_sub(height / 2);
        middle.min(self.count.saturating_sub(height))
    }
}

/// The row at that height of a table drawn in `area`.
#[must_use]
pub fn row_at(rows: Rows, area: Rect, y: u16) -> Option<usize> {
    let headed = u16::from(area.height > 1);
    let below = y.checked_sub(area.y + headed).filter(|below| *below < area.height - headed)?;
    let row = rows.first(usize::from(area.height - headed)) + usize::from(below);
    (row < rows.count).then_some(row)
}

/// Draws headings and as many rows as there is room for. `row` makes one of them: only those on screen are made.
pub fn draw<Row>(
    columns: &[Column<Row>],
    rows: Rows,
    row: impl Fn(usize) -> Option<Row>,
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    // The mark at the left tells the chosen row where neither colour nor reverse is seen.
    let placed = place(columns, area.width.saturating_sub(1));
    // A single line is worth more as a row than as a heading.
    let headed = area.height > 1;
    if headed {
        for (column, x, width) in &placed {
            let title = Line::from(Span::styled(column.title, look.heading()));
            let place = Rect::new(area.x + 1 + x, area.y, *width, 1);
            put(title, column.number, place, buffer);
            if let Some(sorted) = rows.sorted.filter(|sorted| sorted.title == column.title) {
                mark(sorted, column.number, place, look, buffer);
            }
        }
    }
    let top = area.y + u16::from(headed);
    let height = area.height - u16::from(headed);
    let first = rows.first(usize::from(height));
    for (y, index) in (top..top + height).zip(first..rows.count) {
        let Some(row) = row(index) else { break };
        for (column, x, width) in &placed {
            let area = Rect::new(area.x + 1 + x, y, *width, 1);
            put((column.cell)(&row, look, *width), column.number, area, buffer);
        }
        if rows.selected == Some(index) {
            Span::styled(look.either("▌", ">"), look.accent()).render(Rect::new(area.x, y, 1, 1), buffer);
            let style = Style { fg: None, ..look.selected() };
            buffer.set_style(Rect::new(area.x, y, area.width, 1), style);
        }
    }
}

/// Marks the heading of the column that rows are sorted by: beside its words, for which there is always a blank.
fn mark(sorted: Sorted, number: bool, place: Rect, look: &Look, buffer: &mut Buffer) {
    let wide = u16::try_from(sorted.title.len()).unwrap_or(u16::MAX).min(place.width);
    let x = if number { (place.right() - wide).saturating_sub(1) } else { place.x + wide };
    let glyph = if sorted.descending { look.either("▼", "v") } else { look.either("▲", "^") };
    Span::styled(glyph, look.accent()).render(Rect::new(x, place.y, 1, 1).intersection(buffer.area), buffer);
}

fn put(line: Line<'_>, number: bool, area: Rect, buffer: &mut Buffer) {
    let line = if number { line.right_aligned() } else { line };
    line.render(area.intersection(buffer.area), buffer);
}

/// The columns that fit, each with its place and width.
fn place<Row>(columns: &[Column<Row>], width: u16) -> Vec<(&Column<Row>, u16, u16)> {
    let mut shown: Vec<&Column<Row>> = columns.iter().collect();
    let needed = |shown: &[&Column<Row>]| shown.iter().map(|column| column.width + 1).sum::<u16>();
    while shown.len() > 1 && needed(&shown) > width + 1 {
        let least = shown.iter().enumerate().max_by_key(|(_, column)| column.rank).map(|(index, _)| index);
        shown.remove(least.unwrap_or(0));
    }
    let spare = (width + 1).saturating_sub(needed(&shown));
    let mut x = 0;
    shown
        .into_iter()
        .map(|column| {
            let wide = (column.width + if column.grows { spare } else { 0 }).min(width.saturating_sub(x));
            let placed = (column, x, wide);
            x = (x + wide + 1).min(width);
            placed
        })
        .collect()
}
