//! What of a picture is not on the terminal yet: a frame takes so many bytes and no more, and the rest comes with the
//! frames behind it. Over a slow link keys and news are taken in between, and of what has changed again by then only
//! the latest is sent.

use std::collections::BTreeMap;

use ratatui::buffer::Cell;

use super::{capability::ColourDepth, encode};

/// Cells that are to be written, by row and column.
#[derive(Debug, Default)]
pub struct Backlog {
    cells: BTreeMap<(u16, u16), Cell>,
    /// Where to go on: where everything changes all the time, the last row has its turn, too.
    next: (u16, u16),
}

impl Backlog {
    /// Adds cells, each with its column and row; what was to be written at their places before is not any more.
    pub fn add<'a>(&mut self, content: impl Iterator<Item = (u16, u16, &'a Cell)>) {
        self.cells.extend(content.map(|(column, row, cell)| ((row, column), cell.clone())));
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Writes as many cells to `bytes` as there are `room` bytes for, or about so many, and one at least.
    pub fn write(&mut self, depth: ColourDepth, room: usize, bytes: &mut Vec<u8>) {
        let in_turn = self.cells.range(self.next..).chain(self.cells.range(..self.next));
        let content: Vec<_> = in_turn.map(|(&(row, column), cell)| (column, row, cell)).collect();
        let (mut count, begin) = (content.len(), bytes.len());
        loop {
            encode::cells(&content[..count], depth, bytes);
            let length = bytes.len() - begin;
            if length <= room || count <= 1 {
                break;
            }
            bytes.truncate(begin);
            // As many as would fit if each took the same, and a little less so that one more try will do.
            count = (count * room / length * 49 / 50).max(1);
        }
        let Some(&(column, row, _)) = content.get(count) else { return self.clear() };
        let written: Vec<_> = content[..count].iter().map(|&(column, row, _)| (row, column)).collect();
        self.next = (row, column);
        for place in written {
            self.cells.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Color;

    use super::*;

    /// A picture of four rows in which no cell is like its neighbour.
    fn picture(colour: u8) -> Vec<(u16, u16, Cell)> {
        let places = (0..4_u16).flat_map(|row| (0..10_u16).map(move |column| (column, row)));
        let cell = |(column, row): (u16, u16)| {
            let mut cell = Cell::new("x");
            cell.set_fg(Color::Indexed(colour + u8::try_from((column + row) % 7).unwrap()));
            (column, row, cell)
        };
        places.map(cell).collect()
    }

    fn add(backlog: &mut Backlog, picture: &[(u16, u16, Cell)]) {
        backlog.add(picture.iter().map(|(column, row, cell)| (*column, *row, cell)));
    }

    #[test]
    fn frames_are_bounded_and_end_up_as_the_picture() {
        let mut terminal = vt100::Parser::new(4.try_into().unwrap(), 10.try_into().unwrap(), 0);
        let mut backlog = Backlog::default();
        add(&mut backlog, &picture(20));
        let mut bytes = Vec::new();
        backlog.write(ColourDepth::Indexed, 200, &mut bytes);
        terminal.process(&bytes);
        // Where nothing was written yet, it is the newer picture that is.
        add(&mut backlog, &picture(40));
        let mut frames = 0;
        while !backlog.is_empty() {
            bytes.clear();
            backlog.write(ColourDepth::Indexed, 200, &mut bytes);
            assert!(bytes.len() <= 200, "{}", bytes.len());
            terminal.process(&bytes);
            frames += 1;
        }
        assert!(frames > 2, "{frames}");
        for (column, row, cell) in picture(40) {
            let seen = terminal.screen().cell(row, column).unwrap();
            let Color::Indexed(index) = cell.fg else { unreachable!("they all are") };
            assert_eq!(seen.fgcolor(), vt100::Color::Idx(index), "{column} {row}");
        }
    }

    #[test]
    fn every_row_has_its_turn_where_all_of_them_change() {
        let mut backlog = Backlog::default();
        let mut terminal = vt100::Parser::new(4.try_into().unwrap(), 10.try_into().unwrap(), 0);
        for round in 0..8 {
            add(&mut backlog, &picture(20 + round));
            let mut bytes = Vec::new();
            backlog.write(ColourDepth::Indexed, 200, &mut bytes);
            terminal.process(&bytes);
        }
        assert_eq!(terminal.screen().contents().matches('x').count(), 40);
    }

    #[test]
    fn a_cell_is_written_where_there_is_no_room_for_any() {
        let mut backlog = Backlog::default();
        add(&mut backlog, &picture(20)[..2]);
        let mut bytes = Vec::new();
        backlog.write(ColourDepth::Indexed, 0, &mut bytes);
        assert_eq!(String::from_utf8(bytes.clone()).unwrap().matches('x').count(), 1);
        backlog.write(ColourDepth::Indexed, 0, &mut bytes);
        assert!(backlog.is_empty());
    }
}
