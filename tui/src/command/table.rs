//! `table`

use std::collections::BTreeMap;

use maglev_core::{
    plan::Plan as TablePlan,
    sample::BackendId,
    seed::HashSeed,
    service::{Backend, Service},
    table::{LookupTable, NO_BACKEND},
};
use maglev_probe::Look;
use serde::Serialize;

use super::{Context, config, print, report::PlanReport};
use crate::{
    cli::{Plan, TableAction, WhichTable},
    failure::Failure,
};
use maglev_core::change::Change;

pub(super) fn run(context: &Context<'_>, action: &TableAction) -> Result<(), Failure> {
    match action {
        TableAction::Show(which) => show(context, which),
        TableAction::Plan(words) => plan(context, words),
        TableAction::Verify(which) => verify(context, which),
    }
}

/// The service that is meant, by a configuration or as it runs, and the seed of its table.
pub(super) fn service(context: &Context<'_>, which: &WhichTable) -> Result<(Service, HashSeed), Failure> {
    let Some(path) = &which.config else { return Ok(context.datapath()?.service(&which.service)?) };
    let config = config::read(path)?;
    let known: Vec<String> = config.services.iter().map(|service| service.name.clone()).collect();
    let matches =
        |service: &Service| service.name == which.service || service.address.to_string() == which.service;
    config.services.into_iter().find(matches).map(|service| (service, config.seed)).ok_or_else(|| {
        Failure::Refused(format!(
            "maglev-top: {} has no service {}; there is {}",
            path.display(),
            which.service,
            known.join(", ")
        ))
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TableReport {
    service: String,
    table_size: u32,
    backends: Vec<TableBackend>,
    /// Each slot an index into `backends`, or -1 where nobody owns it.
    slots: Vec<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TableBackend {
    name: String,
    address: String,
    weight: u16,
    state: &'static str,
    slots: u32,
}

fn show(context: &Context<'_>, which: &WhichTable) -> Result<(), Failure> {
    let (service, slots) = if which.config.is_some() {
        let (service, seed) = service(context, which)?;
        let table = LookupTable::of_service(&service, &seed).map_err(|error| Failure::of(&error))?;
        (service, table.slots().to_vec())
    } else {
        let (service, _, slots) = running(context, &which.service)?;
        (service, slots)
    };
    let backends: Vec<TableBackend> = (0..)
        .zip(&service.backends)
        .map(|(index, backend)| TableBackend {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            weight: backend.weight,
            state: backend.state.word(),
            slots: u32::try_from(slots.iter().filter(|&&slot| slot == index).count()).unwrap_or(u32::MAX),
        })
        .collect();
    if context.json() {
        return print::json(&TableReport {
            service: service.name,
            table_size: service.table_size,
            backends,
            slots: slots.iter().map(|&slot| if slot == NO_BACKEND { -1 } else { slot.into() }).collect(),
        });
    }
    print::line(&format!(
        "{}  {}/{}  {} slots",
        service.name, service.address, service.protocol, service.table_size
    ))?;
    let rows: Vec<Vec<String>> = backends
        .iter()
        .map(|backend| {
            let share = 100.0 * f64::from(backend.slots) / f64::from(service.table_size);
            vec![
                format!("  {}", backend.name),
                backend.address.clone(),
                backend.state.to_owned(),
                backend.weight.to_string(),
                print::number(backend.slots.into()),
                format!("{share:.2}%"),
            ]
        })
        .collect();
    print::columns(&["  BACKEND", "ADDRESS", "STATE", "WEIGHT", "SLOTS", "SHARE"], &[3, 4, 5], &rows)?;
    print::line("\nslot by slot: --output json")
}

/// The service that runs, the seed of its table, and the kernel's table at that moment: each slot an index into the
/// service's backends.
fn running(context: &Context<'_>, name: &str) -> Result<(Service, HashSeed, Vec<u32>), Failure> {
    let datapath = context.datapath()?;
    // Says which services there are, if there is none of that name.
    let name = datapath.service(name)?.0.name;
    let Look { sample, services } = datapath.look()?;
    let gone = || Failure::Failed(format!("service {name} has just been removed"));
    let (service, seed) = services.into_iter().find(|(service, _)| service.name == name).ok_or_else(gone)?;
    let sampled = sample.services.iter().find(|sampled| sampled.name == name).ok_or_else(gone)?;
    if !sample.state_version.is_multiple_of(2) {
        print::warnings(&["a change is under way, or was cut short: any next change puts that right"]);
    }
    let indexes: BTreeMap<BackendId, u32> = sampled
        .backends
        .iter()
        .filter_map(|sampled| {
            let is_same = |known: &Backend| known.name == sampled.name && known.address == sampled.address;
            let index = u32::try_from(service.backends.iter().position(is_same)?).ok()?;
            Some((sampled.id, index))
        })
        .collect();
    let slots =
        sampled.slots.owner.iter().map(|owner| indexes.get(owner).copied().unwrap_or(NO_BACKEND)).collect();
    Ok((service, seed, slots))
}

fn plan(context: &Context<'_>, words: &Plan) -> Result<(), Failure> {
    let (before, seed) = service(context, &words.which)?;
    let plan = if let Some(path) = &words.to {
        let which = WhichTable { service: before.name.clone(), config: Some(path.clone()) };
        let (after, seed_after) = service(context, &which)?;
        if let Some(what) = made_anew(&before, seed, &after, seed_after) {
            return Err(Failure::Failed(format!(
                "{} would be made anew, with {what}: all of its slots are new, and its connections end",
                before.name
            )));
        }
        TablePlan::between(&before, &after, &seed)
    } else {
        let changes = changes(words);
        if changes.is_empty() {
            return Err(Failure::Refused(
                "maglev-top: say what to plan: --drain, --remove, --add, --weight, or --to FILE".to_owned(),
            ));
        }
        TablePlan::of_changes(&before, &changes, &seed, true).map(|(plan, _)| plan)
    }
    .map_err(|error| Failure::of(&error))?;
    if context.json() {
        return print::json(&PlanReport::new(&plan));
    }
    let percent = |slots: u32| 100.0 * f64::from(slots) / f64::from(plan.table_size);
    print::line(&format!(
        "{} of {} slots would move ({:.2}%); {} have to ({:.2}%), {} are Maglev's own excess",
        plan.moved,
        plan.table_size,
        percent(plan.moved),
        plan.minimum,
        percent(plan.minimum),
        plan.moved - plan.minimum
    ))?;
    let rows: Vec<Vec<String>> = plan
        .backends
        .iter()
        .map(|row| {
            let mut cells = vec![format!("  {}", row.name)];
            cells.extend(
                [row.before, row.after, row.gained, row.lost].map(|slots| print::number(slots.into())),
            );
            cells
        })
        .collect();
    print::columns(&["  BACKEND", "BEFORE", "AFTER", "GAINED", "LOST"], &[1, 2, 3, 4], &rows)
}

/// What a running service cannot become another of, if that is asked for.
fn made_anew(before: &Service, seed: HashSeed, after: &Service, seed_after: HashSeed) -> Option<String> {
    let words = [
        (after.table_size != before.table_size)
            .then(|| format!("{} slots instead of {}", after.table_size, before.table_size)),
        (seed_after != seed).then(|| "another seed".to_owned()),
        (after.affinity != before.affinity)
            .then(|| format!("affinity {} instead of {}", after.affinity, before.affinity)),
        (after.protocol != before.protocol)
            .then(|| format!("protocol {} instead of {}", after.protocol, before.protocol)),
        (after.address != before.address)
            .then(|| format!("address {} instead of {}", after.address, before.address)),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn changes(words: &Plan) -> Vec<Change> {
    let add = words.add.iter().cloned().map(Change::Add);
    let weigh = words.weight.iter().map(|(name, weight)| Change::SetWeight(name.clone(), *weight));
    let drain = words.drain.iter().cloned().map(Change::Drain);
    let remove = words.remove.iter().cloned().map(Change::Remove);
    add.chain(weigh).chain(drain).chain(remove).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VerifyReport {
    service: String,
    verdict: &'static str,
    differing_slots: Vec<DifferingSlot>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DifferingSlot {
    slot: usize,
    kernel: Option<String>,
    expected: Option<String>,
}

fn verify(context: &Context<'_>, which: &WhichTable) -> Result<(), Failure> {
    let (running, seed, slots) = running(context, &which.service)?;
    // With a configuration, it says what the table should be; the kernel says what it is.
    let expected = if which.config.is_some() { service(context, which)? } else { (running.clone(), seed) };
    let names = |service: &Service, slots: &[u32]| -> Vec<Option<String>> {
        slots
            .iter()
            .map(|&slot| service.backends.get(slot as usize).map(|backend| backend.address.to_string()))
            .collect()
    };
    let table = LookupTable::of_service(&expected.0, &expected.1).map_err(|error| Failure::of(&error))?;
    let expected = names(&expected.0, table.slots());
    let kernel = names(&running, &slots);
    let differing_slots: Vec<DifferingSlot> = if kernel.len() == expected.len() {
        kernel
            .into_iter()
            .zip(expected)
            .enumerate()
            .filter(|(_, (kernel, expected))| kernel != expected)
            .map(|(slot, (kernel, expected))| DifferingSlot { slot, kernel, expected })
            .collect()
    } else {
        return Err(Failure::Failed(format!(
            "the kernel's table has {} slots, the configuration's {}",
            kernel.len(),
            expected.len()
        )));
    };
    let faulty = !differing_slots.is_empty();
    let verdict = if faulty { "differs" } else { "matches" };
    if context.json() {
        print::json(&VerifyReport { service: running.name, verdict, differing_slots })?;
    } else if faulty {
        print::line(&format!(
            "{}: {} of {} slots differ",
            running.name,
            differing_slots.len(),
            running.table_size
        ))?;
        let nobody = || "nobody".to_owned();
        for DifferingSlot { slot, kernel, expected } in differing_slots {
            let (kernel, expected) = (kernel.unwrap_or_else(nobody), expected.unwrap_or_else(nobody));
            print::line(&format!("  slot {slot}: {kernel} in the kernel, {expected} by the backends"))?;
        }
    } else {
        print::line(&format!(
            "{}: all {} slots are what the backends call for",
            running.name, running.table_size
        ))?;
    }
    if faulty { Err(Failure::Fault) } else { Ok(()) }
}
