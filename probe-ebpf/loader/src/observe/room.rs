//! Where the rows of a frontend's slots are among those of a stripe.

use std::collections::BTreeMap;

use maglev_probe_abi::ROW_WORDS;

/// Rows, given away in pieces.
#[derive(Debug, Default)]
pub(super) struct Room {
    rows: u32,
    /// How many rows each piece has, by its first one.
    taken: BTreeMap<u32, u32>,
}

impl Room {
    pub(super) const fn new(rows: u32) -> Self {
        Self { rows, taken: BTreeMap::new() }
    }

    /// Takes the first piece that is free and long enough; `None` where there is none.
    pub(super) fn take(&mut self, rows: u32) -> Option<u32> {
        let mut first = 0;
        for (&start, &length) in &self.taken {
            if start - first >= rows {
                break;
            }
            first = start + length;
        }
        if self.rows.checked_sub(first)? < rows {
            return None;
        }
        self.taken.insert(first, rows);
        Some(first)
    }

    /// Gives a piece back, by its first row.
    pub(super) fn give_back(&mut self, first: u32) {
        self.taken.remove(&first);
    }
}

/// How many rows a table of so many slots takes.
pub(super) fn rows_of(table_size: usize) -> u32 {
    u32::try_from(table_size.div_ceil(ROW_WORDS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Room, rows_of};

    #[test]
    fn pieces_lie_beside_one_another_and_are_taken_again() {
        let mut room = Room::new(10);
        assert_eq!([room.take(3), room.take(4), room.take(3)], [Some(0), Some(3), Some(7)]);
        assert_eq!(room.take(1), None);
        room.give_back(3);
        assert_eq!(room.take(5), None);
        assert_eq!([room.take(2), room.take(2), room.take(1)], [Some(3), Some(5), None]);
        room.give_back(7);
        assert_eq!(room.take(3), Some(7));
    }

    #[test]
    fn a_table_takes_whole_rows() {
        assert_eq!([rows_of(251), rows_of(512), rows_of(513), rows_of(131_071)], [1, 1, 2, 256]);
    }
}
