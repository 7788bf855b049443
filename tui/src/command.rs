//! The commands, one file each: what they do, and how they print it.

mod apply;
mod backend;
mod cilium;
mod completions;
mod config;
mod decap;
mod doctor;
mod lookup;
mod monitor;
pub(crate) mod print;
pub(crate) mod report;
mod status;
mod table;
mod trace;
mod up;

use std::{env, process::ExitCode};

use maglev_probe::{Datapath, Instance};

use crate::{
    cli::{Arguments, CiliumMonitor, Command, ConfigAction, ConfigCommand, Look},
    demo,
    failure::Failure,
    manual,
};

/// Whether anything is said of the monitor's looks; what the environment says of its theme holds for all commands.
fn says_how_it_looks(look: &Look) -> bool {
    let theme = look.theme.clone().filter(|theme| env::var("MAGLEV_TOP_THEME").as_ref() != Ok(theme));
    Look { theme, ..look.clone() } != Look::default()
}

/// Does what the command line asks for.
///
/// # Errors
///
/// When it could not be done.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let instance = Instance::new(&arguments.instance)
        .map_err(|error| Failure::Refused(format!("maglev-top: {error}")))?;
    let context = Context { arguments, instance };
    if arguments.command.is_some() && arguments.cilium != CiliumMonitor::default() {
        return Err(Failure::Refused(
            "maglev-top: --pins, --run-dir, --names and --seed stand behind the command: maglev-top cilium services --pins DIR".to_owned(),
        ));
    }
    if arguments.command.is_some() && says_how_it_looks(&arguments.look) {
        return Err(Failure::Refused(
            "maglev-top: how the monitor looks is said without a command, or behind `demo`: maglev-top demo --theme light"
                .to_owned(),
        ));
    }
    let done = match &arguments.command {
        None => return monitor::run(&context),
        Some(Command::Demo(words)) => return monitor::demo(&context, words),
        Some(Command::DemoSweep { instance }) => demo::sweep(instance).map_err(|error| Failure::of(&error)),
        Some(Command::Up(words)) => up::up(&context, words),
        Some(Command::Down) => up::down(&context),
        Some(Command::Apply(words)) => apply::run(&context, words),
        Some(Command::Status(words)) => status::run(&context, words),
        Some(Command::Backend(words)) => backend::run(&context, &words.action),
        Some(Command::Table(words)) => table::run(&context, &words.action),
        Some(Command::Lookup(words)) => lookup::run(&context, words),
        Some(Command::Decap(words)) => decap::run(words),
        Some(Command::Config(ConfigCommand { action: ConfigAction::Show })) => config::show(&context),
        Some(Command::Trace(words)) => trace::run(&context, words),
        Some(Command::Cilium(words)) => cilium::run(&context, words),
        Some(Command::Record(_)) => Err(not_yet("record")),
        Some(Command::Replay(_)) => Err(not_yet("replay")),
        Some(Command::Exporter(_)) => Err(not_yet("exporter")),
        Some(Command::Doctor(words)) => doctor::run(&context, words),
        Some(Command::Bench(_)) => Err(not_yet("bench")),
        Some(Command::Completions { shell }) => completions::run(*shell),
        Some(Command::Man) => print::line(manual::page().trim_end()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// What every command knows.
struct Context<'a> {
    arguments: &'a Arguments,
    instance: Instance,
}

impl Context<'_> {
    /// Whether to print for programs.
    fn json(&self) -> bool {
        self.arguments.output == crate::cli::Output::Json
    }

    /// The running datapath.
    fn datapath(&self) -> Result<Datapath, Failure> {
        Ok(Datapath::open(&self.instance)?)
    }
}

fn not_yet(command: &str) -> Failure {
    Failure::Failed(format!("`{command}` is not there yet"))
}
