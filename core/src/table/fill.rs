//! Cilium's fill (`pkg/maglev/maglev.go`, `getLookupTable`), slot by slot the same and without its arrays: each
//! backend's permutation is walked as far as it is needed, and nothing is divided on the way.

use super::{NO_BACKEND, Turn, schedule::Schedule};
use crate::permutation::Permutation;

/// Fills the `table_size` slots with the owners of `turns`, of which there is one at least.
pub(super) fn fill(turns: &[Turn], table_size: u32, murmur_seed: u32) -> Vec<u32> {
    let mut filling = Filling::new(turns, table_size, murmur_seed);
    match Schedule::of(turns) {
        None => {
            let rounds = (0..turns.len()).cycle().take(table_size as usize);
            rounds.for_each(|turn| filling.take(turn));
        }
        Some(mut schedule) => (0..table_size).for_each(|number| filling.take(schedule.turn(number))),
    }
    filling.slots
}

/// A table on its way.
struct Filling {
    slots: Vec<u32>,
    /// Which slots are taken, a bit each: the table itself would not stay in the nearest cache.
    taken: Vec<u64>,
    walks: Vec<Walk>,
}

/// How far a backend has got in its permutation.
struct Walk {
    permutation: Permutation,
    next: u32,
    owner: u32,
}

impl Filling {
    fn new(turns: &[Turn], table_size: u32, murmur_seed: u32) -> Self {
        let walk = |turn: &Turn| {
            let permutation = Permutation::new(&turn.key, murmur_seed, table_size);
            Walk { permutation, next: permutation.offset, owner: turn.owner }
        };
        Self {
            slots: vec![NO_BACKEND; table_size as usize],
            taken: vec![0; table_size.div_ceil(64) as usize],
            walks: turns.iter().map(walk).collect(),
        }
    }

    /// Gives a backend the next free slot of its permutation.
    fn take(&mut self, turn: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "there are as many slots as fit 32 bits")]
        let table_size = self.slots.len() as u32;
        let Walk { permutation, next: mut slot, owner } = self.walks[turn];
        while self.taken[slot as usize / 64] >> (slot % 64) & 1 == 1 {
            slot = permutation.after(slot, table_size);
        }
        self.taken[slot as usize / 64] |= 1 << (slot % 64);
        self.slots[slot as usize] = owner;
        self.walks[turn].next = permutation.after(slot, table_size);
    }
}
