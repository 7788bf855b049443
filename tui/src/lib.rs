//! top for Maglev load balancing: the command line and the monitor.

use std::process::ExitCode;

use clap::Parser as _;

pub mod cli;
mod command;
pub mod failure;
pub mod source;

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match command::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
