//! What is pinned of an instance, whole or not.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use aya::programs::ProgramInfo;
use maglev_probe_abi::{Meta, PHASE_ENDING, PHASE_RUNNING, PHASE_STARTING, map};

use crate::{
    bpffs::MOUNT_POINT,
    error::DatapathError,
    instance::Instance,
    kernel::{Access, KernelMap, MapKind, link_info, pinned_program},
    load::{Sizes, shapes},
    network::current_namespace,
    object,
    trace::{TraceHolder, traced_by},
};

/// What is pinned of an instance.
#[derive(Clone, Debug)]
pub struct Pins {
    /// The instance.
    pub instance: Instance,
    /// The pins that this version would have made and that are not there, by name.
    pub missing: Vec<String>,
    /// The schema of its maps, if they say any.
    pub schema: Option<u32>,
    /// The schema that this version knows.
    pub known_schema: u32,
    /// What is being done to it as a whole.
    pub phase: Phase,
    /// Its state version: odd while a change is under way, or where one was cut short.
    pub state_version: u64,
    /// Whether somebody has its lock, and so is changing it.
    pub is_being_changed: bool,
    /// The kernel's digest of its program's instructions, if the pin could be opened.
    pub tag: Option<u64>,
    /// The id of its program, if the pin could be opened.
    pub program: Option<u32>,
    /// Who traces it.
    pub traced: Traced,
    /// Its links.
    pub links: Vec<PinnedLink>,
    /// Whether it is attached in the calling thread's network namespace.
    pub is_at_home: bool,
}

/// What is being done to an instance as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is up.
    Running,
    /// It is being brought up, or was cut short in that.
    Starting,
    /// It is being taken down, or was cut short in that.
    Ending,
}

/// Who traces an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// It cannot be told: the privileges are missing, or its program is of a version that cannot be traced.
    Unknown,
    /// Nobody does.
    ByNobody,
    /// Somebody does.
    By(TraceHolder),
}

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedLink {
    /// Its pin.
    pub path: PathBuf,
    /// The index of its interface; 0 once that is gone.
    pub interface: u32,
    /// The id of the program that it holds there.
    pub program: u32,
}

impl Pins {
    /// Looks at what is pinned of `instance`.
    ///
    /// # Errors
    ///
    /// When it may not be looked at.
    pub fn look(instance: &Instance) -> Result<Self, DatapathError> {
        let folder = instance.folder();
        let missing = expected()?
            .into_iter()
            .map(|name| Path::new("maps").join(name))
            .chain([PathBuf::from("program")])
            .filter(|name| !folder.join(name).exists())
            .map(|name| name.display().to_string())
            .collect();
        let meta = meta(instance)?;
        let here = current_namespace()
            .map_err(|error| DatapathError::of_io("look at the network namespace", error))?;
        let program = ProgramInfo::from_pin(instance.program()).ok();
        let links = instance.links()?.into_iter().filter_map(|path| {
            let info = link_info(&path).ok()?;
            Some(PinnedLink { path, interface: info.interface, program: info.program })
        });
        Ok(Self {
            instance: instance.clone(),
            missing,
            schema: meta.map(|meta| meta.schema),
            known_schema: maglev_probe_abi::SCHEMA,
            phase: match meta.map_or(PHASE_STARTING, |meta| meta.phase) {
                PHASE_RUNNING => Phase::Running,
                PHASE_ENDING => Phase::Ending,
                _ => Phase::Starting,
            },
            state_version: meta.map_or(0, |meta| meta.state_version),
            is_being_changed: is_locked(folder),
            tag: program.as_ref().map(ProgramInfo::tag),
            program: program.as_ref().map(ProgramInfo::id),
            traced: program.as_ref().map_or(Traced::Unknown, |running| Traced::of(instance, running)),
            links: links.collect(),
            is_at_home: meta.is_some_and(|meta| meta.network_namespace == here),
        })
    }
}

impl Traced {
    fn of(instance: &Instance, running: &ProgramInfo) -> Self {
        match traced_by(instance, running) {
            Ok(Some(holder)) => Self::By(holder),
            Ok(None) => Self::ByNobody,
            Err(_) => Self::Unknown,
        }
    }
}

/// The pin, anywhere in the host's bpffs, of a program or of a link that holds it.
#[must_use]
pub fn pin_of_program(id: u32) -> Option<PathBuf> {
    /// Enough for any host, and not more than a moment's work.
    const MOST: usize = 20_000;
    let mut folders = vec![PathBuf::from(MOUNT_POINT)];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok().into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST {
                return None;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if pinned_program(&path).is_ok_and(|found| found == Some(id)) {
                return Some(path);
            }
        }
    }
    None
}

/// The names of the maps that this version pins.
fn expected() -> Result<Vec<String>, DatapathError> {
    let sizes = Sizes { rows: 1, processors: 1 };
    Ok(shapes(&object::BALANCER.bytes()?, sizes)?.into_keys().collect())
}

fn meta(instance: &Instance) -> Result<Option<Meta>, DatapathError> {
    let pin = instance.maps().join(map::META);
    match KernelMap::<u32, Meta>::open(&pin, MapKind::Array, Access::Read).map_err(DatapathError::from) {
        Err(error) if error.absent_pin().is_some() => Ok(None),
        map => Ok(map?.get(&0)?),
    }
}

/// Whether somebody holds the lock on a folder.
fn is_locked(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|folder| matches!(folder.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
