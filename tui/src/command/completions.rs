//! `completions`: what has a shell complete the words of the command line.

use clap_complete::Shell;

use super::print;
use crate::{cli, failure::Failure};

/// Prints the shell's script.
pub(super) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::visible(), "maglev-top", &mut script);
    print::line(String::from_utf8_lossy(&script).trim_end())
}
