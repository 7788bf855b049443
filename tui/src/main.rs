//! `maglev-top`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    maglev_top::main()
}
