//! Which slots are on screen, and which pixel shows which.
//!
//! Pixels stand in rows. A row starts at a slot that can be said over the phone: the number of slots in a row is the
//! number of columns, a multiple of ten where there is room for it, times the slots in a pixel.

use std::ops::Range;

/// Part of a table, pixel by pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The number of slots of the table.
    pub slots: u32,
    /// The slot at the top left.
    pub first: u32,
    /// Slots in a pixel.
    pub per_pixel: u32,
    /// Pixels in a row.
    pub columns: u32,
    /// Rows of pixels.
    pub rows: u32,
    /// How many cells of the screen a pixel takes, where a table is so small that it takes several.
    pub tile: Option<Tile>,
}

/// A pixel that takes several cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Cells beside one another.
    pub wide: u16,
    /// Cells below one another.
    pub tall: u16,
}

impl Window {
    /// All slots, in the fewest to a pixel that have room.
    #[must_use]
    pub fn overview(slots: u32, columns: u32, rows: u32) -> Self {
        let pixels = (columns * rows).max(1);
        Self { slots, first: 0, per_pixel: slots.div_ceil(pixels).max(1), columns, rows, tile: None }
    }

    /// The same table with `per_pixel` slots in a pixel, so that `cursor` is on screen, in the middle where it can be;
    /// no more than the overview has.
    #[must_use]
    pub fn zoomed(self, per_pixel: u32, cursor: u32) -> Self {
        let overview = Self::overview(self.slots, self.columns, self.rows);
        if per_pixel >= overview.per_pixel {
            return Self { tile: self.tile, ..overview };
        }
        let window = Self { per_pixel: per_pixel.max(1), ..self };
        let row = window.row_of(cursor);
        window.at_row(row.saturating_sub(self.rows / 2))
    }

    /// The next step in: half as many slots in a pixel, to a power of two.
    #[must_use]
    pub fn closer(self) -> u32 {
        if self.per_pixel.is_power_of_two() {
            (self.per_pixel / 2).max(1)
        } else {
            self.per_pixel.next_power_of_two() / 2
        }
    }

    /// The next step out: twice as many.
    #[must_use]
    pub const fn farther(self) -> u32 {
        self.per_pixel.saturating_mul(2)
    }

    /// The same zoom, moved as little as it takes for `cursor` to be on screen.
    #[must_use]
    pub fn following(self, cursor: u32) -> Self {
        let (row, top) = (self.row_of(cursor), self.row_of(self.first));
        if row < top {
            self.at_row(row)
        } else if row >= top + self.rows {
            self.at_row((row + 1).saturating_sub(self.rows))
        } else {
            self
        }
    }

    fn at_row(self, row: u32) -> Self {
        let total = self.slots.div_ceil(self.row_slots());
        let row = row.min(total.saturating_sub(self.rows));
        Self { first: row * self.row_slots(), ..self }
    }

    /// Slots in a row of pixels.
    #[must_use]
    pub fn row_slots(self) -> u32 {
        (self.columns * self.per_pixel).max(1)
    }

    fn row_of(self, slot: u32) -> u32 {
        slot / self.row_slots()
    }

    /// The slots that a pixel shows; none where it lies behind the end.
    #[must_use]
    pub fn slots_of(self, column: u32, row: u32) -> Range<u32> {
        let pixel = row * self.columns + column;
        let start = self.first.saturating_add(pixel.saturating_mul(self.per_pixel)).min(self.slots);
        start..start.saturating_add(self.per_pixel).min(self.slots)
    }

    /// The slots on screen.
    #[must_use]
    pub fn shown(self) -> Range<u32> {
        let count = self.row_slots().saturating_mul(self.rows);
        self.first..self.first.saturating_add(count).min(self.slots)
    }

    /// The pixel that shows a slot.
    #[must_use]
    pub fn pixel_of(self, slot: u32) -> Option<(u32, u32)> {
        if !self.shown().contains(&slot) || self.per_pixel == 0 {
            return None;
        }
        let pixel = (slot - self.first) / self.per_pixel;
        Some((pixel % self.columns, pixel / self.columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_has_every_slot() {
        for (slots, columns, rows) in
            [(16_381, 70, 26), (251, 70, 26), (131_071, 40, 3), (5, 1, 1), (3, 0, 0)]
        {
            let window = Window::overview(slots, columns, rows);
            assert!(columns * rows == 0 || window.shown() == (0..slots), "{window:?}");
        }
        assert_eq!(Window::overview(16_381, 70, 26).per_pixel, 10);
    }

    #[test]
    fn every_slot_has_one_pixel() {
        let window = Window::overview(1000, 10, 4).zoomed(3, 500);
        for row in 0..window.rows {
            for column in 0..window.columns {
                for slot in window.slots_of(column, row) {
                    assert_eq!(window.pixel_of(slot), Some((column, row)));
                }
            }
        }
        assert!(window.shown().contains(&500));
        assert_eq!(window.first % window.row_slots(), 0);
    }

    #[test]
    fn zooming_goes_by_powers_of_two_and_stops() {
        let mut window = Window::overview(16_381, 70, 26);
        let mut steps = vec![window.per_pixel];
        while window.per_pixel > 1 {
            window = window.zoomed(window.closer(), 16_380);
            steps.push(window.per_pixel);
            assert!(window.pixel_of(16_380).is_some());
        }
        assert_eq!(steps, [10, 8, 4, 2, 1]);
        assert_eq!(window.zoomed(window.closer(), 0).per_pixel, 1);
        assert_eq!(window.zoomed(1 << 30, 0), Window::overview(16_381, 70, 26));
    }

    #[test]
    fn the_window_follows_the_cursor() {
        let window = Window::overview(16_381, 70, 26).zoomed(1, 0);
        assert_eq!(window.first, 0);
        let below = window.following(70 * 26);
        assert_eq!(below.first, 70);
        assert_eq!(below.following(70).first, 70);
        assert_eq!(below.following(0).first, 0);
        assert!(window.following(16_380).shown().contains(&16_380));
    }
}
