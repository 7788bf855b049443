//! top for Maglev load balancing: the command line and the monitor.

use std::process::ExitCode;

use clap::Parser as _;

pub(crate) mod cilium;
pub mod cli;
mod command;
pub mod demo;
pub(crate) mod drain;
pub mod failure;
mod foreground;
mod interruption;
pub mod manual;
pub mod monitor;
pub(crate) mod packet;
pub mod preferences;
pub mod simulation;
pub mod source;
pub(crate) mod state;
pub mod terminal;

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match command::run(&arguments) {
        Ok(status) => status,
        Err(failure) => failure.tell(),
    }
}
