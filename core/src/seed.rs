//! The hash seed that every table and every flow hash of an installation depends on.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Twelve bytes, written in base64, as Cilium's `maglev.hashSeed`.
///
/// Cilium takes three big-endian words from them: for murmur3 (the tables), and for jhash over IPv4 and over IPv6 flows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashSeed([u8; 12]);

/// Why a text is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// It is not base64.
    #[error("the seed is not base64: {0}")]
    NotBase64(#[from] base64::DecodeError),
    /// It is of another length.
    #[error("the seed has {0} bytes, and must have 12 (16 characters of base64)")]
    NotTwelveBytes(usize),
}

impl HashSeed {
    /// The seed's bytes.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 12] {
        self.0
    }

    /// The seed of those bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// What murmur3 is seeded with, for offset and skip.
    #[must_use]
    pub const fn murmur(&self) -> u32 {
        self.word(0)
    }

    /// What jhash is seeded with for IPv4 flows (`HASH_INIT4_SEED`).
    #[must_use]
    pub const fn jhash_v4(&self) -> u32 {
        self.word(4)
    }

    /// What jhash is seeded with for IPv6 flows (`HASH_INIT6_SEED`).
    #[must_use]
    pub const fn jhash_v6(&self) -> u32 {
        self.word(8)
    }

    const fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

impl Default for HashSeed {
    /// Cilium's default, `JLfvgnHc2kaSUFaI`.
    fn default() -> Self {
        Self([0x24, 0xb7, 0xef, 0x82, 0x71, 0xdc, 0xda, 0x46, 0x92, 0x50, 0x56, 0x88])
    }
}

impl FromStr for HashSeed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let bytes = STANDARD.decode(text)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| SeedError::NotTwelveBytes(bytes.len()))
    }
}

impl fmt::Display for HashSeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for HashSeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HashSeed({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_ciliums() {
        let seed: HashSeed = "JLfvgnHc2kaSUFaI".parse().unwrap();
        assert_eq!(seed, HashSeed::default());
        assert_eq!(
            (seed.murmur(), seed.jhash_v4(), seed.jhash_v6()),
            (616_034_178, 1_910_299_206, 2_454_738_568)
        );
        assert_eq!(seed.to_string(), "JLfvgnHc2kaSUFaI");
    }

    #[test]
    fn other_lengths_are_refused() {
        assert_eq!("JLfvgnHc2kY=".parse::<HashSeed>(), Err(SeedError::NotTwelveBytes(8)));
        assert!(matches!("JLf!".parse::<HashSeed>(), Err(SeedError::NotBase64(_))));
    }
}
