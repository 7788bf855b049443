//! The programs, built from `probe-ebpf/program` by `cargo xtask build-ebpf` and embedded.

use std::{borrow::Cow, env, fs, path::Path};

use aya::{Ebpf, EbpfLoader};
use maglev_probe_abi::map;

use crate::{attach::aya_error, error::DatapathError, load::MAPS_OF_ROWS};

/// The object that `cargo xtask build-ebpf` made of the sources.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!("../object/maglev.bpf.o");

/// The balancer that traces, of the same sources.
static EMBEDDED_TRACE: &[u8] = aya::include_bytes_aligned!("../object/trace.bpf.o");

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

/// The object to trace with: the embedded one, or what was built with the one that is named.
pub(crate) fn trace_bytes() -> Result<Cow<'static, [u8]>, DatapathError> {
    let Some(path) = env::var_os(OVERRIDE) else { return Ok(Cow::Borrowed(EMBEDDED_TRACE)) };
    let path = Path::new(&path).with_file_name("trace.bpf.o");
    fs::read(&path)
        .map(Cow::Owned)
        .map_err(|error| DatapathError::of_io(&format!("read the object {}", path.display()), error))
}

/// The object with maps as small as they can be made: for its programs that need none of the balancer's, and to see
/// whether the kernel takes it.
pub(crate) fn smallest() -> Result<Ebpf, DatapathError> {
    let object = bytes()?;
    let mut loader = EbpfLoader::new();
    for map in MAPS_OF_ROWS.into_iter().chain([
        map::SETTLING_FLOWS,
        map::TRACKED_FLOWS,
        map::FRAGMENTS,
        map::BACKEND_IDENTITIES,
    ]) {
        loader.map_max_entries(map, 1);
    }
    loader.load(&object).map_err(|error| aya_error("load the maps".to_owned(), error))
}
