//! Getting the object into the kernel, on the maps that an instance has pinned.

use std::{collections::BTreeMap, io};

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use aya_obj::Object;
use maglev_core::rules::ROW_SLOTS;
use maglev_probe_abi::{self as abi, Row, map, program};

use crate::{
    attach::{aya_error, cause},
    error::DatapathError,
    instance::Instance,
    shape::MapShape,
};

/// The maps whose size is chosen when they are made.
pub(crate) const MAPS_OF_ROWS: [&str; 4] = [map::SLOTS, map::DEADLINES, map::SETTLE_LIMITS, map::SLOT_HITS];

/// The maps that hold what cannot be made anew: connections, counts, and what is kept of services and backends. Any
/// other one may begin empty at any time.
const ESSENTIAL: [&str; 17] = [
    map::SERVICES,
    map::ADDRESSES,
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

/// The maps of counts, a `u64` a processor, of which a later version may have more.
pub(crate) const GROWING: [&str; 2] = [map::VERDICTS, map::DECAP_VERDICTS];

/// Whether a larger map, with the same counts in it, can take the place of the map of that name that is `found`.
pub(crate) fn is_outgrown(map: &str, found: &MapShape, expected: &MapShape) -> bool {
    GROWING.contains(&map)
        && found.entries < expected.entries
        && found.fits(&MapShape { entries: found.entries, ..*expected })
}

/// Whether the map of that name that is `found` has the counts of a later version beside those that are `expected`.
pub(crate) fn has_more(map: &str, found: &MapShape, expected: &MapShape) -> bool {
    GROWING.contains(&map)
        && found.entries > expected.entries
        && found.fits(&MapShape { entries: found.entries, ..*expected })
}

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
            map::SLOT_HITS => Some(self.rows.saturating_mul(self.processors)),
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

/// Loads the object on the maps that are pinned in the instance's folder; those that are not there are made and pinned,
/// those that were `outgrown` beside the smaller ones. The caller has seen to it that those that are
/// there are of the right shape.
pub(crate) fn load(
    instance: &Instance,
    object: &[u8],
    sizes: Sizes,
    outgrown: &[String],
) -> Result<Ebpf, DatapathError> {
    let mut ebpf = load_maps(instance, object, sizes, outgrown)?;
    balancer(&mut ebpf)?.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
    Ok(ebpf)
}

/// The same, without its programs.
pub(crate) fn load_maps(
    instance: &Instance,
    object: &[u8],
    sizes: Sizes,
    outgrown: &[String],
) -> Result<Ebpf, DatapathError> {
    let names: Vec<String> = shapes(object, sizes)?.into_keys().collect();
    let mut loader = EbpfLoader::new();
    for name in &names {
        let pin = if outgrown.contains(name) { beside(name, "next") } else { name.clone() };
        loader.map_pin_path(name, instance.maps().join(pin));
        if let Some(entries) = sizes.entries(name) {
            loader.map_max_entries(name, entries);
        }
    }
    loader.load(object).map_err(|error| no_room(sizes, error))
}

/// The name of a pin beside that of the map of that name.
pub(crate) fn beside(name: &str, what: &str) -> String {
    format!("{name}-{what}")
}

/// Why maps could not be made: for want of memory, if that is at the bottom of it.
fn no_room(sizes: Sizes, error: aya::EbpfError) -> DatapathError {
    let wants_room = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::E2BIG));
    match cause(&error).filter(|cause| wants_room(cause)).and_then(io::Error::raw_os_error) {
        Some(number) => DatapathError::NoMemory {
            slots: u64::from(sizes.rows) * u64::from(ROW_SLOTS),
            bytes: u64::from(sizes.rows) * size_of::<Row>() as u64 * (3 + u64::from(sizes.processors)),
            error: io::Error::from_raw_os_error(number),
        },
        None => aya_error("load the maps".to_owned(), error),
    }
}

/// The balancer of a loaded object.
pub(crate) fn balancer(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    xdp(ebpf, program::MAGLEV)
}

/// The program of that name in a loaded object.
pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, DatapathError> {
    let attempted = || format!("use the program `{name}`");
    ebpf.program_mut(name)
        .ok_or_else(|| DatapathError::of_io(&attempted(), io::ErrorKind::NotFound.into()))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| aya_error(attempted(), error))
}
