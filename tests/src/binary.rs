//! The real binary.

use std::{
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use maglev_lab::Namespace;

/// The binary, built from the sources as they are.
///
/// # Panics
///
/// When it does not build.
pub fn maglev_top() -> &'static Path {
    static BINARY: OnceLock<escargot::CargoRun> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let build = escargot::CargoBuild::new()
                .package("maglev-top")
                .bin("maglev-top")
                .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
            let build = if cfg!(debug_assertions) { build } else { build.release() };
            build.run().unwrap_or_else(|error| panic!("maglev-top does not build: {error}"))
        })
        .path()
}

/// Runs the binary in a network namespace, to its end.
///
/// # Panics
///
/// When it cannot be started.
#[must_use]
pub fn run_in(namespace: &Namespace, words: &[&str]) -> Output {
    let binary = maglev_top();
    namespace
        .run(|| Command::new(binary).args(words).output())
        .expect("a thread gets into the namespace")
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", binary.display()))
}
