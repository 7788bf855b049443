//! The lookup table: Cilium's fill, bit for bit, walking each backend's permutation only as far as it is needed.

mod fill;
mod schedule;

use crate::{
    permutation::backend_key,
    seed::HashSeed,
    service::{Backend, Protocol, Service},
};

/// The sizes that Cilium takes (`bpf-lb-maglev-table-size`).
pub const CILIUM_TABLE_SIZES: [u32; 10] = [251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 131_071];

/// The largest table there is room for.
pub const MAX_TABLE_SIZE: u32 = 1_048_573;

/// A slot that nobody owns.
pub const NO_BACKEND: u32 = u32::MAX;

/// Which backend owns each slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTable {
    slots: Vec<u32>,
}

/// Why a table cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A permutation visits every slot only where the size is prime.
    #[error(
        "table size {0} is not a prime; use one of Cilium's: 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071"
    )]
    NotPrime(u32),
    /// There is no room for it.
    #[error("table size {0} is over the largest, {MAX_TABLE_SIZE}")]
    TooLarge(u32),
}

/// One backend as the fill sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the slots say for this backend.
    pub owner: u32,
    /// What is hashed, and what turns are ordered by: [`backend_key`].
    pub key: String,
    /// Its weight; Cilium has none over 65,535.
    pub weight: u32,
}

impl LookupTable {
    /// The table of a service's active backends; each slot is an index into `service.backends`.
    ///
    /// # Errors
    ///
    /// When the size cannot be that of a table.
    pub fn of_service(service: &Service, seed: &HashSeed) -> Result<Self, TableError> {
        Self::of_backends(&service.backends, service.protocol, service.table_size, seed)
    }

    /// The table of the active ones of `backends`; each slot is an index into `backends`.
    ///
    /// # Errors
    ///
    /// When the size cannot be that of a table.
    pub fn of_backends(
        backends: &[Backend],
        protocol: Protocol,
        table_size: u32,
        seed: &HashSeed,
    ) -> Result<Self, TableError> {
        let turns = (0..)
            .zip(backends)
            .filter(|(_, backend)| backend.gets_flows())
            .map(|(owner, backend)| Turn {
                owner,
                key: backend_key(backend.address, protocol),
                weight: u32::from(backend.weight),
            })
            .collect();
        Self::fill(turns, table_size, seed.murmur())
    }

    /// Fills a table (`pkg/maglev/maglev.go`, `getLookupTable`): turns go round in the order of the keys; a backend
    /// whose weight does not call for this turn yet passes it on; each turn takes the next free slot of the
    /// backend's permutation. Without turns every slot is [`NO_BACKEND`].
    ///
    /// # Errors
    ///
    /// When the size cannot be that of a table.
    pub fn fill(mut turns: Vec<Turn>, table_size: u32, murmur_seed: u32) -> Result<Self, TableError> {
        check_table_size(table_size)?;
        if turns.is_empty() {
            return Ok(Self { slots: vec![NO_BACKEND; table_size as usize] });
        }
        turns.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { slots: fill::fill(&turns, table_size, murmur_seed) })
    }

    /// The owner of each slot, or [`NO_BACKEND`].
    #[must_use]
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// How many slots each owner has; owners are 0 to `owners` less one.
    #[must_use]
    pub fn counts(&self, owners: usize) -> Vec<u32> {
        let mut counts = vec![0; owners];
        for &owner in &self.slots {
            if let Some(count) = counts.get_mut(owner as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// The slot of a flow hash.
    #[must_use]
    pub fn slot_of(&self, hash: u32) -> u32 {
        hash % u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }
}

/// Says whether a table may have that size.
///
/// # Errors
///
/// When it may not.
pub const fn check_table_size(table_size: u32) -> Result<(), TableError> {
    if table_size > MAX_TABLE_SIZE {
        return Err(TableError::TooLarge(table_size));
    }
    // A table of two slots has a single skip; Maglev begins at three.
    if table_size < 3 {
        return Err(TableError::NotPrime(table_size));
    }
    let mut divisor = 2;
    while divisor * divisor <= table_size {
        if table_size.is_multiple_of(divisor) {
            return Err(TableError::NotPrime(table_size));
        }
        divisor += 1;
    }
    Ok(())
}
