//! Columns of numbers as what differs from the ones before, a byte where little does.
//!
//! A number is written seven bits a byte, the lowest first, as in LEB128; a difference as twice itself, and one less for
//! what is below zero, so that small ones of either sign are short.

use maglev_core::sample::BackendId;

fn write(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}

/// Reads what was packed, from the front.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.0.split_first() else { break };
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }
}

const fn difference(before: u64, now: u64) -> u64 {
    let difference = now.wrapping_sub(before).cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

const fn changed(before: u64, difference: u64) -> u64 {
    before.wrapping_add((difference >> 1) ^ (difference & 1).wrapping_neg())
}

/// What `before` lacks of being as long as `now` counts as zeros; where the lengths differ, all of it does.
fn comparable(before: &[u64], length: usize) -> &[u64] {
    if before.len() == length { before } else { &[] }
}

/// Writes a column of counts: each as what it differs by, zeros as how many stand in a row.
pub fn write_counts(before: &[u64], now: &[u64], into: &mut Vec<u8>) {
    let before = comparable(before, now.len()).iter().copied().chain(std::iter::repeat(0));
    let mut zeros = 0_u64;
    for (before, now) in before.zip(now) {
        if before == *now {
            zeros += 1;
            continue;
        }
        write_zeros(&mut zeros, into);
        write(difference(before, *now), into);
    }
    write_zeros(&mut zeros, into);
}

fn write_zeros(zeros: &mut u64, into: &mut Vec<u8>) {
    if *zeros > 0 {
        write(0, into);
        write(*zeros - 1, into);
        *zeros = 0;
    }
}

/// Reads a column of `length` counts that was written beside the same `before`.
#[must_use]
pub fn read_counts(before: &[u64], length: usize, from: &mut Reader<'_>) -> Vec<u64> {
    let before = comparable(before, length).iter().copied().chain(std::iter::repeat(0));
    let mut zeros = 0;
    let count = |before: u64| {
        if zeros > 0 {
            zeros -= 1;
            return before;
        }
        match from.number() {
            0 => {
                zeros = from.number();
                before
            }
            difference => changed(before, difference),
        }
    };
    before.take(length).map(count).collect()
}

/// Who owns slots, and who did before while they settle.
pub type Owners<'a> = (&'a [BackendId], &'a [BackendId]);

/// Writes the slots that changed owner or settled: how far each lies behind the one before, and both of its owners.
pub fn write_owners(before: Owners<'_>, now: Owners<'_>, into: &mut Vec<u8>) {
    let start = into.len();
    let mut count = 0;
    let mut next = 0;
    for (slot, (owner, previous)) in now.0.iter().zip(now.1).enumerate() {
        if owners_at(before, now.0.len(), slot) == (*owner, *previous) {
            continue;
        }
        write((slot - next) as u64, into);
        write(u64::from(owner.0), into);
        write(u64::from(previous.0), into);
        (count, next) = (count + 1, slot + 1);
    }
    let mut head = Vec::new();
    write(count, &mut head);
    into.splice(start..start, head);
}

fn owners_at(before: Owners<'_>, length: usize, slot: usize) -> (BackendId, BackendId) {
    if before.0.len() == length { (before.0[slot], before.1[slot]) } else { Default::default() }
}

/// Reads the owners of `length` slots that were written beside the same `before`.
#[must_use]
pub fn read_owners(
    before: Owners<'_>,
    length: usize,
    from: &mut Reader<'_>,
) -> (Vec<BackendId>, Vec<BackendId>) {
    let (mut owner, mut previous) = if before.0.len() == length {
        (before.0.to_vec(), before.1.to_vec())
    } else {
        (vec![BackendId::NONE; length], vec![BackendId::NONE; length])
    };
    let mut next = 0;
    for _ in 0..from.number() {
        let slot = next + from.small() as usize;
        let both = (BackendId(from.small()), BackendId(from.small()));
        if slot < length {
            (owner[slot], previous[slot]) = both;
        }
        next = slot + 1;
    }
    (owner, previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(before: &[u64], now: &[u64]) -> usize {
        let mut bytes = Vec::new();
        write_counts(before, now, &mut bytes);
        let mut reader = Reader(&bytes);
        assert_eq!(read_counts(before, now.len(), &mut reader), now);
        assert!(reader.0.is_empty());
        bytes.len()
    }

    #[test]
    fn counts_come_back_as_they_were() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut before: Vec<u64> = Vec::new();
        for _ in 0..200 {
            let length = if random.u8(..) < 40 { random.usize(..300) } else { before.len() };
            let bits = random.u32(1..64);
            let mut now: Vec<u64> =
                (0..length).map(|index| before.get(index).copied().unwrap_or(0)).collect();
            for number in &mut now {
                if random.bool() {
                    *number = number.wrapping_add(random.u64(..) >> bits);
                }
            }
            counts(&before, &now);
            before = now;
        }
        counts(&[5, 0, u64::MAX], &[u64::MAX, u64::MAX, 0]);
    }

    #[test]
    fn what_stays_takes_nothing_and_what_grows_little_takes_a_byte() {
        let before = vec![9_u64; 65_537];
        assert!(counts(&before, &before) <= 4);
        let grown: Vec<u64> = before.iter().map(|count| count + 63).collect();
        assert_eq!(counts(&before, &grown), 65_537);
    }

    #[test]
    fn owners_come_back_as_they_were() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut before = (vec![BackendId(1); 50], vec![BackendId::NONE; 50]);
        for _ in 0..200 {
            let mut now = before.clone();
            if random.u8(..) < 20 {
                let length = random.usize(..80);
                now = (vec![BackendId(3); length], vec![BackendId(2); length]);
            }
            for slot in 0..now.0.len() {
                if random.u8(..) < 30 {
                    now.0[slot] = BackendId(random.u32(..));
                    now.1[slot] = BackendId(random.u32(..300));
                }
            }
            let mut bytes = Vec::new();
            write_owners((&before.0, &before.1), (&now.0, &now.1), &mut bytes);
            let mut reader = Reader(&bytes);
            assert_eq!(read_owners((&before.0, &before.1), now.0.len(), &mut reader), now);
            assert!(reader.0.is_empty());
            before = now;
        }
    }
}
