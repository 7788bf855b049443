//! `backend`

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    change::Change,
    health::Health,
    sample::{BackendSample, Sample, ServiceSample},
    service::{Backend, BackendState},
};
use maglev_probe::{Changed, Datapath, Placement, Request};
use serde::Serialize;

use super::{
    Context, print,
    report::{BackendReport, ChangesReport, change_reports},
    status::print_backends,
};
use crate::{
    cli::{BackendAction, Drain, OneBackend},
    drain,
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
                health: Health::Unknown,
            };
            change(context, &Asked::of(service, Change::Add(backend), false))
        }
        BackendAction::Drain(Drain { which, wait, timeout }) => {
            if !*wait {
                return each(context, which, Change::Drain).map(drop);
            }
            // Who waited in vain before may wait on.
            let drained = match already_draining(context, which)? {
                Some(drained) => drained,
                None => each(context, which, Change::Drain)?,
            };
            wait_until_quiet(context, &drained, *timeout)
        }
        BackendAction::Undrain(which) => each(context, which, Change::Undrain).map(drop),
        BackendAction::Remove(which) => each(context, which, Change::Remove).map(drop),
        BackendAction::Weight { service, name, weight } => {
            change(context, &Asked::of(service, Change::SetWeight(name.clone(), *weight), false))
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
                backends: service
                    .backends
                    .iter()
                    .map(|backend| BackendReport::new(service, backend))
                    .collect(),
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

/// What is asked of services, by name.
#[derive(Default)]
struct Asked {
    services: Vec<(String, Vec<Change>)>,
    force: bool,
    state_version: Option<u64>,
}

impl Asked {
    fn of(service: &str, change: Change, force: bool) -> Self {
        Self { services: vec![(service.to_owned(), vec![change])], force, state_version: None }
    }
}

/// Does to one backend of a service, or to a machine in all of them, what `make` makes of a name; and says which
/// backends it was asked for, each with its service.
fn each(
    context: &Context<'_>,
    which: &OneBackend,
    make: fn(String) -> Change,
) -> Result<Vec<(String, String)>, Failure> {
    match (&which.service, &which.name, which.address) {
        (Some(service), Some(name), _) => {
            change(context, &Asked::of(service, make(name.clone()), which.force))?;
            Ok(vec![(service.clone(), name.clone())])
        }
        (_, _, Some(address)) => each_of_machine(context, address, which.force, make),
        _ => Err(Failure::Refused("maglev-top: name a service and a backend of it".to_owned())),
    }
}

/// The backends that are asked for, each with its service, if all of them drain already; that is told.
fn already_draining(
    context: &Context<'_>,
    which: &OneBackend,
) -> Result<Option<Vec<(String, String)>>, Failure> {
    let datapath = context.datapath()?;
    let placements = match (&which.service, &which.name, which.address) {
        (Some(service), Some(name), _) => {
            let (service, _) = datapath.service(service)?;
            let backend = service.backend(name).cloned();
            backend.map(|backend| Placement { service: service.name, backend }).into_iter().collect()
        }
        (_, _, Some(address)) => datapath.machine(address)?.0,
        _ => Vec::new(),
    };
    if placements.is_empty()
        || placements.iter().any(|placement| placement.backend.state == BackendState::Active)
    {
        return Ok(None);
    }
    if context.json() {
        print::json(&ChangesReport { changes: Vec::new() })?;
    } else {
        for Placement { service, backend } in &placements {
            print::line(&format!("{} in service {service} drains already", backend.name))?;
        }
    }
    let named = |placement: Placement| (placement.service, placement.backend.name);
    Ok(Some(placements.into_iter().map(named).collect()))
}

fn each_of_machine(
    context: &Context<'_>,
    address: IpAddr,
    force: bool,
    make: fn(String) -> Change,
) -> Result<Vec<(String, String)>, Failure> {
    let (placements, state_version) = context.datapath()?.machine(address)?;
    let mut asked = Asked {
        force,
        // An odd version is of a change that was cut short, and is put right first.
        state_version: Some(state_version).filter(|version| version.is_multiple_of(2)),
        ..Asked::default()
    };
    for Placement { service, backend } in &placements {
        let change = make(backend.name.clone());
        // Where it is so already there is nothing to do; elsewhere there may be.
        if change.is_done_in(backend.state) {
            continue;
        }
        match asked.services.last_mut() {
            Some((last, changes)) if last == service => changes.push(change),
            _ => asked.services.push((service.clone(), vec![change])),
        }
    }
    if asked.services.is_empty() {
        let state = placements.first().map_or("there", |placement| placement.backend.state.word());
        return Err(Failure::Failed(format!("{address} is {state} already in every service that it is in")));
    }
    change(context, &asked)?;
    Ok(placements.into_iter().map(|placement| (placement.service, placement.backend.name)).collect())
}

fn change(context: &Context<'_>, asked: &Asked) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    let services = asked.services.iter().map(|(name, changes)| (name.as_str(), changes.as_slice())).collect();
    let Changed { plans, warnings, .. } =
        datapath.change(&Request { services, force: asked.force, state_version: asked.state_version })?;
    print::warnings(&warnings);
    let done = || plans.iter().zip(asked.services.iter().map(|(_, changes)| changes));
    if context.json() {
        let changes = done().flat_map(|(plan, changes)| change_reports(changes, plan)).collect();
        return print::json(&ChangesReport { changes });
    }
    for (plan, changes) in done() {
        let words: Vec<String> =
            changes.iter().map(|change| format!("{} {}", in_words(change), change.backend())).collect();
        print::line(&format!(
            "{} in service {}: {} of {} slots moved, {} at least had to",
            words.join(", "),
            plan.service,
            plan.moved,
            plan.table_size,
            plan.minimum
        ))?;
    }
    Ok(())
}

const fn in_words(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "added",
        Change::Drain(_) => "draining",
        Change::Undrain(_) => "undrained",
        Change::Remove(_) => "removed",
        Change::SetWeight(..) => "changed the weight of",
        Change::SetHealth(..) => "changed the health of",
    }
}

