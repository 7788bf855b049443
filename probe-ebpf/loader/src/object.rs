//! The programs, built from `probe-ebpf/program` by `cargo xtask build-ebpf` and embedded.

use std::{borrow::Cow, env, fs, path::Path};

use crate::error::DatapathError;

/// The object that `cargo xtask build-ebpf` made of the sources.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!("../object/maglev.bpf.o");

/// Names a file to load instead of the embedded object: for tests of one that was just built.
const OVERRIDE: &str = "MAGLEV_EBPF_OBJECT";

/// The object to load.
pub(crate) fn bytes() -> Result<Cow<'static, [u8]>, DatapathError> {
    match env::var_os(OVERRIDE) {
        None => Ok(Cow::Borrowed(EMBEDDED)),
        Some(path) => fs::read(&path).map(Cow::Owned).map_err(|error| {
            DatapathError::of_io(
                &format!("read the object {} ({OVERRIDE})", Path::new(&path).display()),
                error,
            )
        }),
    }
}
