//! Whether a table of Cilium's is the one that its backends and the seed call for.
//!
//! Weights are in none of the maps. A table that equal weights do not explain is tried with weights in the ratios of
//! its slot counts.

use super::{
    node::{Frontend, Member},
    wire::BackendState,
};
use crate::{
    seed::HashSeed,
    table::{LookupTable, TableError, Turn},
};

/// The largest weight that is tried for the backend with most slots.
const LARGEST_TRIED: u32 = 400;

/// How many tables are filled in search of weights, at most.
const MOST_FILLS: usize = 64;

/// Slots that may differ for it still to be this table with faults in it: other weights, or another seed, move many more.
const FEW: usize = 16;

/// What a verification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every slot is as it should be.
    Matches,
    /// Some are not.
    Differs,
    /// There is no saying: weights that were not found, another seed, or another version's fill.
    Unexplained,
}

crate::words::words! {
    Verdict { Matches => "matches", Differs => "differs", Unexplained => "unexplained" }
}

/// Which text of a backend is hashed: two versions of Cilium fill two tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashText {
    /// That of 1.17 and newer, with the protocol.
    #[default]
    WithProtocol,
    /// That of the versions before, without.
    WithoutProtocol,
}

/// What weights explain a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightFit {
    /// All are equal.
    Equal,
    /// These, in the order of the usable backends, or any others in the same ratios.
    Inferred(Vec<u32>),
    /// None that was tried.
    None,
}

/// A slot that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifferingSlot {
    /// Which one.
    pub slot: u32,
    /// The id of the backend that the kernel's table has.
    pub kernel: u32,
    /// The id of the backend that it should have.
    pub expected: u32,
}

/// What is to be said of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether it is right.
    pub verdict: Verdict,
    /// The weights that it was compared under.
    pub weights: WeightFit,
    /// The text of backends that it was compared under.
    pub text: HashText,
    /// Slots that differ, in their order. Empty unless the verdict is
    /// that they differ.
    pub differing: Vec<DifferingSlot>,
    /// Why it is unexplained, or what the reader should know.
    pub reason: Option<String>,
}

/// The table that `members` call for; each slot a backend's id. `weights` are in the order of `members`, equal if
/// there are none.
///
/// # Errors
///
/// When no table can have that size.
pub fn table_of(
    members: &[Member],
    weights: Option<&[u32]>,
    table_size: u32,
    seed: &HashSeed,
    text: HashText,
) -> Result<Vec<u32>, TableError> {
    let turns = members
        .iter()
        .enumerate()
        .filter_map(|(at, member)| {
            let weight = weights.map_or(100, |weights| weights[at]);
            let record = member.record?;
            let key = match text {
                HashText::WithProtocol => record.key(),
                HashText::WithoutProtocol => record.older_key(),
            };
            Some(Turn { owner: member.id, key, weight })
        })
        .collect();
    Ok(LookupTable::fill(turns, table_size, seed.murmur())?.slots().to_vec())
}

/// Whether the table tells that this is the seed: no other would agree with so many slots.
#[must_use]
pub fn recognises(frontend: &Frontend, seed: &HashSeed) -> bool {
    // One backend owns every slot whatever the seed.
    if frontend.usable.len() < 2 {
        return false;
    }
    let verification = verify(frontend, seed);
    verification.verdict == Verdict::Matches
        || verification.verdict == Verdict::Differs && verification.differing.len() <= FEW
}

/// Compares a frontend's table with the one that its usable backends and the seed call for.
#[must_use]
pub fn verify(frontend: &Frontend, seed: &HashSeed) -> Verification {
    let unexplained = |reason: String| Verification {
        verdict: Verdict::Unexplained,
        weights: WeightFit::None,
        text: HashText::default(),
        differing: Vec::new(),
        reason: Some(reason),
    };
    let Some(kernel) = kernel_slots(frontend) else { return unexplained("it has no table".to_owned()) };
    let members = &frontend.usable;
    if members.is_empty() {
        return unexplained(
            "the table is stale: the service has no usable backends, and nothing looks at it".to_owned(),
        );
    }
    if let Some(lost) = members.iter().find(|member| member.record.is_none()) {
        return unexplained(format!("backend {} is not in the backends map", lost.id));
    }
    let size = u32::try_from(kernel.len()).unwrap_or(u32::MAX);
    let equal = match table_of(members, None, size, seed, HashText::WithProtocol) {
        Ok(table) => table,
        Err(error) => return unexplained(error.to_string()),
    };
    let newer = differences(kernel, &equal);
    let older = table_of(members, None, size, seed, HashText::WithoutProtocol)
        .ok()
        .map(|table| differences(kernel, &table))
        .filter(|older| older.len() < newer.len());
    let (text, differing) = match older {
        Some(older) => (HashText::WithoutProtocol, older),
        None => (HashText::WithProtocol, newer),
    };
    if differing.is_empty() {
        return Verification {
            verdict: Verdict::Matches,
            weights: WeightFit::Equal,
            text,
            differing,
            reason: (text == HashText::WithoutProtocol).then(older_fill),
        };
    }
    let counts = counts(members, kernel);
    let like_equal = fit_equal_weights(&counts, kernel.len());
    let inferred = if like_equal { None } else { nearest(members, kernel, &counts, seed) };
    match inferred {
        Some((weights, differing)) if differing.is_empty() => Verification {
            verdict: Verdict::Matches,
            reason: Some(format!("only weights explain it: {}", listed(members, &weights))),
            weights: WeightFit::Inferred(weights),
            text: HashText::WithProtocol,
            differing,
        },
        _ if like_equal && is_chance(differing.len(), kernel.len(), members.len()) => unexplained(
            "hardly more slots agree than by chance: was it built with another seed?".to_owned(),
        ),
        _ if like_equal || differing.len() <= FEW => {
            Verification {
                verdict: Verdict::Differs,
                weights: WeightFit::Equal,
                text,
                differing,
                reason: (text == HashText::WithoutProtocol).then(older_fill),
            }
        }
        _ => unexplained(
            "the slot counts do not fit equal weights, and no weights were found that give this table: weights are in none of Cilium's maps".to_owned(),
        ),
    }
}

