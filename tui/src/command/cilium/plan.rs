//! `cilium plan`: what Cilium's next table would move.

use std::{collections::BTreeMap, net::SocketAddr};

use maglev_core::{
    cilium::{BackendRecord, BackendState, Frontend, Member, Verdict, WeightFit, table_of, verify},
    reassignment::Reassignment,
};
use serde::Serialize;

use super::{View, print};
use crate::{cli::CiliumPlan, failure::Failure};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PlanReport {
    moved: u32,
    minimum: u32,
    table_size: usize,
    backends: Vec<PlannedReport>,
}

#[derive(Default, Serialize)]
struct PlannedReport {
    name: String,
    before: u32,
    after: u32,
    gained: u32,
    lost: u32,
}

pub(super) fn run(view: &View<'_>, words: &CiliumPlan) -> Result<(), Failure> {
    let frontend = view.with_table(&words.service)?;
    let (members, names) = members_after(frontend, words)?;
    let seed = view.seed_or_failure()?;
    let verification = verify(frontend, &seed.seed);
    if verification.verdict != Verdict::Matches || verification.weights != WeightFit::Equal {
        let reason =
            verification.reason.unwrap_or_else(|| "it differs from what its backends call for".to_owned());
        print::warnings(&[format!(
            "the table that is there is not one of equal weights ({reason}): the plan is made with equal ones"
        )]);
    }
    let before = frontend.table.as_ref().map(|table| table.slots.clone()).unwrap_or_default();
    let size = u32::try_from(before.len()).unwrap_or(u32::MAX);
    let after =
        table_of(&members, None, size, &seed.seed, verification.text).map_err(|error| Failure::of(&error))?;
    let reassignment = Reassignment::between(&before, &after);
    let mut rows: BTreeMap<u32, PlannedReport> = BTreeMap::new();
    let mut count = |id: u32, slots: u32, column: fn(&mut PlannedReport) -> &mut u32| {
        let shown = || names.get(&id).cloned().unwrap_or_else(|| format!("backend {id}"));
        *column(
            rows.entry(id).or_insert_with(|| PlannedReport { name: shown(), ..PlannedReport::default() }),
        ) += slots;
    };
    for (&old, &new) in before.iter().zip(&after) {
        count(old, 1, |row| &mut row.before);
        count(new, 1, |row| &mut row.after);
    }
    for (old, new, slots) in reassignment.moves() {
        count(old, slots, |row| &mut row.lost);
        count(new, slots, |row| &mut row.gained);
    }
    let report = PlanReport {
        moved: reassignment.moved(),
        minimum: reassignment.minimum(),
        table_size: before.len(),
        backends: rows.into_values().collect(),
    };
    if view.json {
        return print::json(&report);
    }
    print::line(&format!(
        "{}: {} of {} slots would move, {} at least",
        view.title(frontend),
        print::number(report.moved.into()),
        print::number(size.into()),
        print::number(report.minimum.into())
    ))?;
    let cells = report.backends.iter().map(|row| {
        let numbers = [row.before, row.after, row.gained, row.lost].map(|slots| print::number(slots.into()));
        std::iter::once(format!("  {}", row.name)).chain(numbers).collect()
    });
    print::columns(
        &["  BACKEND", "BEFORE", "AFTER", "GAINED", "LOST"],
        &[1, 2, 3, 4],
        &cells.collect::<Vec<_>>(),
    )
}

/// The backends that the change leaves, and what each is called, those that leave among them.
fn members_after(
    frontend: &Frontend,
    words: &CiliumPlan,
) -> Result<(Vec<Member>, BTreeMap<u32, String>), Failure> {
    let refused = |text: String| Failure::Refused(format!("maglev-top: {text}"));
    let mut members = frontend.usable.clone();
    let mut names: BTreeMap<u32, String> =
        members.iter().map(|member| (member.id, member.address())).collect();
    let at =
        |member: &Member, address: SocketAddr| member.record.is_some_and(|record| record.address == address);
    for &address in &words.remove {
        let before = members.len();
        members.retain(|member| !at(member, address));
        if members.len() == before {
            let known: Vec<String> = frontend.usable.iter().map(Member::address).collect();
            return Err(refused(format!(
                "{address} is no usable backend of {}; there is {}",
                words.service,
                known.join(", ")
            )));
        }
    }
    // Ids that no backend of Cilium's has: it counts up from 1.
    for (id, &address) in (0..=u32::MAX).rev().zip(&words.add) {
        if members.iter().any(|member| at(member, address)) {
            return Err(refused(format!("{address} is a backend of {} already", words.service)));
        }
        let protocol = frontend
            .usable
            .iter()
            .find_map(|member| member.record)
            .map_or(frontend.protocol, |record| record.protocol);
        let record = BackendRecord { address, protocol, state: BackendState::Active, cluster: 0 };
        members.push(Member { id, record: Some(record), state: BackendState::Active });
        names.insert(id, address.to_string());
    }
    if members.is_empty() {
        return Err(Failure::Failed(format!("{} would have no backend, and no table", words.service)));
    }
    Ok((members, names))
}