/// How far a rate looks back.
const WINDOW: Duration = Duration::from_secs(1);

/// Returns when the backends, each told with its service, have had no packet for the settle time.
fn wait_until_quiet(
    context: &Context<'_>,
    drained: &[(String, String)],
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    let begun = Instant::now();
    // A look that is not too old, and one that is younger.
    let (mut older, mut younger) = (Look::new(&datapath)?, None::<Look>);
    loop {
        let now = Look::new(&datapath)?;
        // After the look: maps that are gone fall quiet, too.
        if !datapath.is_pinned() {
            let names: Vec<_> =
                drained.iter().map(|(service, name)| format!("{name} in service {service}")).collect();
            return Err(Failure::Failed(format!(
                "instance {} was taken down before {} had drained: `maglev-top backend list` says what a new one has",
                context.instance.name(),
                names.join(", ")
            )));
        }
        let holding = drained
            .iter()
            .map(|(service, name)| now.what_holds(&datapath, service, name, &older))
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, _>>()?;
        if holding.is_empty() {
            return Ok(());
        }
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            return Err(Failure::Failed(holding.join("; ")));
        }
        if younger.as_ref().is_none_or(|look| look.at.elapsed() >= WINDOW)
            && let Some(look) = younger.replace(now)
        {
            older = look;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// One look at everything, and when it was.
struct Look {
    sample: Sample,
    at: Instant,
}

impl Look {
    fn new(datapath: &Datapath) -> Result<Self, Failure> {
        Ok(Self { sample: datapath.sample()?, at: Instant::now() })
    }

    fn find(&self, service: &str, name: &str) -> Option<(&ServiceSample, &BackendSample)> {
        let service = self.sample.services.iter().find(|sampled| sampled.name == service)?;
        Some((service, service.backends.iter().find(|backend| backend.name == name)?))
    }

    /// What keeps a draining backend from being safe to remove, in words; `None` once nothing does, or it has left.
    fn what_holds(
        &self,
        datapath: &Datapath,
        service: &str,
        name: &str,
        before: &Self,
    ) -> Result<Option<String>, Failure> {
        // It may be told by its address.
        let (known, _) = datapath.service(service)?;
        let Some((sampled, backend)) = self.find(&known.name, name) else { return Ok(None) };
        if backend.state == BackendState::Active {
            return Err(Failure::Failed(format!("{name} is active again: somebody took the drain back")));
        }
        let before = before
            .find(&known.name, name)
            .filter(|(_, earlier)| earlier.id == backend.id)
            .map(|(_, earlier)| (earlier.counters.held_packets, self.at - before.at));
        let held = drain::what_holds(sampled, backend, before);
        Ok(held.map(|held| format!("{name} in service {service} still drains: {held}")))
    }
}
