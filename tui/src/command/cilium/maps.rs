//! `cilium maps`

use humansize::{BINARY, format_size};
use maglev_probe::cilium::MapReading;
use serde::Serialize;

use super::{View, print};
use crate::failure::Failure;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MapsReport {
    maps: Vec<MapReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MapReport {
    name: String,
    r#type: String,
    id: u32,
    entries: Option<usize>,
    capacity: u32,
    bytes: u64,
    inner: Vec<InnerReport>,
}

#[derive(Serialize)]
struct InnerReport {
    key: u16,
    id: u32,
    slots: usize,
    bytes: u64,
}

pub(super) fn run(view: &View<'_>) -> Result<(), Failure> {
    if view.json {
        return print::json(&MapsReport { maps: view.maps.iter().map(report).collect() });
    }
    let mut rows = Vec::new();
    for map in &view.maps {
        rows.push(vec![
            map.name.clone(),
            map.kind.clone(),
            map.id.to_string(),
            map.entries.map_or_else(|| "?".to_owned(), |entries| print::number(entries as u64)),
            print::number(map.capacity.into()),
            format_size(map.bytes, BINARY),
        ]);
        for inner in &map.inner {
            rows.push(vec![
                format!("  table of service {}", inner.key),
                "array".to_owned(),
                inner.id.to_string(),
                format!("{} slots", print::number(inner.slots as u64)),
                String::new(),
                format_size(inner.bytes, BINARY),
            ]);
        }
    }
    print::columns(&["MAP", "TYPE", "ID", "ENTRIES", "ROOM FOR", "MEMORY"], &[2, 3, 4, 5], &rows)?;
    for family in ["4", "6"] {
        if !view.maps.iter().any(|map| map.name == format!("cilium_lb{family}_maglev")) {
            print::line(&format!("no cilium_lb{family}_maglev: no tables for IPv{family} on this node"))?;
        }
    }
    Ok(())
}

fn report(map: &MapReading) -> MapReport {
    let inner = map.inner.iter();
    MapReport {
        name: map.name.clone(),
        r#type: map.kind.clone(),
        id: map.id,
        entries: map.entries,
        capacity: map.capacity,
        bytes: map.bytes,
        inner: inner
            .map(|one| InnerReport { key: one.key, id: one.id, slots: one.slots, bytes: one.bytes })
            .collect(),
    }
}
