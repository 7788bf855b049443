//! The monitor: on the running datapath, or on a demo.

use std::{io::IsTerminal as _, process::ExitCode};

use maglev_probe::{DatapathError, Instance};

use super::{Context, print};
use crate::{
    cli::{Color, Demo, Look},
    demo::{self, Arguments, Outcome},
    failure::Failure,
    monitor::{self, Ended, MonitorError, Options},
    source::{Source, datapath::DatapathSource},
    terminal::capability::{ColourChoice, ColourDepth},
};

/// Opens the monitor on the running datapath, or says what to run.
pub(super) fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let source = match DatapathSource::open(&context.instance) {
        Err(DatapathError::NotRunning { .. }) => return Err(nothing_to_show(context)),
        source => source?,
    };
    watch(&context.arguments.look, None, Box::new(source)).map(status)
}

/// Shows a demo.
pub(super) fn demo(context: &Context<'_>, words: &Demo) -> Result<ExitCode, Failure> {
    if !words.headless && !std::io::stdout().is_terminal() {
        return Err(Failure::Refused(
            "maglev-top: the demo needs a terminal; without one: maglev-top demo --headless".to_owned(),
        ));
    }
    let arguments = Arguments {
        simulate: words.simulate,
        headless: words.headless,
        duration: words.duration,
        changes: words.changes,
        tracking: words.tracking,
    };
    let look = &words.look;
    let outcome = demo::run(&arguments, |source| watch(look, Some("web"), source))
        .map_err(|error| Failure::of(&error))?;
    match outcome {
        Outcome::Watched(ended) => ended.map(status),
        Outcome::TimeOver => Ok(ExitCode::SUCCESS),
        Outcome::Interrupted(signal) => Ok(status(Ended::Signal(signal))),
        Outcome::Reported(report) => {
            if context.json() {
                print::json(&report)?;
            } else {
                print::line(&report.to_string())?;
            }
            report.fault().map_or(Ok(ExitCode::SUCCESS), |fault| Err(Failure::Failed(fault)))
        }
    }
}

/// Opens the monitor, with `service` before the others if one is named.
fn watch(look: &Look, service: Option<&str>, source: Box<dyn Source>) -> Result<Ended, Failure> {
    let options = Options {
        theme: look.theme.clone(),
        colour: match look.color {
            Color::Auto => ColourChoice::Auto,
            Color::Truecolor => ColourChoice::Fixed(ColourDepth::True),
            Color::Indexed => ColourChoice::Fixed(ColourDepth::Indexed),
            Color::Named => ColourChoice::Fixed(ColourDepth::Sixteen),
            Color::Never => ColourChoice::Fixed(ColourDepth::None),
        },
        ascii: look.ascii,
        interval: look.interval,
        service: service.map(str::to_owned),
        ..Options::default()
    };
    monitor::run(source, options).map_err(|error| match error {
        MonitorError::Theme(_) => Failure::Refused(format!("maglev-top: {error}")),
        error => Failure::of(&error),
    })
}

fn status(ended: Ended) -> ExitCode {
    ExitCode::from(ended.exit_status())
}

fn nothing_to_show(context: &Context<'_>) -> Failure {
    let others: Vec<String> =
        Instance::all().unwrap_or_default().iter().map(|other| other.name().to_owned()).collect();
    let running = if others.is_empty() {
        "`maglev-top up --config FILE` starts one, and `maglev-top demo` shows one without a configuration"
            .to_owned()
    } else {
        format!("there is {}: take `--instance NAME`", others.join(", "))
    };
    Failure::Failed(format!("no datapath is running as instance {}; {running}", context.instance.name()))
}
