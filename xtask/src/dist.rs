//! The binary that is copied to nodes: one file that needs nothing but a kernel.

use std::{path::Path, process::Command};

use crate::{error::Error, run::run};

/// Cargo builds for a named target, so that macros, which are libraries, are not linked statically.
const TARGETS: [(&str, &str); 2] =
    [("x86_64", "x86_64-unknown-linux-gnu"), ("aarch64", "aarch64-unknown-linux-gnu")];

/// Builds it for this machine's architecture, with the C library in it, and says where it is.
pub(crate) fn build(root: &Path) -> Result<(), Error> {
    let target = TARGETS.iter().find(|(architecture, _)| *architecture == std::env::consts::ARCH);
    let (_, target) = target.ok_or_else(|| Error::Failed(format!("dist for {}", std::env::consts::ARCH)))?;
    run(Command::new("cargo")
        .current_dir(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
        .args(["build", "--release", "--locked", "--package", "maglev-top", "--target", target]))?;
    println!("target/{target}/release/maglev-top (below CARGO_TARGET_DIR, if that is set)");
    Ok(())
}
