//! Building the XDP programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, at},
    run::run,
    sources,
    strip::strip,
    toolchain::{TARGET, Toolchain},
};

/// An object that the crate of the programs is built into.
pub(crate) struct Object {
    /// The binary.
    binary: &'static str,
    /// The features that it is built with.
    features: &'static str,
    /// What the file is called.
    name: &'static str,
}

/// The programs.
pub(crate) const PROGRAM: Object = Object { binary: "maglev", features: "", name: "maglev.bpf.o" };

/// The balancer that traces.
const TRACE: Object = Object { binary: "maglev", features: "trace", name: "trace.bpf.o" };

/// What observes a Cilium node.
pub(crate) const OBSERVER: Object = Object { binary: "observer", features: "", name: "observer.bpf.o" };

/// What leads health checks the way of clients' packets.
const HEALTH: Object = Object { binary: "health", features: "", name: "health.bpf.o" };

/// What the loader embeds.
const KEPT: [&Object; 4] = [&PROGRAM, &TRACE, &OBSERVER, &HEALTH];

/// What restores a packet between two runs of them, to measure.
pub(crate) const RESTORER: Object = Object { binary: "restorer", features: "", name: "restorer.bpf.o" };

/// Builds one of the objects, and puts it without its debugging information into `folder`.
pub(crate) fn build(root: &Path, object: &Object, folder: &Path) -> Result<PathBuf, Error> {
    let built = root.join("target/ebpf");
    let Object { binary, features, name } = object;
    run(Toolchain::find()?
        .cargo(root)
        .args(["--bin", binary, "--features", features])
        .arg("--target-dir")
        .arg(&built))?;
    let linked = built.join(TARGET).join("release").join(binary);
    let object = strip(&fs::read(&linked).map_err(at(&linked))?)?;
    fs::create_dir_all(folder).map_err(at(folder))?;
    let path = folder.join(name);
    fs::write(&path, object).map_err(at(&path))?;
    path.canonicalize().map_err(at(&path))
}

/// Builds all that the loader embeds into `folder`, and says where it is.
pub(crate) fn build_kept(root: &Path, folder: &Path) -> Result<(), Error> {
    for object in KEPT {
        println!("{}", build(root, object, folder)?.display());
    }
    Ok(())
}

/// Builds it into the folder that it is embedded from, and records what it was built of.
pub(crate) fn keep(root: &Path) -> Result<(), Error> {
    build_kept(root, &root.join(sources::FOLDER))?;
    let record = root.join(sources::RECORD);
    let digests = sources::digests(root).map_err(at(root))?;
    fs::write(&record, digests.to_string()).map_err(at(&record))
}
