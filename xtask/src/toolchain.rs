//! The two ways to build for BPF: Debian's compiler, which comes with a `core` for it, or rustup's nightly one, which
//! builds its own.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Error, run::output};

/// The target that the programs are built for.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Debian's compiler, whatever else is on the path.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A toolchain that builds for BPF.
pub(crate) struct Toolchain {
    kind: Kind,
    linker: PathBuf,
}

enum Kind {
    /// A stable compiler with a `core` for BPF.
    Debian,
    /// A nightly compiler with the sources of `core`.
    Nightly,
}

impl Toolchain {
    /// The first one that is there.
    pub(crate) fn find() -> Result<Self, Error> {
        let mut looked_for = Vec::new();
        let linker = find_linker();
        match &linker {
            Some(path) => looked_for.push(format!("bpf-linker: {}", path.display())),
            None => looked_for.push("bpf-linker: not on PATH".to_owned()),
        }
        let kind = if has_core(DEBIAN_RUSTC) {
            Some(Kind::Debian)
        } else {
            looked_for.push(format!("{DEBIAN_RUSTC} with a core for {TARGET}: no"));
            has_nightly_sources().then_some(Kind::Nightly)
        };
        if kind.is_none() {
            looked_for.push("a rustup toolchain `nightly` with rust-src: no".to_owned());
        }
        match (kind, linker) {
            (Some(kind), Some(linker)) => Ok(Self { kind, linker }),
            _ => Err(Error::NoToolchain(looked_for.join("; "))),
        }
    }

    /// A `cargo` that builds for BPF, in the crate of the programs.
    pub(crate) fn cargo(&self, root: &Path) -> Command {
        let mut command = match self.kind {
            Kind::Debian => {
                let mut command = Command::new(env!("CARGO"));
                // The target is not a stable one; the compiler is the same whatever the channel it names.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Kind::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                command.env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        };
        command
            .current_dir(root.join("probe-ebpf/program"))
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(root))
            .env_remove("RUSTFLAGS")
            .args(["build", "--locked", "--release", "--target", TARGET]);
        if matches!(self.kind, Kind::Nightly) {
            command.args(["-Z", "build-std=core"]);
        }
        command
    }
}

/// What the compiler is told. The kernel wants BTF, which the linker makes of debugging information; in that stand
/// the paths of the sources, which say nothing of this machine.
fn flags(root: &Path) -> OsString {
    let mut flags = OsString::from(
        "-Ctarget-cpu=v3\x1f-Cdebuginfo=2\x1f-Clink-arg=--btf\x1f-Clink-arg=--disable-expand-memcpy-in-order",
    );
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    for (from, to) in [(Some(root.to_owned()), "."), (home, "cargo")] {
        if let Some(from) = from {
            flags.push("\x1f--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
    }
    flags
}

/// Whether that compiler comes with a `core` for BPF.
fn has_core(rustc: &str) -> bool {
    output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
        .and_then(|folder| fs::read_dir(folder).ok())
        .is_some_and(|mut files| {
            files
                .any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
        })
}

/// Whether rustup has a nightly compiler, and the sources of its `core`.
fn has_nightly_sources() -> bool {
    output(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))
        .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").is_dir())
}

/// The linker, on the path or where cargo installs.
fn find_linker() -> Option<PathBuf> {
    let installed = env::var_os("CARGO_HOME")
        .map(|home| Path::new(&home).join("bin"))
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin")));
    env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .chain(installed)
        .map(|folder| folder.join("bpf-linker"))
        .find(|path| path.is_file())
}
