//! The observer's programs and maps in the kernel: one generation of them, of a size that stays.

use std::{io, os::fd::AsFd as _, path::Path, sync::atomic::Ordering};

use aya::{
    Ebpf, EbpfLoader,
    maps::Map,
    programs::{SchedClassifier, Xdp},
};
use maglev_probe_abi::{
    FrontendRecord, ObserverSettings, ObserverVerdict, ROW_WORDS, Row, ServiceKey, observer_map as map,
    program,
};

use super::{
    place::Programs,
    room::{Room, rows_of},
};
use crate::{
    attach::aya_error,
    error::DatapathError,
    kernel::{KernelMap, MapKind, MappedRows, possible_processors},
    object,
};

/// The most memory that counters take, in bytes. Where there is too little of it for each processor to have its own,
/// some share theirs; where that does not do either, some frontends are not counted by slot.
const MOST_BYTES: u32 = 256 << 20;

/// The most rows that a stripe can have: each is one of packets, and one of connections.
pub(super) const MOST_ROWS: u32 = MOST_BYTES / (2 * 4096);

const _: () = assert!(size_of::<Row>() == 4096);

/// Programs and maps.
pub(super) struct Counters {
    frontends: KernelMap<ServiceKey, FrontendRecord>,
    settings: KernelMap<u32, ObserverSettings>,
    verdicts: KernelMap<u32, u64>,
    hits: MappedRows,
    connections: MappedRows,
    shape: ObserverSettings,
    room: Room,
    ebpf: Ebpf,
}

/// The counts of a frontend's slots.
pub(super) struct Counts {
    pub(super) hits: Vec<u64>,
    pub(super) connections: Vec<u64>,
}

impl Counts {
    /// Of so many slots.
    pub(super) fn nothing(slots: usize) -> Self {
        Self { hits: vec![0; slots], connections: vec![0; slots] }
    }
}

impl Counters {
    /// Loads programs on maps that have room for so many rows a stripe.
    pub(super) fn load(rows: u32, settings: ObserverSettings) -> Result<Self, DatapathError> {
        let rows = rows.clamp(1, MOST_ROWS);
        let processors = u32::try_from(possible_processors()?).unwrap_or(u32::MAX);
        let stripes = (MOST_ROWS / rows).clamp(1, processors);
        let bytes = object::OBSERVER.bytes()?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(map::HITS, rows * stripes)
            .map_max_entries(map::CONNECTIONS, rows * stripes)
            .load(&bytes)
            .map_err(|error| aya_error("load the observer's maps".to_owned(), error))?;
        let refused = |error| aya_error("load the observer".to_owned(), error);
        xdp(&mut ebpf)?.load().map_err(refused)?;
        tcx(&mut ebpf)?.load().map_err(refused)?;
        let shape = ObserverSettings { rows, stripes, ..settings };
        let counters = Self {
            frontends: own(&ebpf, map::FRONTENDS, MapKind::Hash)?,
            settings: own(&ebpf, map::SETTINGS, MapKind::Array)?,
            verdicts: own(&ebpf, map::VERDICTS, MapKind::PerProcessorArray)?,
            hits: MappedRows::of(&own(&ebpf, map::HITS, MapKind::Array)?)?,
            connections: MappedRows::of(&own(&ebpf, map::CONNECTIONS, MapKind::Array)?)?,
            shape,
            room: Room::new(rows),
            ebpf,
        };
        counters.settings.set(&0, &shape)?;
        Ok(counters)
    }

    /// How many rows a stripe has.
    pub(super) const fn rows(&self) -> u32 {
        self.shape.rows
    }

