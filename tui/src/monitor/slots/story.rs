//! A slot in words.

use std::{collections::VecDeque, time::Duration};

use maglev_core::{
    permutation::{Permutation, backend_key},
    sample::{BackendId, ServiceSample},
    seed::HashSeed,
    service::BackendState,
    table::{LookupTable, NO_BACKEND},
};

use crate::monitor::{
    data::{Data, service_of},
    number::{count, duration, several, short},
};

/// What is to be told of one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The slot.
    pub slot: u32,
    /// Who owns it.
    pub owner: Option<String>,
    /// Who owned it before, while it settles.
    pub previous: Option<String>,
    /// How long ago it changed owner, if that was seen.
    pub since: Option<Duration>,
    /// Packets that hit it, where they are counted.
    pub hits: Option<u64>,
    /// Whether slots that change settle.
    pub settles: bool,
    /// A second.
    pub rate: Option<f32>,
    /// Where it stands in its owner's permutation, from 1.
    pub position: Option<u32>,
    /// Who would own it without its owner.
    pub next: Option<String>,
}

/// How many tables are kept: a cursor goes to and fro between a few owners, and a large table takes a quarter of a
/// megabyte.
const TABLES: usize = 4;

/// Tables without one owner each: they are filled when first asked for, and the last few are kept.
#[derive(Clone, Debug, Default)]
pub struct NextInLine {
    service: String,
    version: u64,
    seed: Option<HashSeed>,
    /// The one that was asked for last stands last.
    tables: VecDeque<(BackendId, Vec<u32>)>,
}

impl NextInLine {
    /// Who would own `slot` if its owner were drained.
    fn of(&mut self, data: &Data, service: &ServiceSample, owner: BackendId, slot: u32) -> Option<String> {
        let version = data.sample.as_ref().map_or(0, |sample| sample.state_version);
        if self.service != service.name || self.version != version || self.seed != data.seed {
            let service = service.name.clone();
            *self = Self { service, version, seed: data.seed, tables: VecDeque::new() };
        }
        let seed = data.seed.filter(|_| service.is_reproducible())?;
        let kept = self.tables.iter().position(|(id, _)| *id == owner).and_then(|at| self.tables.remove(at));
        let (_, table) = kept.unwrap_or_else(|| (owner, table_without(owner, service, &seed)));
        let next = table.get(slot as usize).copied();
        self.tables.push_back((owner, table));
        if self.tables.len() > TABLES {
            self.tables.pop_front();
        }
        let next = next.filter(|next| *next != NO_BACKEND)?;
        service.backends.get(next as usize).map(|backend| backend.name.clone())
    }
}

/// The table that a service would have if that backend were drained; empty where there would be none.
fn table_without(owner: BackendId, service: &ServiceSample, seed: &HashSeed) -> Vec<u32> {
    let mut without = service_of(service);
    for (backend, sample) in without.backends.iter_mut().zip(&service.backends) {
        if sample.id == owner {
            backend.state = BackendState::Draining;
        }
    }
    LookupTable::of_service(&without, seed).map(|table| table.slots().to_vec()).unwrap_or_default()
}

impl Story {
    /// What is to be told of `slot` of the chosen service.
    #[must_use]
    pub fn of(data: &Data, slot: u32, cache: &mut NextInLine) -> Option<Self> {
        let service = data.service()?;
        let sample = data.sample.as_ref()?;
        let index = slot as usize;
        let owner_id = *service.slots.owner.get(index)?;
        let owner = data.backend_of(owner_id);
        let history = data.service_history().map(|history| history.slots);
        let size = u32::try_from(service.slots.len()).ok()?;
        let can_tell = size >= 2 && service.is_reproducible();
        let position = data.seed.zip(owner).filter(|_| can_tell).map(|(seed, owner)| {
            let key = backend_key(owner.address, service.protocol);
            Permutation::new(&key, seed.murmur(), size).position_of(slot, size) + 1
        });
        Some(Self {
            slot,
            owner: owner.map(|owner| owner.name.clone()),
            previous: service
                .slots
                .previous
                .get(index)
                .filter(|previous| !previous.is_none())
                .map(|previous| data.backend_of(*previous).map_or("?", |backend| &backend.name).to_owned()),
            since: history.and_then(|history| history.since_change(index, sample.taken_at)),
            hits: service.slots.hits.get(index).copied(),
            settles: service.cilium.is_none(),
            rate: history
                .filter(|history| history.known())
                .and_then(|history| history.rates().get(index).copied()),
            position,
            next: cache.of(data, service, owner_id, slot),
        })
    }

    /// The same in sentences, what matters most first.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let owner = self.owner.as_deref().unwrap_or("nobody");
        let settled = if self.settles { ", settled" } else { "" };
        words.push(match (&self.previous, self.since) {
            (Some(previous), _) if previous == owner => {
                format!("owned by {owner}, settling: connections opened elsewhere are held")
            }
            (Some(previous), Some(since)) => {
                format!("owned by {owner} for {}, settling: {previous} keeps its connections", seconds(since))
            }
            (Some(previous), None) => format!("owned by {owner}, settling: {previous} keeps its connections"),
            (None, Some(since)) => format!("owned by {owner} for {}{settled}", seconds(since)),
            (None, None) => format!("owned by {owner}{settled}, unchanged since this monitor looks"),
        });
        let rate =
            self.rate.map_or_else(String::new, |rate| format!(", {} a second", short(f64::from(rate))));
        words.extend(self.hits.map(|hits| format!("{}{rate}", several(hits, "hit", "hits"))));
        if let Some(position) = self.position {
            words.push(format!("{owner} asks for it as its {} slot", ordinal(position)));
        }
        if let Some(next) = &self.next {
            words.push(format!("{next} is next in line"));
        }
        words
    }
}

fn seconds(time: Duration) -> String {
    duration(Duration::from_secs(time.as_secs().max(1)))
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{ending}", count(u64::from(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::message::Sampled,
        simulation::{Simulation, demonstration, spares},
        source::Source,
    };

    fn look(simulation: &mut Simulation, data: &mut Data) {
        data.add(Sampled::look(simulation, Duration::ZERO, Duration::from_secs(1)));
    }

    #[test]
    fn a_few_tables_are_kept_and_none_of_another_seed() {
        let seeded = |seed| Simulation::by_hand(demonstration(), spares(), seed, 7).unwrap();
        let mut simulation = seeded(HashSeed::default());
        let mut data = Data::new(simulation.identity(), simulation.seed(), true);
        data.service = Some("web".to_owned());
        look(&mut simulation, &mut data);
        let tell = |data: &Data, cache: &mut NextInLine| -> Vec<_> {
            (0..200).map(|slot| Story::of(data, slot, cache).unwrap().next).collect()
        };
        let mut cache = NextInLine::default();
        let told = tell(&data, &mut cache);
        assert!(data.service().unwrap().backends.len() > TABLES);
        assert_eq!(cache.tables.len(), TABLES);
        // The same instance, with another seed, at the same state version.
        let other = HashSeed::from_bytes([7; 12]);
        look(&mut seeded(other), &mut data);
        assert_eq!(data.seed, Some(other));
        let anew = tell(&data, &mut cache);
        assert_ne!(anew, told);
        assert_eq!(anew, tell(&data, &mut NextInLine::default()));
    }

    #[test]
    fn ordinals_are_english() {
        let told = [1, 2, 3, 4, 11, 12, 21, 112, 1003].map(ordinal);
        assert_eq!(told, ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th", "1,003rd"]);
    }
}
