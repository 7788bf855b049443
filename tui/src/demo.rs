//! `maglev-top demo`: hosts in network namespaces, real packets through the XDP program between them, and the monitor
//! on it; or the same simulated. Nothing of it is left afterwards, however it ends.

mod claim;
mod configuration;
mod error;
mod headless;
mod report;
mod script;
mod stage;
mod sweeper;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use maglev_core::{config::Config, service::Tracking};
use maglev_lab::Load;
use signal_hook::{consts::SIGTERM, low_level::raise};

pub use self::{error::DemoError, report::Report, sweeper::sweep};
use self::{headless::Ended, stage::Stage};
use crate::interruption::Interruption;
use crate::{failure::in_words, simulation::Simulation, source::Source};

/// What kind of demo is asked for.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// Generated flows instead of packets.
    pub simulate: bool,
    /// Without a screen.
    pub headless: bool,
    /// How long it takes. If nothing is said: ten seconds without a screen, else until the monitor is left.
    pub duration: Option<Duration>,
    /// How many changes a run without a screen makes.
    pub changes: u32,
    /// How the TCP service tracks its flows.
    pub tracking: Tracking,
}

/// What a demo came to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The monitor was on it, and ended like that.
    Watched(T),
    /// The monitor was on it, and its time was over.
    TimeOver,
    /// It ran without a screen.
    Reported(Box<Report>),
    /// A run without a screen was cut short by that signal.
    Interrupted(i32),
}

/// Shows a demo: `monitor` is what opens the monitor on it, if it has a screen.
///
/// Where the privileges are missing, standard error says so and the demo is simulated.
///
/// # Errors
///
/// When it cannot be shown, a change is refused, or something of it cannot be taken down.
pub fn run<T>(
    arguments: &Arguments,
    monitor: impl FnOnce(Box<dyn Source>) -> T,
) -> Result<Outcome<T>, DemoError> {
    let config = configuration::configuration(arguments.tracking, arguments.headless)?;
    let interruption =
        arguments.headless.then(Interruption::watch).transpose().map_err(DemoError::Signals)?;
    let stage = if arguments.simulate { None } else { set_stage(&config)? };
    let ended = match (stage, &interruption) {
        (Some(stage), Some(interruption)) => headless::run(stage, &config, arguments, interruption)?,
        (None, Some(interruption)) => {
            headless::simulate(simulation(&config)?, &config, arguments, interruption)?
        }
        (Some(stage), None) => return watch(stage, &config, arguments.duration, monitor),
        (None, None) => return Ok(show(simulation(&config)?, arguments.duration, monitor)),
    };
    Ok(match ended {
        Ended::Over(report) => Outcome::Reported(report),
        Ended::Interrupted(signal) => Outcome::Interrupted(signal),
    })
}

/// Sets the stage; `None` where that is for others, which standard error then says.
fn set_stage(config: &Config) -> Result<Option<Stage>, DemoError> {
    match Stage::set(config, |warning| eprintln!("maglev-top: warning: {warning}")) {
        Ok(stage) => Ok(Some(stage)),
        Err(error) if error.is_for_want() => {
            eprintln!("maglev-top: {}; this demo is simulated", in_words(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The monitor on what is real, which is taken down afterwards.
fn watch<T>(
    mut stage: Stage,
    config: &Config,
    duration: Option<Duration>,
    monitor: impl FnOnce(Box<dyn Source>) -> T,
) -> Result<Outcome<T>, DemoError> {
    let source = stage.source(config)?;
    // It ends with the demo, and not before.
    stage.start_traffic(config, Load { limit: Duration::MAX, ..Load::default() })?;
    let outcome = show(Box::new(source), duration, monitor);
    stage.strike()?;
    Ok(outcome)
}

/// The monitor, until somebody leaves it or its time is over.
fn show<T>(
    source: Box<dyn Source>,
    duration: Option<Duration>,
    monitor: impl FnOnce(Box<dyn Source>) -> T,
) -> Outcome<T> {
    let over = Arc::new(AtomicBool::new(false));
    if let Some(duration) = duration {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            thread::sleep(duration);
            over.store(true, Ordering::SeqCst);
            // The monitor knows how to end in good order when it is told to from outside. Without it, so does the
            // sweeper.
            let _ = raise(SIGTERM);
        });
    }
    let ended = monitor(source);
    if over.load(Ordering::SeqCst) { Outcome::TimeOver } else { Outcome::Watched(ended) }
}

fn simulation(config: &Config) -> Result<Box<dyn Source>, DemoError> {
    let spares = configuration::spares(config);
    Ok(Box::new(Simulation::new(config.services.clone(), spares, config.seed, fastrand::u64(..))?))
}
