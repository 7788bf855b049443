//! `completions`: what has a shell complete the words of the command line.

use clap_complete::Shell;

use super::print;
use crate::{cli, failure::Failure};

/// Prints the shell's script.
pub(super) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::visible(), "maglev-top", &mut script);
    // For bash, clap_complete 4.6 spells a name with a hyphen in two ways, and then finds no subcommand's words
    // (clap-rs/clap#6421).
    let script = String::from_utf8_lossy(&script).replace("maglev__subcmd__top", "maglev__top");
    print::line(script.trim_end())
}
