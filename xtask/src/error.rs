//! What can go wrong.

use std::{io, path::PathBuf};

/// A task that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A command could not be started.
    #[error("`{command}` could not be started: {error}")]
    NotStarted {
        /// The command.
        command: String,
        /// Why.
        error: io::Error,
    },
    /// A command failed, and has said why.
    #[error("`{0}` failed")]
    Failed(String),
    /// Nothing here builds for BPF.
    #[error(
        "no toolchain that builds for BPF was found. Either of these will do:\n\
         \n  on Debian 12:  cargo xtask ci-setup\n                 \
         (installs rustc-web, libstd-rust-web-dev-bpf and LLVM, then bpf-linker)\n\
         \n  with rustup:   rustup toolchain install nightly --component rust-src\n                 \
         cargo install bpf-linker --version 0.13.0 --locked\n\
         \nwhat was looked for: {0}"
    )]
    NoToolchain(String),
    /// What the linker wrote is not an object that can be stripped.
    #[error("the linker's object: {0}")]
    Object(#[from] object::build::Error),
}

/// Names the file that an operation failed on.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |error| Error::File { path, error }
}