/// Whether two tables that have nothing to do with each other may differ in no more slots than these; with equal shares
/// one slot in as many agrees as there are members.
fn is_chance(differing: usize, slots: usize, members: usize) -> bool {
    // Half of what chance makes of them: faults of single slots are far below, and chance hardly strays from it.
    differing > FEW && 2 * differing * members > slots * (members - 1) && members > 1
}

fn older_fill() -> String {
    "it was built by Cilium before 1.17, which hashed backends without their protocol: a node with 1.17 or newer has another table for the same backends".to_owned()
}

/// The weights of those tried whose table differs in the fewest slots, and those slots.
fn nearest(
    members: &[Member],
    kernel: &[u32],
    counts: &[u32],
    seed: &HashSeed,
) -> Option<(Vec<u32>, Vec<DifferingSlot>)> {
    let size = u32::try_from(kernel.len()).ok()?;
    let mut nearest: Option<(Vec<u32>, Vec<DifferingSlot>)> = None;
    for weights in candidates(counts, size) {
        let differing =
            differences(kernel, &table_of(members, Some(&weights), size, seed, HashText::default()).ok()?);
        if differing.is_empty() {
            return Some((weights, differing));
        }
        if nearest.as_ref().is_none_or(|(_, least)| differing.len() < least.len()) {
            nearest = Some((weights, differing));
        }
    }
    nearest
}

impl Verification {
    /// What is to be said where the seed is not known.
    #[must_use]
    pub fn without_seed() -> Self {
        Self {
            verdict: Verdict::Unexplained,
            weights: WeightFit::None,
            text: HashText::default(),
            differing: Vec::new(),
            reason: Some("the seed is not known; give it with --seed".to_owned()),
        }
    }
}

fn kernel_slots(frontend: &Frontend) -> Option<&[u32]> {
    frontend.table.as_ref().map(|table| table.slots.as_slice())
}

fn differences(kernel: &[u32], expected: &[u32]) -> Vec<DifferingSlot> {
    (0..)
        .zip(kernel.iter().zip(expected))
        .filter(|(_, (a, b))| a != b)
        .map(|(slot, (&kernel, &expected))| DifferingSlot { slot, kernel, expected })
        .collect()
}

/// How many slots each member has.
fn counts(members: &[Member], kernel: &[u32]) -> Vec<u32> {
    let mut by_id = std::collections::BTreeMap::<u32, u32>::new();
    for &id in kernel {
        *by_id.entry(id).or_default() += 1;
    }
    members.iter().map(|member| by_id.get(&member.id).copied().unwrap_or(0)).collect()
}

/// Whether everybody has as many slots as the others, or one more.
fn fit_equal_weights(counts: &[u32], slots: usize) -> bool {
    let fair = slots / counts.len().max(1);
    counts.iter().all(|&count| (fair..=fair + 1).contains(&(count as usize)))
}

/// Weights that would give those counts, to within two slots; small ones first.
fn candidates(counts: &[u32], size: u32) -> impl Iterator<Item = Vec<u32>> {
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    (1..=LARGEST_TRIED)
        .map(move |largest| -> Vec<u32> {
            counts.iter().map(|&count| ((count * largest + most / 2) / most).max(1)).collect()
        })
        .filter(move |weights| {
            let sum: u32 = weights.iter().sum();
            weights.iter().zip(counts).all(|(&weight, &count)| {
                let called_for = f64::from(size) * f64::from(weight) / f64::from(sum);
                (called_for - f64::from(count)).abs() <= 2.0
            })
        })
        // Cilium does not heed weights whose mean is below 2: those were larger, in the same ratios.
        .map(|weights| {
            let mean = weights.iter().sum::<u32>() / u32::try_from(weights.len()).unwrap_or(u32::MAX).max(1);
            if mean < 2 { weights.iter().map(|weight| weight * 100).collect() } else { weights }
        })
        .take(MOST_FILLS)
}

fn listed(members: &[Member], weights: &[u32]) -> String {
    let named: Vec<String> = members
        .iter()
        .zip(weights)
        .map(|(member, weight)| format!("{} {weight}", member.address()))
        .collect();
    named.join(", ")
}

impl Frontend {
    /// Whether its table holds terminating backends because no active one is left.
    #[must_use]
    pub fn falls_back_on_terminating(&self) -> bool {
        self.usable.iter().any(|member| member.state == BackendState::Terminating)
    }
}
