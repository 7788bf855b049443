//! Single words in the arrays of rows.

use maglev_probe_abi::ROW_WORDS;

use crate::maps::Rows;

/// A word that other processors and user space read and write at the same time: it is loaded and stored whole.
#[derive(Clone, Copy)]
pub(crate) struct Cell(*mut u64);

impl Cell {
    /// The word of `slot` in an array, or `None` where the array ends before it.
    #[inline(always)]
    pub(crate) fn of(rows: &Rows, slot: u32) -> Option<Self> {
        Self::in_row(rows, slot / ROW_WORDS as u32, slot)
    }

    /// The word of `slot` in one of the rows.
    #[inline(always)]
    pub(crate) fn in_row(rows: &Rows, row: u32, slot: u32) -> Option<Self> {
        let words = rows.get_ptr_mut(row)?.cast::<u64>();
        // SAFETY: a row has `ROW_WORDS` words, a power of two, and the index is less than that.
        Some(Self(unsafe { words.add(slot as usize & (ROW_WORDS - 1)) }))
    }

    #[inline(always)]
    pub(crate) fn load(self) -> u64 {
        // SAFETY: it points into a map's element, which lives as long as the program runs, and is aligned.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    pub(crate) fn store(self, word: u64) {
        // SAFETY: as for `load`.
        unsafe { self.0.write_volatile(word) }
    }
}
