//! `up` and `down`.

use humansize::{BINARY, format_size};
use maglev_core::config::Config;
use maglev_probe::{Beginning, DatapathError, Replacement, Started};
use nix::unistd::{Gid, Group};

use super::{Context, apply, config, print};
use crate::{cli::Up, failure::Failure, foreground};

pub(super) fn up(context: &Context<'_>, words: &Up) -> Result<(), Failure> {
    let mut config = config::read(&words.config)?;
    if !words.interfaces.is_empty() {
        config.datapath.interfaces.clone_from(&words.interfaces);
    }
    let viewers = words.viewers.as_deref().map(group).transpose()?;
    match maglev_probe::up_with_viewers(&context.instance, &config, viewers) {
        Ok(started) => {
            let told = told(context, &started);
            // Who stays does so for its services, not for its log.
            if !words.foreground {
                told?;
            }
            // Whoever stays stays for what the file says; one that ran before may be something else.
            if words.foreground && started.beginning != Beginning::New {
                adopt(context, &config)?;
            }
        }
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
    let _ = if context.json() {
        print::json(&serde_json::json!({ "instance": name, "adopted": true }))
    } else {
        print::line(&format!("instance {name} is running already, as the configuration says: adopted"))
    };
    Ok(())
}

/// Says what was brought up.
fn told(context: &Context<'_>, started: &Started) -> Result<(), Failure> {
    let Started { beginning, interfaces, services, locked_bytes, warnings } = started;
    print::warnings(warnings);
    if context.json() {
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|(name, mode)| serde_json::json!({ "name": name, "attached": mode }))
            .collect();
        let replaced = match beginning {
            Beginning::Replaced(Replacement { from, to, made, grown, .. }) => {
                Some(serde_json::json!({ "from": from, "to": to, "maps-made": made, "maps-grown": grown }))
            }
            Beginning::New | Beginning::Running => None,
        };
        return print::json(&serde_json::json!({
            "instance": context.instance.name(),
            "interfaces": interfaces,
            "locked-bytes": locked_bytes,
            "replaced-program": replaced,
        }));
    }
    if let Beginning::Replaced(replacement) = beginning {
        print::line(&replaced(replacement))?;
    }
    for (name, mode) in interfaces {
        print::line(&format!("attached to {name} ({mode})"))?;
    }
    print::line(&format!(
        "instance {} is up: {services} services, {} of memory locked, pins in {}",
        context.instance.name(),
        format_size(*locked_bytes, BINARY),
        context.instance.folder().display(),
    ))
}

/// The number of a group, by name or number.
fn group(words: &str) -> Result<u32, Failure> {
    if let Ok(number) = words.parse() {
        return Ok(number);
    }
    let found = Group::from_name(words).ok().flatten().map(|group| group.gid);
    found.map(Gid::as_raw).ok_or_else(|| {
        Failure::Refused(format!(
            "maglev-top: there is no group {words:?}: `groupadd --system {words}` makes it, or name another one, by name or number"
        ))
    })
}

/// What came of putting this version's program in the place of another.
fn replaced(replacement: &Replacement) -> String {
    let Replacement { from, to, made, grown, .. } = replacement;
    let from = from.map_or_else(|| "one without a pin".to_owned(), |id| format!("program {id}"));
    let told = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("; {what}: {}", names.join(", ")),
    };
    let made = told("made what an older version did not have", made)
        + &told("made larger, with the counts in it", grown);
    format!(
        "program {to} took the place of {from}; services and connections go on, and the configuration was not applied{made}"
    )
}

pub(super) fn down(context: &Context<'_>) -> Result<(), Failure> {
    maglev_probe::down(&context.instance)?;
    if context.json() {
        return print::json(&serde_json::json!({ "instance": context.instance.name() }));
    }
    print::line(&format!("instance {} is down", context.instance.name()))
}
