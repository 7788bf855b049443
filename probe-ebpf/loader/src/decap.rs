//! The backend's end of `ipip`: taking the outer header off, where the kernel has no tunnel device.

use std::{os::fd::AsFd as _, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::Map,
    programs::{Xdp, links::FdLink},
};
use maglev_core::config::AttachMode;
use maglev_probe_abi::{DecapSettings, map, program};

use crate::{
    attach::{aya_error, link, require_free},
    error::DatapathError,
    kernel::{KernelMap, MapKind},
    object,
    up::MAPS_OF_ROWS,
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
        for map in MAPS_OF_ROWS.into_iter().chain([
            map::SETTLING_FLOWS,
            map::TRACKED_FLOWS,
            map::FRAGMENTS,
            map::BACKEND_IDENTITIES,
        ]) {
            loader.map_max_entries(map, 1);
        }
        let mut ebpf = loader.load(&object).map_err(|error| aya_error("load the maps".to_owned(), error))?;
        // Tunnels that are another host's, on a link that carries theirs too, pass as they are.
        let settings = DecapSettings { hardware_address: interface.hardware_address, padding: 0 };
        decap_settings(&ebpf)?.set(&0, &settings)?;
        let failed = || format!("use the program `{}`", program::DECAP);
        let program: &mut Xdp = ebpf
            .program_mut(program::DECAP)
            .ok_or_else(|| DatapathError::of_io(&failed(), std::io::ErrorKind::NotFound.into()))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| aya_error(failed(), error))?;
        program.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
        Ok(Self { _link: link(program, &interface, mode)? })
    }
}

/// The map of what is taken off.
fn decap_settings(ebpf: &Ebpf) -> Result<KernelMap<u32, DecapSettings>, DatapathError> {
    let failed = |error| DatapathError::of_io("use the map `decap_settings`", error);
    let Some(Map::Array(map)) = ebpf.map(map::DECAP_SETTINGS) else {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    };
    let descriptor = map.fd().as_fd().try_clone_to_owned().map_err(failed)?;
    Ok(KernelMap::of_descriptor(descriptor, Path::new(map::DECAP_SETTINGS), MapKind::Array)?)
}
