//! The backend's end of `ipip`: taking the outer header off, where the kernel has no tunnel device.

use aya::{
    EbpfLoader,
    programs::{Xdp, links::FdLink},
};
use maglev_core::config::AttachMode;

use crate::{
    attach::{aya_error, link, require_free},
    error::DatapathError,
    object,
};

/// A decapsulating program on an interface, for as long as it lives.
#[derive(Debug)]
pub struct Decapsulation {
    _link: FdLink,
}

impl Decapsulation {
    /// Attaches to `interface` in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When it cannot be attached.
    pub fn attach(interface: &str, mode: AttachMode) -> Result<Self, DatapathError> {
        let interface = require_free(interface)?;
        let object = object::bytes()?;
        // The balancer's maps come along in the object: as small as they can be made.
        let mut loader = EbpfLoader::new();
        for map in crate::up::MAPS_OF_ROWS {
            loader.map_max_entries(map, 1);
        }
        let mut ebpf = loader.load(&object).map_err(|error| aya_error("load the maps".to_owned(), error))?;
        let failed = || "use the program `maglev_decap`".to_owned();
        let program: &mut Xdp = ebpf
            .program_mut("maglev_decap")
            .ok_or_else(|| DatapathError::of_io(&failed(), std::io::ErrorKind::NotFound.into()))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| aya_error(failed(), error))?;
        program.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
        Ok(Self { _link: link(program, &interface, mode)? })
    }
}
