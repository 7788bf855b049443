//! `backend`

use std::{
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    change::Change,
    plan::Plan,
    service::{Backend, BackendState},
};
use maglev_probe::{Changed, Datapath, Request};
use serde::Serialize;

use super::{
    Context, print,
    report::{BackendReport, ChangeReport, ChangesReport},
    status::print_backends,
};
use crate::{
    cli::{BackendAction, Drain, OneBackend},
    failure::Failure,
};

pub(super) fn run(context: &Context<'_>, action: &BackendAction) -> Result<(), Failure> {
    match action {
        BackendAction::List { service } => list(context, service.as_deref()),
        BackendAction::Add { service, name, address, weight } => {
            let backend = Backend {
                name: name.clone(),
                address: *address,
                weight: *weight,
                state: BackendState::Active,
            };
            change(context, service, Change::Add(backend), false)
        }
        BackendAction::Drain(Drain { which, wait, timeout }) => {
            each(context, which, Change::Drain)?;
            if *wait { wait_until_quiet(context, which, *timeout) } else { Ok(()) }
        }
        BackendAction::Undrain(which) => each(context, which, Change::Undrain),
        BackendAction::Remove(which) => each(context, which, Change::Remove),
        BackendAction::Weight { service, name, weight } => {
            change(context, service, Change::SetWeight(name.clone(), *weight), false)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ListReport {
    services: Vec<ListedService>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ListedService {
    name: String,
    backends: Vec<BackendReport>,
}

fn list(context: &Context<'_>, wanted: Option<&str>) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    let wanted = wanted.map(|name| datapath.service(name)).transpose()?.map(|(service, _)| service.name);
    let mut sample = datapath.sample()?;
    sample.services.retain(|service| wanted.as_ref().is_none_or(|name| *name == service.name));
    if context.json() {
        let services = sample
            .services
            .iter()
            .map(|service| ListedService {
                name: service.name.clone(),
                backends: service.backends.iter().map(BackendReport::new).collect(),
            })
            .collect();
        return print::json(&ListReport { services });
    }
    for service in &sample.services {
        print::line(&format!("{}  {}/{}", service.name, service.address, service.protocol))?;
        print_backends(service)?;
    }
    Ok(())
}

/// Does to one backend of a service, or to a machine in all of them, what `change` makes of a name.
fn each(context: &Context<'_>, which: &OneBackend, make: fn(String) -> Change) -> Result<(), Failure> {
    match (&which.service, &which.name, which.address) {
        (Some(service), Some(name), _) => change(context, service, make(name.clone()), which.force),
        (_, _, Some(_)) => Err(super::not_yet("backend … --address")),
        _ => Err(Failure::Refused("maglev-top: name a service and a backend of it".to_owned())),
    }
}

fn change(context: &Context<'_>, service: &str, change: Change, force: bool) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    let changes = [change];
    let Changed { plan, warnings, .. } =
        datapath.change(&Request { service, changes: &changes, force, state_version: None })?;
    print::warnings(&warnings);
    if context.json() {
        return print::json(&ChangesReport { changes: reports(&changes, &plan) });
    }
    print::line(&format!(
        "{} {} in service {}: {} of {} slots moved, {} at least had to",
        done(&changes[0]),
        changes[0].backend(),
        plan.service,
        plan.moved,
        plan.table_size,
        plan.minimum
    ))
}

const fn done(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "added",
        Change::Drain(_) => "draining",
        Change::Undrain(_) => "undrained",
        Change::Remove(_) => "removed",
        Change::SetWeight(..) => "changed the weight of",
    }
}

/// An element of `changes` for each change; what they move together stands with the first.
pub(super) fn reports(changes: &[Change], plan: &Plan) -> Vec<ChangeReport> {
    changes
        .iter()
        .enumerate()
        .map(|(place, change)| ChangeReport {
            action: change.action().to_owned(),
            service: plan.service.clone(),
            backend: change.backend().to_owned(),
            moved: if place == 0 { plan.moved } else { 0 },
            minimum: if place == 0 { plan.minimum } else { 0 },
        })
        .collect()
}

/// Returns when the backend has had no packet for the settle time.
fn wait_until_quiet(
    context: &Context<'_>,
    which: &OneBackend,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let (Some(service), Some(name)) = (&which.service, &which.name) else { return Ok(()) };
    let datapath = context.datapath()?;
    let begun = Instant::now();
    loop {
        let Some(held) = what_holds(&datapath, service, name, begun.elapsed())? else { return Ok(()) };
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            return Err(Failure::Failed(format!("{name} still drains: {held}")));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What keeps a draining backend from being safe to remove, in words; `None` once nothing does.
fn what_holds(
    datapath: &Datapath,
    service: &str,
    name: &str,
    waited: Duration,
) -> Result<Option<String>, Failure> {
    let (known, _) = datapath.service(service)?;
    let sample = datapath.sample()?;
    let found = sample
        .services
        .iter()
        .find(|sampled| sampled.name == known.name)
        .and_then(|sampled| sampled.backends.iter().find(|backend| backend.name == name));
    let Some(backend) = found else { return Ok(None) };
    if backend.state == BackendState::Active {
        return Err(Failure::Failed(format!("{name} is active again: somebody took the drain back")));
    }
    // One that never had a packet is quiet since it began to drain.
    let quiet = backend.quiet.unwrap_or(waited);
    Ok((quiet < known.settle_time).then(|| {
        format!(
            "it had a packet {:.1} s ago, and its connections may be silent for {}",
            quiet.as_secs_f64(),
            humantime::format_duration(known.settle_time)
        )
    }))
}
