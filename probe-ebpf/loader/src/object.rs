//! The programs, built from `probe-ebpf/program` by `cargo xtask build-ebpf` and embedded.

use std::{borrow::Cow, env, fs, path::PathBuf};

use aya::{Ebpf, EbpfLoader};
use maglev_probe_abi::map;

use crate::{attach::aya_error, error::DatapathError, load::MAPS_OF_ROWS};

/// An object that `cargo xtask build-ebpf` made of the sources.
pub(crate) struct Object {
    /// The file that it is in.
    file: &'static str,
    embedded: &'static [u8],
}

/// The balancer, and what takes its outer header off.
pub(crate) static BALANCER: Object =
    Object { file: "maglev.bpf.o", embedded: aya::include_bytes_aligned!("../object/maglev.bpf.o") };

/// The balancer that traces.
pub(crate) static TRACER: Object =
    Object { file: "trace.bpf.o", embedded: aya::include_bytes_aligned!("../object/trace.bpf.o") };

/// What observes a Cilium node.
pub(crate) static OBSERVER: Object =
    Object { file: "observer.bpf.o", embedded: aya::include_bytes_aligned!("../object/observer.bpf.o") };

/// What leads health checks the way of clients' packets.
pub(crate) static HEALTH: Object =
    Object { file: "health.bpf.o", embedded: aya::include_bytes_aligned!("../object/health.bpf.o") };

/// Names a file to load instead of the embedded balancer, for tests of one that was just built: the others are taken
/// from beside it.
const OVERRIDE: &str = "MAGLEV_EBPF_OBJECT";

impl Object {
    /// What there is to load.
    pub(crate) fn bytes(&self) -> Result<Cow<'static, [u8]>, DatapathError> {
        let Some(balancer) = env::var_os(OVERRIDE).map(PathBuf::from) else {
            return Ok(Cow::Borrowed(self.embedded));
        };
        let path = if self.file == BALANCER.file { balancer } else { balancer.with_file_name(self.file) };
        fs::read(&path).map(Cow::Owned).map_err(|error| {
            DatapathError::of_io(&format!("read the object {} ({OVERRIDE})", path.display()), error)
        })
    }
}

/// The object with maps as small as they can be made: for its programs that need none of the balancer's, and to see
/// whether the kernel takes it.
pub(crate) fn smallest() -> Result<Ebpf, DatapathError> {
    let object = BALANCER.bytes()?;
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
