//! One look at all of the maps.

use std::{fs, io, path::Path, thread, time::Duration};

use maglev_core::cilium::{
    BackendRecord, Family, InnerTable, ServiceKey, ServiceValue, Snapshot, reverse_nat_value,
};

use super::{
    error::CiliumError,
    layout::{ARRAY, KNOWN, Layout, Purpose, shape, type_name},
};
use crate::kernel::ForeignMap;

/// How often a look is begun anew that a change came between.
const ATTEMPTS: usize = 5;

/// How long a map that is being replaced is waited for: the agent unpins one and then pins the other.
const PATIENCE: Duration = Duration::from_millis(5);

/// What all of the maps say.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Each map, by itself.
    pub maps: Vec<MapReading>,
    /// What is in them.
    pub snapshot: Snapshot,
}

/// A map.
#[derive(Clone, Debug)]
pub struct MapReading {
    /// The name that it is pinned under.
    pub name: String,
    /// Its type, as `bpftool` names it.
    pub kind: String,
    /// Its id: another one under the same name means that it was made anew.
    pub id: u32,
    /// The entries that are in it; `None` for a kind that cannot be counted.
    pub entries: Option<usize>,
    /// The entries that there is room for.
    pub capacity: u32,
    /// The memory that the kernel accounts for it, in bytes.
    pub bytes: u64,
    /// The inner maps of a map of maps.
    pub inner: Vec<InnerReading>,
}

/// An inner map: a lookup table.
#[derive(Clone, Copy, Debug)]
pub struct InnerReading {
    /// The id of the service.
    pub key: u16,
    /// The map's id.
    pub id: u32,
    /// How many slots it has.
    pub slots: usize,
    /// The memory that the kernel accounts for it, in bytes.
    pub bytes: u64,
}

/// Whether Cilium's services lie in `folder`.
#[must_use]
pub fn is_node(folder: &Path) -> bool {
    services().any(|(name, ..)| folder.join(name).exists())
}

/// Reads everything, and again where a map was replaced meanwhile: what is returned was pinned together.
///
/// # Errors
///
/// When there is no services map, when one may not be read, and when one is not of the shape that is known.
pub fn read(folder: &Path) -> Result<Reading, CiliumError> {
    let mut replaced = None;
    for _ in 0..ATTEMPTS {
        let reading = look(folder)?;
        let other = reading.maps.iter().find(|map| was_replaced(folder, map)).map(|map| &map.name);
        let names = names(folder)?;
        let new = || names.iter().find(|name| !reading.maps.iter().any(|map| map.name == **name));
        match other.or_else(new) {
            None => return Ok(reading),
            Some(name) => replaced = Some(folder.join(name)),
        }
        thread::sleep(PATIENCE);
    }
    Err(CiliumError::Unsteady(replaced.unwrap_or_else(|| folder.to_owned())))
}

fn services() -> impl Iterator<Item = &'static Layout> {
    KNOWN.iter().filter(|(_, purpose, _)| matches!(purpose, Purpose::Services(_)))
}

fn was_replaced(folder: &Path, map: &MapReading) -> bool {
    ForeignMap::pinned(&folder.join(&map.name)).map(|now| now.id).ok() != Some(map.id)
}

fn look(folder: &Path) -> Result<Reading, CiliumError> {
    let names = names(folder)?;
    if !services().any(|(known, ..)| names.iter().any(|name| name == known)) {
        return Err(CiliumError::NoMaps(folder.to_owned()));
    }
    let mut reading = Reading::default();
    for name in names {
        let path = folder.join(&name);
        let map = match ForeignMap::pinned(&path) {
            // Unpinned since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            map => map.map_err(|error| CiliumError::new(&path, error))?,
        };
        let known = KNOWN.iter().find(|(known, ..)| *known == name);
        let (entries, inner) = match known {
            Some(&(_, purpose, expected)) => {
                check_shape(&path, &map, expected)?;
                take(&path, &map, purpose, &mut reading.snapshot)?
            }
            // A map of a kind that has no keys to walk along is shown without a count.
            None => (map.keys().ok().map(|keys| keys.len()), Vec::new()),
        };
        reading.maps.push(MapReading {
            kind: type_name(map.kind),
            id: map.id,
            entries,
            capacity: map.capacity,
            bytes: map.bytes().map_err(|error| CiliumError::new(&path, error))?,
            inner,
            name,
        });
    }
    Ok(reading)
}

