//! `up` and `down`.

use humansize::{BINARY, format_size};
use maglev_core::config::Config;
use maglev_probe::{DatapathError, Started};

use super::{Context, apply, config, print};
use crate::{cli::Up, failure::Failure, foreground};

pub(super) fn up(context: &Context<'_>, words: &Up) -> Result<(), Failure> {
    if words.viewers.is_some() {
        return Err(super::not_yet("up --viewers"));
    }
    let mut config = config::read(&words.config)?;
    if !words.interfaces.is_empty() {
        config.datapath.interfaces.clone_from(&words.interfaces);
    }
    match maglev_probe::up(&context.instance, &config) {
        Ok(started) => told(context, &config, &started)?,
        Err(DatapathError::AlreadyRunning(_)) if words.foreground => adopt(context, &config)?,
        Err(error) => return Err(error.into()),
    }
    if words.foreground { foreground::run(context.datapath()?, context.json()) } else { Ok(()) }
}

/// Makes sure that what runs is what `config` says, what was done by hand apart.
fn adopt(context: &Context<'_>, config: &Config) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    let plan = datapath.plan_apply(config, false)?;
    let name = context.instance.name();
    if !plan.is_empty() {
        let mut differs = apply::differences(&plan);
        differs.insert(0, format!("instance {name} is running, and is not what the configuration says: `maglev-top apply` makes it that, then come again"));
        return Err(Failure::Failed(differs.join("\n  ")));
    }
    let out_of_reach =
        plan.out_of_reach.iter().map(|what| format!("{what}: `down` and `up` do that, and this does not"));
    print::warnings(&out_of_reach.collect::<Vec<_>>());
    if context.json() {
        return print::json(&serde_json::json!({ "instance": name, "adopted": true }));
    }
    print::line(&format!("instance {name} is running already, as the configuration says: adopted"))
}

/// Says what was brought up.
fn told(context: &Context<'_>, config: &Config, started: &Started) -> Result<(), Failure> {
    let Started { interfaces, locked_bytes, warnings } = started;
    print::warnings(warnings);
    if context.json() {
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|(name, mode)| serde_json::json!({ "name": name, "attached": mode }))
            .collect();
        return print::json(&serde_json::json!({
            "instance": context.instance.name(),
            "interfaces": interfaces,
            "locked-bytes": locked_bytes,
        }));
    }
    for (name, mode) in interfaces {
        print::line(&format!("attached to {name} ({mode})"))?;
    }
    print::line(&format!(
        "instance {} is up: {} services, {} of memory locked, pins in {}",
        context.instance.name(),
        config.services.len(),
        format_size(*locked_bytes, BINARY),
        context.instance.folder().display(),
    ))
}

pub(super) fn down(context: &Context<'_>) -> Result<(), Failure> {
    maglev_probe::down(&context.instance)?;
    if context.json() {
        return print::json(&serde_json::json!({ "instance": context.instance.name() }));
    }
    print::line(&format!("instance {} is down", context.instance.name()))
}
