//! Other programs.

use std::process::Command;

use crate::error::Error;

/// Runs a command, which says itself what it does and why it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Error::Failed(name)),
        Err(error) => Err(Error::NotStarted { command: name, error }),
    }
}

/// What a command prints, without the space around it; `None` where it cannot be started or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
