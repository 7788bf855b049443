//! `cilium tables` and `cilium lookup`

use std::net::SocketAddr;

use maglev_core::cilium::TableView;
use serde::Serialize;

use super::{View, print, share};
use crate::failure::Failure;

/// One sign an owner; those after the last share it.
const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const OTHERS: char = '?';

/// The picture's size, in signs.
const WIDTH: usize = 64;
const HEIGHT: usize = 8;

#[derive(Serialize)]
struct TablesReport {
    services: Vec<TableReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TableReport {
    id: u16,
    name: Option<String>,
    address: String,
    protocol: &'static str,
    table_size: usize,
    inner_map_id: u32,
    backends: Vec<OwnerReport>,
    slots: Vec<u32>,
}

#[derive(Serialize)]
struct OwnerReport {
    id: u32,
    address: Option<String>,
    state: &'static str,
    slots: u32,
}

pub(super) fn run(view: &View<'_>, service: Option<&str>) -> Result<(), Failure> {
    let selected = view.select(service)?;
    let with_table = selected
        .iter()
        .filter_map(|frontend| Some((*frontend, frontend.table.as_ref()?, view.node.table(frontend)?)));
    if view.json {
        let services = with_table
            .map(|(frontend, table, owned)| TableReport {
                id: frontend.id,
                name: view.name(frontend).map(str::to_owned),
                address: frontend.address.to_string(),
                protocol: frontend.protocol_name(),
                table_size: table.slots.len(),
                inner_map_id: table.map,
                backends: owned.owners.iter().map(OwnerReport::of).collect(),
                slots: owned.slots,
            })
            .collect();
        return print::json(&TablesReport { services });
    }
    let mut without = selected.len();
    for (frontend, table, owned) in with_table {
        without -= 1;
        let size = print::number(table.slots.len() as u64);
        let stale = if frontend.explain().reason.is_some() { "  STALE" } else { "" };
        print::line(&format!("{}  {size} slots  inner map {}{stale}", view.title(frontend), table.map))?;
        let rows: Vec<Vec<String>> = owned
            .owners
            .iter()
            .enumerate()
            .map(|(at, (member, slots))| {
                vec![
                    format!("  {} {}", sign(at), member.address()),
                    member.id.to_string(),
                    member.state.to_string(),
                    print::number((*slots).into()),
                    share(*slots, table.slots.len()),
                ]
            })
            .collect();
        print::columns(&["    BACKEND", "ID", "STATE", "SLOTS", "SHARE"], &[1, 3, 4], &rows)?;
        picture(&owned)?;
        print::line("")?;
    }
    if without > 0 {
        print::line(&format!("{without} without a table: `maglev-top cilium explain` says why"))?;
    }
    Ok(())
}

/// The slots as signs of their owners, as many to a sign as the picture needs: then the sign of the first.
fn picture(table: &TableView) -> Result<(), Failure> {
    let each = table.slots.len().div_ceil(WIDTH * HEIGHT).max(1);
    let signs: Vec<char> = table.slots.iter().step_by(each).map(|&owner| sign(owner as usize)).collect();
    for (row, line) in signs.chunks(WIDTH).enumerate() {
        print::line(&format!("  {:>7} {}", row * WIDTH * each, line.iter().collect::<String>()))?;
    }
    if each > 1 {
        print::line(&format!("  one sign in {each} slots; all of them: -o json"))?;
    }
    Ok(())
}

fn sign(owner: usize) -> char {
    SIGNS.get(owner).map_or(OTHERS, |&sign| sign.into())
}

impl OwnerReport {
    fn of((member, slots): &(maglev_core::cilium::Member, u32)) -> Self {
        let address = member.record.map(|record| record.address.to_string());
        Self { id: member.id, address, state: member.state.word(), slots: *slots }
    }
}

#[derive(Serialize)]
struct LookupReport {
    seed: String,
    hash: u32,
    slot: usize,
    backend: u32,
    address: Option<String>,
    previous: Option<u32>,
}

pub(super) fn lookup(
    view: &View<'_>,
    service: &str,
    flow: SocketAddr,
    older_hash: bool,
) -> Result<(), Failure> {
    let frontend = view.with_table(service)?;
    if flow.is_ipv4() != frontend.address.is_ipv4() {
        return Err(Failure::Refused(format!(
            "maglev-top: no flow from {flow} reaches service {service} at {}: they are of two address families",
            frontend.address
        )));
    }
    let seed = view.seed_or_failure()?;
    let gone = || Failure::Failed(format!("the table of {service} is empty"));
    let table = view.node.table(frontend).ok_or_else(gone)?;
    let hash = frontend.flow_hash(&seed.seed, flow, older_hash);
    let slot = (hash as usize).checked_rem(table.slots.len()).ok_or_else(gone)?;
    let (member, _) = table.owners[table.slots[slot] as usize];
    if view.json {
        return print::json(&LookupReport {
            seed: seed.seed.to_string(),
            hash,
            slot,
            backend: member.id,
            address: member.record.map(|record| record.address.to_string()),
            previous: None,
        });
    }
    print::line(&format!(
        "hash {hash}, slot {slot}: {} (backend {}, {}); seed {}, {}",
        member.address(),
        member.id,
        member.state,
        seed.seed,
        seed.source
    ))
}
