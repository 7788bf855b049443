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

/// The programs.
pub(crate) const PROGRAM: &str = "maglev";

/// What restores a packet between two runs of them, to measure.
pub(crate) const RESTORER: &str = "restorer";

/// Builds one of the crate's binaries, and puts it without its debugging information into `folder`.
pub(crate) fn build(root: &Path, binary: &str, folder: &Path) -> Result<PathBuf, Error> {
    let built = root.join("target/ebpf");
    run(Toolchain::find()?.cargo(root).args(["--bin", binary]).arg("--target-dir").arg(&built))?;
    let linked = built.join(TARGET).join("release").join(binary);
    let object = strip(&fs::read(&linked).map_err(at(&linked))?)?;
    fs::create_dir_all(folder).map_err(at(folder))?;
    let path = folder.join(format!("{binary}.bpf.o"));
    fs::write(&path, object).map_err(at(&path))?;
    path.canonicalize().map_err(at(&path))
}

/// Builds the programs into the folder that the loader embeds them from, and records what they were built of.
pub(crate) fn keep(root: &Path) -> Result<(), Error> {
    let object = build(root, PROGRAM, &root.join(sources::FOLDER))?;
    let record = root.join(sources::RECORD);
    let digests = sources::digests(root).map_err(at(root))?;
    fs::write(&record, digests.to_string()).map_err(at(&record))?;
    println!("{}", object.display());
    Ok(())
}
