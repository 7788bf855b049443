//! The slot by which the running program hands packets over.

use std::{io, os::fd::AsRawFd as _, path::Path};

use aya::programs::{ProgramFd, ProgramInfo};
use maglev_probe_abi::{TraceFilter, map};

use crate::{
    attach::aya_error,
    error::DatapathError,
    instance::Instance,
    kernel::{KernelMap, MapKind, map_among},
};

/// The slot of a running program, for as long as somebody traces. The kernel empties it when this is dropped, or its
/// process dies.
#[derive(Debug)]
pub(super) struct HandOver {
    slot: KernelMap<u32, u32>,
    /// The id of the program that hands over.
    from: u32,
    /// The id of the one that it hands over to.
    to: u32,
}

impl HandOver {
    /// Has the program of `instance` hand packets over to `program`, unless it does so to another one.
    pub(super) fn begin(
        instance: &Instance,
        program: &ProgramFd,
        info: &ProgramInfo,
    ) -> Result<Self, DatapathError> {
        // Who else begins waits, and so does who replaces the program.
        let _lock = instance.lock()?;
        let running = running(instance)?;
        let slot = slot_of(instance, &running)?;
        if let Some(other) = holder(&slot)? {
            return Err(DatapathError::TracedAlready(other.process));
        }
        slot.set(&0, &raw(program))?;
        Ok(Self { slot, from: running.id(), to: info.id() })
    }

    /// Whether packets are still handed over: the instance is up, and its program is the same.
    pub(super) fn holds(&self, instance: &Instance) -> bool {
        running(instance).is_ok_and(|running| running.id() == self.from)
            && self.slot.get(&0).is_ok_and(|program| program == Some(self.to))
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        // At once; the kernel would do it a moment later.
        let _ = self.slot.remove(&0);
    }
}

/// Who traces an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHolder {
    /// The id of the program that packets are handed over to.
    pub program: u32,
    /// The process that it belongs to, as far as it can be told.
    pub process: Option<u32>,
}

/// Who traces `instance`, whose program is `running`. Takes the privilege to find maps by their ids.
pub(crate) fn traced_by(
    instance: &Instance,
    running: &ProgramInfo,
) -> Result<Option<TraceHolder>, DatapathError> {
    holder(&slot_of(instance, running)?)
}

fn holder(slot: &KernelMap<u32, u32>) -> Result<Option<TraceHolder>, DatapathError> {
    let program = slot.get(&0)?;
    Ok(program.map(|program| TraceHolder { program, process: process_of(program) }))
}

fn running(instance: &Instance) -> Result<ProgramInfo, DatapathError> {
    ProgramInfo::from_pin(instance.program())
        .map_err(|error| aya_error("look at the running program".to_owned(), error))
}

fn slot_of(instance: &Instance, running: &ProgramInfo) -> Result<KernelMap<u32, u32>, DatapathError> {
    let failed = |error: io::Error| DatapathError::of_io("find what packets are handed over by", error);
    let ids = map_ids(running).map_err(|error| aya_error("look at the running program".to_owned(), error))?;
    let found = map_among(&ids, map::TRACERS).map_err(failed)?;
    let descriptor = found.ok_or_else(|| DatapathError::NotTraceable(instance.name().to_owned()))?;
    Ok(KernelMap::of_descriptor(descriptor, Path::new(map::TRACERS), MapKind::Programs)?)
}

/// The process that traces with that program, as far as it can be told.
fn process_of(program: u32) -> Option<u32> {
    let info = aya::programs::loaded_programs().flatten().find(|info| info.id() == program)?;
    let filter = map_among(&map_ids(&info).ok()?, map::TRACE_FILTER).ok()??;
    let filter: KernelMap<u32, TraceFilter> =
        KernelMap::of_descriptor(filter, Path::new(map::TRACE_FILTER), MapKind::Array).ok()?;
    filter.get(&0).ok()?.map(|filter| filter.process)
}

fn map_ids(info: &ProgramInfo) -> Result<Vec<u32>, aya::programs::ProgramError> {
    info.map_ids().map(Option::unwrap_or_default)
}

fn raw(program: &ProgramFd) -> u32 {
    use std::os::fd::AsFd as _;
    program.as_fd().as_raw_fd().cast_unsigned()
}
