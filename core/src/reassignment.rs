//! What lies between two tables: which slots changed owner, and from whom to whom.

use std::collections::BTreeMap;

/// The difference between the owners of the same slots at two times. `Owner` is whatever names a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reassignment<Owner: Ord> {
    moves: BTreeMap<(Owner, Owner), u32>,
    runs: Vec<Run>,
}

/// Slots next to each other that all changed owner, between slots that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: u32,
    /// How many they are.
    pub slots: u32,
}

impl<Owner: Copy + Ord> Reassignment<Owner> {
    /// The difference between two columns of owners, slot by slot.
    ///
    /// # Panics
    ///
    /// When they are not of one length: slots of tables of two sizes have nothing to do with each other.
    #[must_use]
    pub fn between(before: &[Owner], after: &[Owner]) -> Self {
        assert_eq!(before.len(), after.len(), "tables of two sizes have no slots in common");
        let (mut moves, mut runs) = (BTreeMap::new(), Vec::<Run>::new());
        let changed = (0..).zip(before.iter().zip(after)).filter(|(_, (old, new))| old != new);
        for (slot, (&old, &new)) in changed {
            *moves.entry((old, new)).or_insert(0) += 1;
            match runs.last_mut() {
                Some(run) if run.first + run.slots == slot => run.slots += 1,
                _ => runs.push(Run { first: slot, slots: 1 }),
            }
        }
        Self { moves, runs }
    }

    /// How many slots changed owner.
    #[must_use]
    pub fn moved(&self) -> u32 {
        self.moves.values().sum()
    }

    /// How many slots had to change owner, whatever the method: the sum, over the owners that have fewer slots than
    /// before, of how many fewer.
    #[must_use]
    pub fn minimum(&self) -> u32 {
        let mut net: BTreeMap<Owner, i64> = BTreeMap::new();
        for (&(old, new), &slots) in &self.moves {
            *net.entry(old).or_default() += i64::from(slots);
            *net.entry(new).or_default() -= i64::from(slots);
        }
        let fewer = net.into_values().filter(|&fewer| fewer > 0).sum::<i64>();
        u32::try_from(fewer).unwrap_or_else(|_| unreachable!("no more than the slots there are"))
    }

    /// How many slots went from the first owner to the second, for every two between whom any did.
    pub fn moves(&self) -> impl Iterator<Item = (Owner, Owner, u32)> {
        self.moves.iter().map(|(&(old, new), &slots)| (old, new, slots))
    }

    /// How many slots `owner` got from others.
    #[must_use]
    pub fn gained(&self, owner: Owner) -> u32 {
        self.moves().filter(|&(_, new, _)| new == owner).map(|(_, _, slots)| slots).sum()
    }

    /// How many slots others got from `owner`.
    #[must_use]
    pub fn lost(&self, owner: Owner) -> u32 {
        self.moves().filter(|&(old, _, _)| old == owner).map(|(_, _, slots)| slots).sum()
    }

    /// The changed slots, as runs in ascending order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_and_runs_are_counted() {
        let reassignment = Reassignment::between(b"aaabbbccc-", b"abbbbaccbb");
        assert_eq!(reassignment.moved(), 5);
        let moves: Vec<_> = reassignment.moves().collect();
        assert_eq!(moves, [(b'-', b'b', 1), (b'a', b'b', 2), (b'b', b'a', 1), (b'c', b'b', 1)]);
        assert_eq!(
            reassignment.runs(),
            [Run { first: 1, slots: 2 }, Run { first: 5, slots: 1 }, Run { first: 8, slots: 2 }]
        );
        assert_eq!((reassignment.gained(b'b'), reassignment.lost(b'b')), (4, 1));
        // One of a's goes anyway, c's and the free one too; b's to a only makes another of a's go.
        assert_eq!(reassignment.minimum(), 3);
    }

    #[test]
    fn equal_tables_differ_in_nothing() {
        let reassignment = Reassignment::between(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!(reassignment, Reassignment::default());
        assert_eq!((reassignment.moved(), reassignment.minimum()), (0, 0));
    }
}
