//! Getting the object into the kernel, on the maps that an instance has pinned.

use std::collections::BTreeMap;

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use aya_obj::Object;
use maglev_probe_abi::{self as abi, map, program};

use crate::{attach::aya_error, error::DatapathError, instance::Instance, shape::MapShape};

/// The maps whose size is chosen when they are made.
pub(crate) const MAPS_OF_ROWS: [&str; 4] = [map::SLOTS, map::DEADLINES, map::SETTLE_LIMITS, map::SLOT_HITS];

/// The maps that hold what cannot be made anew: connections, counts, and what is kept of services and backends. Any
/// other one may begin empty at any time.
const ESSENTIAL: [&str; 16] = [
    map::SERVICES,
    map::BACKENDS,
    map::SETTINGS,
    map::SLOTS,
    map::DEADLINES,
    map::SETTLE_LIMITS,
    map::SLOT_HITS,
    map::BACKEND_COUNTERS,
    map::SERVICE_COUNTERS,
    map::VERDICTS,
    map::SETTLING_FLOWS,
    map::TRACKED_FLOWS,
    map::SERVICE_IDENTITIES,
    map::BACKEND_IDENTITIES,
    map::META,
    map::EVENTS,
];

/// Whether an empty map can take the place of one that is missing.
pub(crate) fn is_replaceable(map: &str) -> bool {
    !ESSENTIAL.contains(&map)
}

/// How large an instance is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The rows of slots.
    pub(crate) rows: u32,
    /// The processors that count hits.
    pub(crate) processors: u32,
}

impl Sizes {
    /// How many entries a map has, if that is chosen and not the object's.
    fn entries(self, name: &str) -> Option<u32> {
        match name {
            map::SLOT_HITS => Some(self.rows * self.processors),
            // As many again for the journal: whatever is changed at once fits.
            map::BACKEND_IDENTITIES => Some(2 * abi::MAX_BACKENDS),
            _ => MAPS_OF_ROWS.contains(&name).then_some(self.rows),
        }
    }
}

/// The maps of the object by name, as they are made in those sizes.
pub(crate) fn shapes(object: &[u8], sizes: Sizes) -> Result<BTreeMap<String, MapShape>, DatapathError> {
    let parsed = Object::parse(object).map_err(|error| aya_error("read the object".to_owned(), error))?;
    Ok(parsed
        .maps
        .iter()
        // What the compiler makes of constants is no map of ours, and its name no pin's.
        .filter(|(name, _)| !name.starts_with('.') && !map::UNPINNED.contains(&name.as_str()))
        .map(|(name, map)| {
            let shape = MapShape {
                kind: map.map_type(),
                key: map.key_size() as usize,
                value: map.value_size() as usize,
                entries: Some(sizes.entries(name).unwrap_or_else(|| map.max_entries())),
                flags: Some(map.map_flags()),
            };
            (name.clone(), shape)
        })
        .collect())
}

/// Loads the object on the maps that are pinned in the instance's folder; those that are not there are made and pinned.
/// The caller has seen to it that those that are there are of the right shape.
pub(crate) fn load(instance: &Instance, object: &[u8], sizes: Sizes) -> Result<Ebpf, DatapathError> {
    let mut ebpf = load_maps(instance, object, sizes)?;
    balancer(&mut ebpf)?.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
    Ok(ebpf)
}

/// The same, without its programs.
pub(crate) fn load_maps(instance: &Instance, object: &[u8], sizes: Sizes) -> Result<Ebpf, DatapathError> {
    let names: Vec<String> = shapes(object, sizes)?.into_keys().collect();
    let mut loader = EbpfLoader::new();
    for name in &names {
        loader.map_pin_path(name, instance.maps().join(name));
        if let Some(entries) = sizes.entries(name) {
            loader.map_max_entries(name, entries);
        }
    }
    loader.load(object).map_err(|error| aya_error("load the maps".to_owned(), error))
}

/// The balancer of a loaded object.
pub(crate) fn balancer(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    xdp(ebpf, program::MAGLEV)
}

/// The program of that name in a loaded object.
pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, DatapathError> {
    let attempted = || format!("use the program `{name}`");
    ebpf.program_mut(name)
        .ok_or_else(|| DatapathError::of_io(&attempted(), std::io::ErrorKind::NotFound.into()))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| aya_error(attempted(), error))
}
