//! Which colour and letter a backend has: one and the same in every view, for as long as the monitor runs.

use std::collections::BTreeMap;

use maglev_core::sample::Sample;

/// Gives each name a number of its own; a machine that serves several services under one name has one.
#[derive(Clone, Debug, Default)]
pub struct Colours {
    numbers: BTreeMap<String, usize>,
}

impl Colours {
    /// Gives numbers to the names in a sample that have none. Those that have one keep it.
    pub fn add(&mut self, sample: &Sample) {
        let backends = sample.services.iter().flat_map(|service| &service.backends);
        self.add_names(backends.map(|backend| backend.name.as_str()).collect());
    }

    /// Gives numbers to those of these names that have none.
    pub fn add_names(&mut self, mut names: Vec<&str>) {
        names.retain(|name| !self.numbers.contains_key(*name));
        names.sort_by_cached_key(|name| natural(name));
        names.dedup();
        for name in names {
            self.numbers.insert(name.to_owned(), self.numbers.len());
        }
    }

    /// The number of a name; 0 for one that was never seen.
    #[must_use]
    pub fn number(&self, name: &str) -> usize {
        self.numbers.get(name).copied().unwrap_or_default()
    }

    /// The letter of a name, for where there is no colour.
    #[must_use]
    pub fn letter(&self, name: &str) -> char {
        ('a'..='z').cycle().nth(self.number(name) % 26).unwrap_or('a')
    }
}

/// A name so taken apart that `b10` comes after `b9`.
#[must_use]
pub fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0_u64)];
    for character in name.chars() {
        let digit = character.to_digit(10).map(u64::from);
        let in_number = parts.last().is_some_and(|(_, number)| *number > 0);
        match (digit, parts.last_mut()) {
            // One is added to each number, so that 0 is none.
            (Some(digit), Some((_, number))) if *number > 0 => {
                *number = (*number - 1).saturating_mul(10).saturating_add(digit).saturating_add(1);
            }
            (Some(digit), Some((_, number))) => *number = digit + 1,
            (None, Some((text, _))) if !in_number => text.push(character),
            _ => parts.push((character.to_string(), 0)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["b10", "b2", "a9-1", "a10-1", "b1", "web"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a9-1", "a10-1", "b1", "b2", "b10", "web"]);
    }
}
