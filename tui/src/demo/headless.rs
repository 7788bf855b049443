//! A run without a screen: load, drains and undrains under it, and a report.

use std::time::Duration;

use maglev_core::config::Config;
use maglev_lab::{Load, TcpLoad};

use super::{
    Arguments, DemoError, configuration::changed_service, report::Report, script::Script, stage::Stage,
};
use crate::interruption::Interruption;
use crate::source::Source;

/// How long a run takes if nothing is said.
const DURATION: Duration = Duration::from_secs(10);

/// The most time in which the first connections are opened.
const RAMP: Duration = Duration::from_secs(2);

/// What a run came to.
pub(super) enum Ended {
    /// It is over.
    Over(Box<Report>),
    /// A signal cut it short.
    Interrupted(i32),
}

/// A run with real packets on `stage`.
pub(super) fn run(
    mut stage: Stage,
    config: &Config,
    arguments: &Arguments,
    interruption: &Interruption,
) -> Result<Ended, DemoError> {
    let duration = arguments.duration.unwrap_or(DURATION);
    let mut source = stage.source(config)?;
    let tcp = TcpLoad { ramp: RAMP.min(duration / 4), ..TcpLoad::default() };
    stage.start_traffic(config, Load { tcp, limit: Duration::MAX, ..Load::default() })?;
    let played = script(config, arguments.changes, duration)?.play(&mut source, interruption)?;
    if let Some(signal) = played.signal {
        stage.strike()?;
        return Ok(Ended::Interrupted(signal));
    }
    let conversations = stage.stop_traffic();
    let sample = source.sample()?;
    drop(source);
    stage.strike()?;
    let report = Report::new(&sample, played.changes, arguments.tracking, Some(conversations));
    Ok(Ended::Over(Box::new(report)))
}

/// The same on a simulation.
pub(super) fn simulate(
    mut source: Box<dyn Source>,
    config: &Config,
    arguments: &Arguments,
    interruption: &Interruption,
) -> Result<Ended, DemoError> {
    let duration = arguments.duration.unwrap_or(DURATION);
    let played = script(config, arguments.changes, duration)?.play(&mut *source, interruption)?;
    if let Some(signal) = played.signal {
        return Ok(Ended::Interrupted(signal));
    }
    let report = Report::new(&source.sample()?, played.changes, arguments.tracking, None);
    Ok(Ended::Over(Box::new(report)))
}

fn script(config: &Config, changes: u32, duration: Duration) -> Result<Script, DemoError> {
    let service = changed_service(config).ok_or(DemoError::NoService)?;
    Ok(Script::new(service, changes, duration))
}
