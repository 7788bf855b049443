//! What the objects that are kept were built of. The loader's test of it has this very file in it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    fs, io,
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// The folder of the kept objects.
pub(crate) const FOLDER: &str = "probe-ebpf/loader/object";

/// The record of what they were built of: what `sha256sum` prints, and `sha256sum --check` reads, at the repository's
/// root.
pub(crate) const RECORD: &str = "probe-ebpf/loader/object/sources.sha256";

/// The folder of the objects, their sources, and folders of sources. A crate's `lib.rs` counts where it holds more than
/// the names of its modules.
const COUNTED: [&str; 8] = [
    "core/src/flow.rs",
    "core/src/slot.rs",
    "probe-ebpf/abi/Cargo.toml",
    "probe-ebpf/abi/src",
    FOLDER,
    "probe-ebpf/program/Cargo.lock",
    "probe-ebpf/program/Cargo.toml",
    "probe-ebpf/program/src",
];

/// Digests by path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digests(pub(crate) BTreeMap<String, String>);

impl Display for Digests {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, digest)| writeln!(formatter, "{digest}  {path}"))
    }
}

/// The digests of the files as they are.
pub(crate) fn digests(root: &Path) -> io::Result<Digests> {
    let mut digests = BTreeMap::new();
    for counted in COUNTED {
        add(root, counted, &mut digests)?;
    }
    Ok(Digests(digests))
}

fn add(root: &Path, path: &str, digests: &mut BTreeMap<String, String>) -> io::Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        for entry in fs::read_dir(full)? {
            add(root, &format!("{path}/{}", entry?.file_name().to_string_lossy()), digests)?;
        }
    } else if path != RECORD {
        let digest = Sha256::digest(fs::read(full)?);
        digests.insert(path.to_owned(), format!("{digest:x}"));
    }
    Ok(())
}
