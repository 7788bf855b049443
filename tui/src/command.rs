//! The commands, one file each: what they do, and how they print it.

mod apply;
mod backend;
mod config;
mod decap;
mod lookup;
mod print;
mod report;
mod status;
mod table;
mod up;

use maglev_probe::{Datapath, Instance};

use crate::{
    cli::{Arguments, Command, ConfigAction},
    failure::Failure,
};

/// Does what the command line asks for.
///
/// # Errors
///
/// When it could not be done.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let context = Context { arguments, instance: Instance::new(&arguments.instance).map_err(|error| Failure::Refused(format!("maglev-top: {error}")))? };
    match &arguments.command {
        None => Err(not_yet("the monitor")),
        Some(Command::Demo(_) | Command::DemoSweep { .. }) => Err(not_yet("demo")),
        Some(Command::Up(words)) => up::up(&context, words),
        Some(Command::Down) => up::down(&context),
        Some(Command::Apply(words)) => apply::run(&context, words),
        Some(Command::Config(words)) => match words.action {
            ConfigAction::Show => Err(not_yet("config show")),
        },
        Some(Command::Status(words)) => status::run(&context, words),
        Some(Command::Backend(words)) => backend::run(&context, &words.action),
        Some(Command::Table(words)) => table::run(&context, &words.action),
        Some(Command::Lookup(words)) => lookup::run(&context, words),
        Some(Command::Decap(words)) => decap::run(words),
        Some(Command::Trace(_)) => Err(not_yet("trace")),
        Some(Command::Cilium(_)) => Err(not_yet("cilium")),
        Some(Command::Record(_)) => Err(not_yet("record")),
        Some(Command::Replay(_)) => Err(not_yet("replay")),
        Some(Command::Exporter(_)) => Err(not_yet("exporter")),
        Some(Command::Doctor(_)) => Err(not_yet("doctor")),
        Some(Command::Bench(_)) => Err(not_yet("bench")),
        Some(Command::Completions(_)) => Err(not_yet("completions")),
        Some(Command::Man(_)) => Err(not_yet("man")),
    }
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
