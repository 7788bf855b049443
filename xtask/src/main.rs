//! The few commands that work on this repository: `cargo xtask --help`.

mod build;
mod dist;
mod error;
mod run;
mod sources;
mod strip;
mod time;
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
        /// Leave the kept objects alone, and put the new ones into this folder.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Install what building the XDP programs takes, on Debian: changes nothing where it is there.
    CiSetup,
    /// Build the binary that is copied to nodes: statically linked, for this machine's architecture.
    Dist,
    /// Measure what the XDP programs cost a packet, by runs in the kernel. Needs root.
    BenchProgram,
    /// Run frames at random through the XDP program, and hold what becomes of them against an oracle. Needs root.
    Fuzz {
        /// How long: seconds, or with an s, m or h behind the number.
        #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time::seconds)]
        time: u64,
        /// The seed to begin with, as a failure names it; another one every time if it is not given.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Make the pictures in the README and the book from a real run of the demo in tmux. Needs root.
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
        Task::Dist => dist::build(root),
        Task::BuildEbpf { output: Some(folder) } => build::build_kept(root, folder),
        Task::CiSetup => run(Command::new(root.join(".ci/install-ebpf-toolchain.sh")).current_dir(root)),
        Task::BenchProgram => bench_program(root),
        Task::Fuzz { time, seed } => fuzz(root, *time, *seed),
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
        .env("MAGLEV_RESTORER_OBJECT", restorer))?;
    let observer = build::build(root, &build::OBSERVER, &folder)?;
    // The balancer's name stands for the folder that the others are in, too.
    run(Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["bench", "--package", "maglev-probe", "--bench", "observer"])
        .env("MAGLEV_EBPF_OBJECT", observer))
}

/// Runs the tests of frames at random for so many seconds, on from that seed.
fn fuzz(root: &Path, seconds: u64, seed: Option<u64>) -> Result<(), Error> {
    let mut tests = Command::new(env!("CARGO"));
    tests.current_dir(root).args([
        "test",
        "--package",
        "maglev-probe",
        "--test",
        "fuzz",
        "--",
        "--nocapture",
    ]);
    tests.env("MAGLEV_FUZZ_SECONDS", seconds.to_string());
    if let Some(seed) = seed {
        tests.env("MAGLEV_SEED", seed.to_string());
    }
    run(&mut tests)
}

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate's folder is in the repository's")
}
