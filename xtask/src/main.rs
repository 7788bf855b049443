//! The few commands that work on this repository: `cargo xtask --help`.

mod build;
mod error;
mod run;
mod sources;
mod strip;
mod toolchain;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Parser;

use crate::{error::Error, run::run};

/// The commands that work on this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Build the XDP programs from source, and keep the objects that the loader embeds.
    BuildEbpf {
        /// Leave the kept object alone, and put the new ones, maglev.bpf.o and trace.bpf.o, into this folder.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Install what building the XDP programs takes, on Debian: changes nothing where it is there.
    CiSetup,
    /// Measure what the XDP programs cost a packet, by runs in the kernel. Needs root.
    BenchProgram,
    /// Make the picture in the README from a real run of the demo. Needs root.
    Picture,
}

fn main() -> ExitCode {
    match perform(&Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<(), Error> {
    let root = root();
    match task {
        Task::BuildEbpf { output: None } => build::keep(root),
        Task::BuildEbpf { output: Some(folder) } => {
            for object in [&build::PROGRAM, &build::TRACE] {
                println!("{}", build::build(root, object, folder)?.display());
            }
            Ok(())
        }
        Task::CiSetup => run(Command::new(root.join(".ci/install-ebpf-toolchain.sh")).current_dir(root)),
        Task::BenchProgram => bench_program(root),
        Task::Picture => run(Command::new(env!("CARGO")).current_dir(root).args([
            "run",
            "--release",
            "--package",
            "maglev-tests",
            "--example",
            "picture",
        ])),
    }
}

/// Builds the programs and what restores their packets between runs, and measures.
fn bench_program(root: &Path) -> Result<(), Error> {
    let folder = root.join("target/ebpf-bench");
    let program = build::build(root, &build::PROGRAM, &folder)?;
    let restorer = build::build(root, &build::RESTORER, &folder)?;
    run(Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["bench", "--package", "maglev-probe", "--bench", "program"])
        .env("MAGLEV_EBPF_OBJECT", program)
        .env("MAGLEV_RESTORER_OBJECT", restorer))
}

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate's folder is in the repository's")
}