    /// Both programs.
    pub(super) fn programs(&self) -> Result<Programs<'_>, DatapathError> {
        let missing = || DatapathError::of_io("use the observer", io::ErrorKind::NotFound.into());
        let failed = |error| aya_error("use the observer".to_owned(), error);
        let found = |name| self.ebpf.program(name).ok_or_else(missing);
        let xdp: &Xdp = found(program::OBSERVE_XDP)?.try_into().map_err(failed)?;
        let tcx: &SchedClassifier = found(program::OBSERVE_TCX)?.try_into().map_err(failed)?;
        Ok(Programs { xdp: xdp.fd().map_err(failed)?.as_fd(), tcx: tcx.fd().map_err(failed)?.as_fd() })
    }

    /// Says whether there are frontends of any protocol.
    pub(super) fn heed_any_protocol(&mut self, is_there: bool) -> Result<(), DatapathError> {
        let shape = ObserverSettings { any_protocol: is_there.into(), ..self.shape };
        if shape != self.shape {
            self.settings.set(&0, &shape)?;
            self.shape = shape;
        }
        Ok(())
    }

    /// Room for the counts of so many slots, all zero: its first row.
    pub(super) fn take(&mut self, slots: usize) -> Option<u32> {
        self.room.take(rows_of(slots))
    }

    /// Gives it back, once no packet is counted there any more.
    pub(super) fn give_back(&mut self, first_row: u32, slots: usize) {
        for rows in [&self.hits, &self.connections] {
            for stripe in 0..self.shape.stripes {
                let first = self.word(stripe, first_row);
                for word in &rows.words()[first..first + slots] {
                    word.store(0, Ordering::Relaxed);
                }
            }
        }
        self.room.give_back(first_row);
    }

    /// The counts of all stripes together.
    pub(super) fn counts(&self, first_row: u32, slots: usize) -> Counts {
        let sum = |rows: &MappedRows| {
            let mut sums = vec![0_u64; slots];
            for stripe in 0..self.shape.stripes {
                let first = self.word(stripe, first_row);
                for (sum, word) in sums.iter_mut().zip(&rows.words()[first..]) {
                    *sum += word.load(Ordering::Relaxed);
                }
            }
            sums
        };
        Counts { hits: sum(&self.hits), connections: sum(&self.connections) }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn carry(&self, first_row: u32, counts: &Counts) {
        let first = self.word(0, first_row);
        for (rows, counts) in [(&self.hits, &counts.hits), (&self.connections, &counts.connections)] {
            for (word, count) in rows.words()[first..].iter().zip(counts) {
                word.fetch_add(*count, Ordering::Relaxed);
            }
        }
    }

    /// Makes a frontend known, or known otherwise: each packet meets the one record or the other.
    pub(super) fn set(&self, key: &ServiceKey, record: &FrontendRecord) -> Result<(), DatapathError> {
        Ok(self.frontends.set(key, record)?)
    }

    /// Forgets a frontend.
    pub(super) fn remove(&self, key: &ServiceKey) -> Result<(), DatapathError> {
        Ok(self.frontends.remove(key)?)
    }

    /// How many packets there were of each verdict.
    pub(super) fn verdicts(&self) -> Result<Vec<u64>, DatapathError> {
        let counts = self.verdicts.first_per_processor(ObserverVerdict::COUNT)?;
        Ok(counts.into_iter().map(|(_, counts)| counts.into_iter().sum()).collect())
    }

    const fn word(&self, stripe: u32, row: u32) -> usize {
        (stripe * self.shape.rows + row) as usize * ROW_WORDS
    }
}

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    crate::load::xdp(ebpf, program::OBSERVE_XDP)
}

fn tcx(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, DatapathError> {
    let attempted = || format!("use the program `{}`", program::OBSERVE_TCX);
    ebpf.program_mut(program::OBSERVE_TCX)
        .ok_or_else(|| DatapathError::of_io(&attempted(), io::ErrorKind::NotFound.into()))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| aya_error(attempted(), error))
}

/// One of the maps, typed.
fn own<K: bytemuck::Pod + Eq, V: bytemuck::Pod>(
    ebpf: &Ebpf,
    name: &str,
    kind: MapKind,
) -> Result<KernelMap<K, V>, DatapathError> {
    let attempted = format!("use the map `{name}`");
    let Some(Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data)) = ebpf.map(name) else {
        return Err(DatapathError::of_io(&attempted, io::ErrorKind::NotFound.into()));
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned();
    let descriptor = descriptor.map_err(|error| DatapathError::of_io(&attempted, error))?;
    Ok(KernelMap::of_descriptor(descriptor, Path::new(name), kind)?)
}
