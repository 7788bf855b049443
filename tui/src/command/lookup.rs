//! `lookup`

use maglev_core::table::LookupTable;
use serde::Serialize;

use super::{Context, print, table};
use crate::{cli::Lookup, failure::Failure};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LookupReport {
    hash: u32,
    slot: u32,
    backend: Option<String>,
    address: Option<String>,
    previous: Option<String>,
}

pub(super) fn run(context: &Context<'_>, words: &Lookup) -> Result<(), Failure> {
    let (service, seed) = table::service(context, &words.which)?;
    if words.flow.is_ipv4() != service.address.is_ipv4() {
        return Err(Failure::Refused(format!(
            "maglev-top: no flow from {} reaches service {} at {}: they are of two address families",
            words.flow, service.name, service.address
        )));
    }
    let hash = service.flow_hash(&seed, words.flow);
    let slot = hash % service.table_size;
    let report = if words.which.config.is_some() {
        let table = LookupTable::of_service(&service, &seed).map_err(|error| Failure::of(&error))?;
        let owner = service.backends.get(table.slots()[slot as usize] as usize);
        LookupReport {
            hash,
            slot,
            backend: owner.map(|backend| backend.name.clone()),
            address: owner.map(|backend| backend.address.to_string()),
            previous: None,
        }
    } else {
        let sample = context.datapath()?.sample()?;
        let sampled = sample
            .services
            .iter()
            // Made anew in between with another table, it is another service.
            .find(|sampled| {
                sampled.name == service.name && sampled.slots.len() == service.table_size as usize
            })
            .ok_or_else(|| Failure::Failed(format!("service {} has just been removed", service.name)))?;
        let find = |id| sampled.backends.iter().find(|backend| backend.id == id);
        let owner = find(sampled.slots.owner[slot as usize]);
        LookupReport {
            hash,
            slot,
            backend: owner.map(|backend| backend.name.clone()),
            address: owner.map(|backend| backend.address.to_string()),
            previous: find(sampled.slots.previous[slot as usize]).map(|backend| backend.name.clone()),
        }
    };
    if context.json() {
        return print::json(&report);
    }
    let owner = match (&report.backend, &report.address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        _ => "nobody".to_owned(),
    };
    let previous = report
        .previous
        .map_or_else(String::new, |name| format!("; it settles, and connections from before are at {name}"));
    print::line(&format!("hash {hash}, slot {slot}: {owner}{previous}"))
}
