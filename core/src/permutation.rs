//! A backend's permutation: the order in which it asks for slots (Maglev, NSDI 2016, §3.4; hashed as Cilium hashes).

use std::net::SocketAddr;

use crate::service::Protocol;

/// The slots in the order in which a backend asks for them: `offset`, then `skip` further each time, round the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// The slot that is asked for first.
    pub offset: u32,
    /// How far on the next one is, 1 to the table size less one.
    pub skip: u32,
}

impl Permutation {
    /// The permutation of the backend of that key in a table of `table_size` slots (`pkg/maglev`, `getPermutation`).
    ///
    /// # Panics
    ///
    /// When the table has fewer than two slots.
    #[must_use]
    pub fn new(key: &str, murmur_seed: u32, table_size: u32) -> Self {
        assert!(table_size >= 2, "a table of {table_size} slots has no permutations");
        let (first, second) = murmur3_x64_128(key.as_bytes(), murmur_seed);
        let size = u64::from(table_size);
        let below_size =
            |value: u64| u32::try_from(value).unwrap_or_else(|_| unreachable!("less than the table size"));
        Self { offset: below_size(first % size), skip: below_size(second % (size - 1) + 1) }
    }

    /// Where in the permutation a slot stands: 0 for the first one asked for.
    #[must_use]
    pub fn position_of(&self, slot: u32, table_size: u32) -> u32 {
        let mut at = self.offset;
        for position in 0..table_size {
            if at == slot {
                return position;
            }
            at = self.after(at, table_size);
        }
        table_size
    }

    /// The slot asked for after `slot`.
    #[must_use]
    pub const fn after(&self, slot: u32, table_size: u32) -> u32 {
        let room = table_size - self.skip;
        if slot < room { slot + self.skip } else { slot - room }
    }
}

/// The text that Cilium ≥ 1.17 hashes and sorts a backend by: `[10.0.0.1:80/TCP,State:active]`.
#[must_use]
pub fn backend_key(address: SocketAddr, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    };
    format!("[{address}/{protocol},State:active]")
}

/// `MurmurHash3_x64_128` of `data` (Austin Appleby, public domain), its two words.
#[must_use]
pub fn murmur3_x64_128(data: &[u8], seed: u32) -> (u64, u64) {
    const FIRST: u64 = 0x87c3_7b91_1142_53d5;
    const SECOND: u64 = 0x4cf5_ad43_2745_937f;
    let scramble_first = |word: u64| word.wrapping_mul(FIRST).rotate_left(31).wrapping_mul(SECOND);
    let scramble_second = |word: u64| word.wrapping_mul(SECOND).rotate_left(33).wrapping_mul(FIRST);
    let word = |bytes: &[u8]| {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(padded)
    };

    let (mut first, mut second) = (u64::from(seed), u64::from(seed));
    let mut blocks = data.chunks_exact(16);
    for block in &mut blocks {
        first ^= scramble_first(word(&block[..8]));
        first = first.rotate_left(27).wrapping_add(second).wrapping_mul(5).wrapping_add(0x52dc_e729);
        second ^= scramble_second(word(&block[8..]));
        second = second.rotate_left(31).wrapping_add(first).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let tail = blocks.remainder();
    if tail.len() > 8 {
        second ^= scramble_second(word(&tail[8..]));
    }
    if !tail.is_empty() {
        first ^= scramble_first(word(&tail[..tail.len().min(8)]));
    }

    first ^= data.len() as u64;
    second ^= data.len() as u64;
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    first = final_mix(first);
    second = final_mix(second);
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    (first, second)
}

const fn final_mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_keys_are_written_as_cilium_writes_them() {
        assert_eq!(
            backend_key("[fd00::1]:80".parse().unwrap(), Protocol::Tcp),
            "[[fd00::1]:80/TCP,State:active]"
        );
        assert_eq!(
            backend_key("[::ffff:10.0.0.1]:53".parse().unwrap(), Protocol::Udp),
            "[[::ffff:10.0.0.1]:53/UDP,State:active]"
        );
    }

    #[test]
    fn a_permutation_visits_every_slot_once() {
        let permutation = Permutation::new("[10.0.0.1:80/TCP,State:active]", 1, 251);
        let mut seen = [false; 251];
        let mut slot = permutation.offset;
        for position in 0..251 {
            assert!(!std::mem::replace(&mut seen[slot as usize], true), "slot {slot} is asked for twice");
            assert_eq!(permutation.position_of(slot, 251), position);
            slot = permutation.after(slot, 251);
        }
        assert_eq!(slot, permutation.offset);
    }
}
