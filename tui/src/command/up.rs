//! `up` and `down`.

use humansize::{BINARY, format_size};
use maglev_probe::Started;

use super::{Context, config, print};
use crate::{cli::Up, failure::Failure};

pub(super) fn up(context: &Context<'_>, words: &Up) -> Result<(), Failure> {
    if words.viewers.is_some() {
        return Err(super::not_yet("up --viewers"));
    }
    if words.foreground {
        return Err(super::not_yet("up --foreground"));
    }
    let mut config = config::read(&words.config)?;
    if !words.interfaces.is_empty() {
        config.datapath.interfaces.clone_from(&words.interfaces);
    }
    let Started { interfaces, locked_bytes, warnings } = maglev_probe::up(&context.instance, &config)?;
    print::warnings(&warnings);
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
    for (name, mode) in &interfaces {
        print::line(&format!("attached to {name} ({mode})"))?;
    }
    print::line(&format!(
        "instance {} is up: {} services, {} of memory locked, pins in {}",
        context.instance.name(),
        config.services.len(),
        format_size(locked_bytes, BINARY),
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
