//! The monitor: on the running datapath, on a Cilium node, or on a demo.

use std::{env, io::IsTerminal as _, path::Path, process::ExitCode};

use maglev_probe::{
    DatapathError, Instance, Interface,
    cilium::{DEFAULT_PINS, is_node},
    observe::ObserveError,
};

use super::{Context, print};
use crate::{
    cilium::names::Names,
    cli::{CiliumMonitor, Color, DEFAULT_RUN_DIR, Demo, Look},
    demo::{self, Arguments, Outcome},
    failure::{Failure, in_words},
    monitor::{self, Ended, MonitorError, Options, view::ViewName},
    preferences::{self, Preferences, PreferencesError},
    source::{
        Source,
        cilium::{CiliumSource, Place},
        datapath::DatapathSource,
    },
    terminal::{
        capability::{ColourChoice, ColourDepth},
        theme::{self, DEFAULT, Theme},
    },
};

/// Opens the monitor on the running datapath, or says what to run.
pub(super) fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let look = &context.arguments.look;
    if let Some(done) = print(look) {
        return done;
    }
    let preferences = preferences()?;
    if context.arguments.cilium == CiliumMonitor::default() {
        // Whoever names an instance does not mean a node of Cilium's.
        let is_the_default = context.instance.name() == Instance::DEFAULT;
        match DatapathSource::open(&context.instance) {
            Err(DatapathError::NotRunning { .. }) if is_the_default && is_node(Path::new(DEFAULT_PINS)) => {}
            Err(DatapathError::NotRunning { .. }) => return Err(nothing_to_show(context)),
            source => return watch(look, preferences, Begin::default(), Box::new(source?)).map(status),
        }
    }
    // Of a Cilium node it is the services that one comes to see: which have a table, and which have none.
    let begin = Begin { view: ViewName::Services, service: None };
    watch(look, preferences, begin, Box::new(cilium(context)?)).map(status)
}

/// The Cilium node that this is.
fn cilium(context: &Context<'_>) -> Result<CiliumSource, Failure> {
    let words = &context.arguments.cilium;
    for interface in &words.counting.interface {
        Interface::by_name(interface)
            .map_err(|_| Failure::of(&ObserveError::UnknownInterface(interface.clone())))?;
    }
    let place = Place {
        pins: words.pins.clone().unwrap_or_else(|| DEFAULT_PINS.into()),
        run_dir: words.run_dir.clone().unwrap_or_else(|| DEFAULT_RUN_DIR.into()),
        names: words.names.as_deref().map(Names::read).transpose()?,
        seed: words.seed,
        counting: (!words.no_observer).then(|| words.counting.clone()),
    };
    CiliumSource::open(place).map_err(|error| Failure::of(&error))
}

/// Shows a demo.
pub(super) fn demo(context: &Context<'_>, words: &Demo) -> Result<ExitCode, Failure> {
    if let Some(done) = print(&words.look) {
        return done;
    }
    let preferences = if words.headless { Preferences::default() } else { preferences()? };
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
    let outcome = demo::run(&arguments, |source| {
        watch(look, preferences, Begin { service: Some("web"), ..Begin::default() }, source)
    })
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

/// What the monitor shows first.
#[derive(Clone, Copy, Default)]
struct Begin {
    view: ViewName,
    service: Option<&'static str>,
}

/// Opens the monitor.
fn watch(
    look: &Look,
    preferences: Preferences,
    begin: Begin,
    source: Box<dyn Source>,
) -> Result<Ended, Failure> {
    // The environment comes before the file: who sets NO_COLOR wants none.
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = look.color.or(preferences.color.filter(|_| !no_color)).unwrap_or_default();
    let options = Options {
        theme: look.theme.clone().or(preferences.theme),
        colour: match color {
            Color::Auto => ColourChoice::Auto,
            Color::Truecolor => ColourChoice::Fixed(ColourDepth::True),
            Color::Indexed => ColourChoice::Fixed(ColourDepth::Indexed),
            Color::Named => ColourChoice::Fixed(ColourDepth::Sixteen),
            Color::Never => ColourChoice::Fixed(ColourDepth::None),
        },
        ascii: look.ascii.or(preferences.ascii).unwrap_or_default(),
        interval: look.interval.or(preferences.interval),
        view: begin.view,
        service: begin.service.map(str::to_owned),
        mouse: look.mouse.or(preferences.mouse).unwrap_or_default(),
        low_bandwidth: look.low_bandwidth.or(preferences.low_bandwidth).unwrap_or_default(),
        keymap: preferences.keymap,
        ..Options::default()
    };
    monitor::run(source, options).map_err(|error| match error {
        MonitorError::Theme(_) => Failure::Refused(format!("maglev-top: {error}")),
        error => Failure::of(&error),
    })
}

/// What the operator's file says.
fn preferences() -> Result<Preferences, Failure> {
    Preferences::load().map_err(|error| match error {
        PreferencesError::Wrong(errors) => errors.into(),
        error @ PreferencesError::Unreadable { .. } => {
            Failure::Refused(format!("maglev-top: {}", in_words(&error)))
        }
    })
}

/// Prints what is asked for instead of a monitor, if anything is.
fn print(look: &Look) -> Option<Result<ExitCode, Failure>> {
    if look.print_theme {
        return Some(print_theme(look));
    }
    let print = || print::line(preferences::defaults().trim_end()).map(|()| ExitCode::SUCCESS);
    look.print_config.then(print)
}

/// Prints the theme that would be used; where neither words nor preferences name one, the first of those that the
/// terminal's background chooses from.
fn print_theme(look: &Look) -> Result<ExitCode, Failure> {
    let preferred = if look.theme.is_some() { None } else { preferences()?.theme };
    let name = look.theme.as_deref().or(preferred.as_deref()).unwrap_or(DEFAULT);
    let wrong = |error| Failure::Refused(format!("maglev-top: {error}"));
    let text = theme::text(name).map_err(wrong)?;
    Theme::parse(name, &text).map_err(wrong)?;
    print::line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
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
