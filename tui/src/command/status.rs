//! `status`

use std::time::Duration;

use humansize::{BINARY, format_size};
use maglev_core::{
    drain::DrainProgress,
    sample::{BackendSample, Sample, ServiceSample},
};

use super::{
    Context, apply, config, print,
    report::{Checks, StatusReport},
};
use crate::{cli::Status, drain, failure::Failure, state};

/// What follows where nobody runs the checks that services ask for.
const NOBODY_CHECKS: &str =
    "HEALTH CHECKS ARE NOT RUNNING: what they last said stands; `maglev-top up --foreground` runs them";

pub(super) fn run(context: &Context<'_>, words: &Status) -> Result<(), Failure> {
    let config = words.config.as_deref().map(config::read).transpose()?;
    let mut datapath = context.datapath()?;
    loop {
        if !datapath.is_pinned() {
            datapath = context.datapath()?;
            print::warnings(&[format!(
                "instance {} was taken down and brought up again: what follows is of the new one",
                context.instance.name()
            )]);
        }
        let sample = datapath.sample()?;
        let checks = Checks::of(&datapath, &sample);
        let plan = config.as_ref().map(|config| datapath.plan_apply(config, false)).transpose()?;
        let differs = plan.as_ref().map(apply::differences);
        if context.json() {
            print::json(&StatusReport::new(&sample, checks, differs))?;
        } else {
            text(&sample)?;
            if let Some(Checks { running: false, .. }) = checks {
                print::line("")?;
                print::line(NOBODY_CHECKS)?;
            }
            if let Some(differs) = differs {
                print::line("")?;
                differences(&differs)?;
            }
        }
        match words.watch {
            Some(interval) if print::is_read_for(interval) => {}
            None | Some(_) => return Ok(()),
        }
    }
}

fn differences(differs: &[String]) -> Result<(), Failure> {
    if differs.is_empty() {
        return print::line("the running state is the configuration's");
    }
    print::line("differs from the configuration; `apply` would, and what was done by hand stays:")?;
    differs.iter().try_for_each(|what| print::line(&format!("  {what}")))
}

fn text(sample: &Sample) -> Result<(), Failure> {
    for service in &sample.services {
        print::line(&headline(service))?;
        print_backends(service)?;
        print::line("")?;
    }
    if sample.services.is_empty() {
        print::line("no service")?;
    }
    let rows: Vec<Vec<String>> = sample
        .verdicts
        .iter()
        .filter(|(_, count)| *count != 0)
        .map(|(word, count)| vec![(*word).to_owned(), print::number(*count)])
        .collect();
    print::columns(&["VERDICT", "PACKETS"], &[1], &rows)
}

fn headline(service: &ServiceSample) -> String {
    let settling = match service.slots.settling() {
        0 => String::new(),
        settling => format!(", {settling} settling"),
    };
    let unremembered = match service.unremembered {
        0 => String::new(),
        count => format!(", {} connections not remembered", print::number(count)),
    };
    format!(
        "{}  {}/{}  {} slots{settling}, {} packets, {} new connections{unremembered}",
        service.name,
        service.address,
        service.protocol,
        service.slots.len(),
        print::number(service.counters.packets),
        print::number(service.counters.new_connections),
    )
}

/// The backends of a service, with their counters.
pub(super) fn print_backends(service: &ServiceSample) -> Result<(), Failure> {
    let titles = [
        "  BACKEND",
        "ADDRESS",
        "STATE",
        "WEIGHT",
        "SLOTS",
        "SHARE",
        "PACKETS",
        "BYTES",
        "NEW",
        "HELD",
        "QUIET",
    ];
    let rows: Vec<Vec<String>> =
        service.backends.iter().map(|backend| row(backend, service.slots.len())).collect();
    print::columns(&titles, &[3, 4, 5, 6, 7, 8, 9, 10], &rows)?;
    for backend in &service.backends {
        if let Some(progress) = DrainProgress::of(service, backend) {
            let words = drain::in_words(progress, service.settle_time);
            print::line(&format!("  {} drains: {words}", backend.name))?;
        }
    }
    Ok(())
}

fn row(backend: &BackendSample, slots: usize) -> Vec<String> {
    let share = 100.0 * f64::from(backend.slots) / f64::from(u32::try_from(slots.max(1)).unwrap_or(u32::MAX));
    let state = state::in_words(backend);
    vec![
        format!("  {}", backend.name),
        backend.address.to_string(),
        state.to_owned(),
        backend.weight.to_string(),
        print::number(backend.slots.into()),
        format!("{share:.1}%"),
        print::number(backend.counters.packets),
        format_size(backend.counters.bytes, BINARY),
        print::number(backend.counters.new_connections),
        print::number(backend.counters.held_packets),
        backend.quiet.map_or_else(|| "never".to_owned(), quiet),
    ]
}

fn quiet(quiet: Duration) -> String {
    if quiet < Duration::from_secs(1) {
        "now".to_owned()
    } else {
        humantime::format_duration(Duration::from_secs(quiet.as_secs())).to_string()
    }
}
