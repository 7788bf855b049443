//! Whose turn it is when backends have unlike weights.

use super::Turn;

/// Cilium lets turns go round, and has a backend pass its turn on until the slots that are gone have come up to what
/// it had: in turn *n* the one of weight *W* passes while (n + 1)·W < due, where due begins at ⌊W / backends⌋ and
/// grows by the sum of the weights with each slot it takes.
///
/// Cilium keeps *due* as a float64. Its whole part is the same for weights up to 65,535 and tables up to 2^20: the sum
/// is a whole number, and the fraction, a multiple of 1 / backends, is too coarse for rounding to carry it over.
pub(super) struct Schedule {
    /// The first turn that each backend does not pass on. Apart, since this is what is looked through.
    ready: Vec<u32>,
    dues: Vec<Due>,
}

/// When a backend is due, as a mixed number of turns: `whole` + `part` / `weight`; and by how much that grows.
struct Due {
    weight: u64,
    whole: u64,
    part: u64,
    step_whole: u64,
    step_part: u64,
}

impl Schedule {
    /// The schedule of `turns`; `None` where they simply go round: where all weights are equal, and where their mean,
    /// in whole numbers, is below 2, as Cilium has it.
    pub(super) fn of(turns: &[Turn]) -> Option<Self> {
        let count = turns.len() as u64;
        let sum: u64 = turns.iter().map(|turn| u64::from(turn.weight)).sum();
        if sum / count < 2 || turns.iter().all(|turn| turn.weight == turns[0].weight) {
            return None;
        }
        let due = |turn: &Turn| {
            let weight = u64::from(turn.weight);
            // A weight of 0 is due once, and never again.
            let step_whole = sum.checked_div(weight).unwrap_or(u64::from(u32::MAX));
            let step_part = sum.checked_rem(weight).unwrap_or(0);
            // There are two backends at least, so ⌊weight / count⌋ is less than one whole turn's weight.
            Due { weight, whole: 0, part: weight / count, step_whole, step_part }
        };
        Some(Self { ready: vec![0; turns.len()], dues: turns.iter().map(due).collect() })
    }

    /// Whose turn it is for slot number `number`, counted from 0 in the order of taking.
    pub(super) fn turn(&mut self, number: u32) -> usize {
        let start = number as usize % self.ready.len();
        let turn = match first_ready(&self.ready[start..], number) {
            Some(ahead) => start + ahead,
            None => first_ready(&self.ready, number).unwrap_or(start),
        };
        self.ready[turn] = u32::try_from(self.dues[turn].advance()).unwrap_or(u32::MAX);
        turn
    }
}

/// The first that is ready, looked for many at once: where it turns up cannot be predicted, so a branch at each costs
/// more than a look at all.
fn first_ready(ready: &[u32], number: u32) -> Option<usize> {
    const MANY: usize = 16;
    let (chunks, rest) = ready.as_chunks::<MANY>();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut mask = 0_u32;
        for (bit, &ready) in chunk.iter().enumerate() {
            mask |= u32::from(ready <= number) << bit;
        }
        if mask != 0 {
            return Some(index * MANY + mask.trailing_zeros() as usize);
        }
    }
    let at = rest.iter().position(|&ready| ready <= number)?;
    Some(ready.len() - rest.len() + at)
}

impl Due {
    /// Goes on by one slot, and says in which turn it is due then.
    fn advance(&mut self) -> u64 {
        self.whole += self.step_whole;
        self.part += self.step_part;
        if self.part >= self.weight && self.weight > 0 {
            self.part -= self.weight;
            self.whole += 1;
        }
        // (n + 1)·W ≥ due from n = ⌈due / W⌉ − 1 on.
        (self.whole + u64::from(self.part > 0)).saturating_sub(1)
    }
}