/// The maps of the load balancer that are pinned in the folder.
fn names(folder: &Path) -> Result<Vec<String>, CiliumError> {
    let failed = |error| CiliumError::new(folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CiliumError::NoMaps(folder.to_owned()));
        }
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("cilium_lb") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn check_shape(path: &Path, map: &ForeignMap, expected: (u32, usize, usize)) -> Result<(), CiliumError> {
    let found = (map.kind, map.key_size, map.value_size);
    if found == expected {
        return Ok(());
    }
    Err(CiliumError::Shape { path: path.to_owned(), found: shape(found), expected: shape(expected) })
}

/// Puts what the map holds into the snapshot, and says how many entries it has, and which inner maps.
fn take(
    path: &Path,
    map: &ForeignMap,
    purpose: Purpose,
    snapshot: &mut Snapshot,
) -> Result<(Option<usize>, Vec<InnerReading>), CiliumError> {
    if let Purpose::Maglev(family) = purpose {
        return tables(path, map, family, snapshot).map(|inner| (Some(inner.len()), inner));
    }
    let entries = map.entries().map_err(|error| CiliumError::new(path, error))?;
    // Every record decodes: the sizes were compared when the map was opened.
    for (key, value) in &entries {
        match purpose {
            Purpose::Services(family) => {
                let entry = ServiceKey::decode(family, key).zip(ServiceValue::decode(value));
                snapshot.services.extend(entry);
            }
            Purpose::Backends(family) => {
                snapshot.backends.extend(number(key).zip(BackendRecord::decode(family, value)));
            }
            Purpose::ReverseNat(family) => {
                let entry = service_id(key).zip(reverse_nat_value(family, value));
                snapshot.reverse_nat.extend(entry.map(|(id, address)| ((family, id), address)));
            }
            Purpose::Maglev(_) | Purpose::Counted => {}
        }
    }
    Ok((Some(entries.len()), Vec::new()))
}

fn tables(
    path: &Path,
    outer: &ForeignMap,
    family: Family,
    snapshot: &mut Snapshot,
) -> Result<Vec<InnerReading>, CiliumError> {
    snapshot.maglev.insert(family);
    let mut inner = Vec::new();
    for key in outer.keys().map_err(|error| CiliumError::new(path, error))? {
        let Some(id) = service_id(&key) else { continue };
        let Some(table) = table(path, outer, &key)? else { continue };
        inner.push(InnerReading { key: id, id: table.map, slots: table.slots.len(), bytes: table.bytes });
        snapshot.tables.insert((family, id), table);
    }
    Ok(inner)
}

/// The table at `key`; `None` where it has gone. Each change of Cilium's makes a new inner map, and the one before may be
/// gone between two calls: then the outer map names another.
fn table(path: &Path, outer: &ForeignMap, key: &[u8]) -> Result<Option<InnerTable>, CiliumError> {
    let failed = |error| CiliumError::new(path, error);
    for _ in 0..ATTEMPTS {
        let Some(id) = outer.value(key).map_err(failed)?.as_deref().and_then(number) else { return Ok(None) };
        let map = match ForeignMap::by_id(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            map => map.map_err(failed)?,
        };
        if (map.kind, map.key_size, map.capacity) != (ARRAY, 4, 1) || !map.value_size.is_multiple_of(4) {
            return Err(CiliumError::Shape {
                path: path.to_owned(),
                found: format!(
                    "map of maps like {id}, a {}, {} of them",
                    shape((map.kind, map.key_size, map.value_size)),
                    map.capacity
                ),
                expected: "map of arrays with one value, four bytes a slot".to_owned(),
            });
        }
        let bytes = map.bytes().map_err(failed)?;
        let value = map.value(&[0; 4]).map_err(failed)?.unwrap_or_default();
        let slots = value.as_chunks::<4>().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect();
        return Ok(Some(InnerTable { map: id, slots, bytes }));
    }
    Err(CiliumError::Unsteady(path.to_owned()))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn service_id(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}
