//! Whoever traces.

use std::{
    borrow::Borrow,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    path::Path,
    process,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
};
use maglev_probe_abi::{TraceFilter, TraceRecord, TraceState, map, program};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};

use super::{
    hand_over::HandOver,
    names::{Names, TracedPacket},
};
use crate::{
    attach::aya_error,
    datapath::Datapath,
    error::DatapathError,
    kernel::{Access, KernelMap, MapKind},
    load::{Sizes, load_maps, shapes, xdp},
    object, record,
    replace::{Lacks, missing},
    state::meta_of,
};

/// How long the program goes on telling a tracer that does not come back for more.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a tracer comes back at least.
const RENEWAL: Duration = Duration::from_millis(500);

/// What is traced, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceTerms {
    /// The client; port 0 stands for any.
    pub client: SocketAddr,
    /// How many packets a second are told at most, by each processor.
    pub rate: u32,
}

/// Traces the packets of a client through an instance, for as long as it lives. `D` is a datapath, or a reference to one.
pub struct Tracer<D> {
    datapath: D,
    hand_over: HandOver,
    records: RingBuf<MapData>,
    filter: KernelMap<u32, TraceFilter>,
    state: KernelMap<u32, TraceState>,
    terms: TraceTerms,
    names: Names,
    renewed: Instant,
    /// What is traced with; the program, and maps of its own.
    _ebpf: Ebpf,
}

impl<D: Borrow<Datapath>> Tracer<D> {
    /// Begins to trace. Takes the privileges to change the instance.
    ///
    /// # Errors
    ///
    /// When the privileges are missing, somebody else traces the instance, or its program is of a version that cannot be
    /// traced.
    pub fn begin(datapath: D, terms: TraceTerms) -> Result<Self, DatapathError> {
        let opened: &Datapath = datapath.borrow();
        let instance = opened.instance();
        if !opened.is_writable() {
            return Err(DatapathError::of_io("trace packets", io::ErrorKind::PermissionDenied.into()));
        }
        let object = object::TRACER.bytes()?;
        let meta = meta_of(&instance.maps(), Access::Read)
            .map_err(|error| missing(error, instance.folder(), instance.name()))?;
        let sizes = Sizes { rows: meta.rows, processors: meta.processors };
        // Tracing makes nothing that stays.
        if !Lacks::of(instance, &shapes(&object, sizes)?)?.is_nothing() {
            return Err(DatapathError::NotTraceable(instance.name().to_owned()));
        }
        let mut ebpf = load_maps(instance, &object, sizes, &[])?;
        let failed = |error| aya_error("load the program that traces".to_owned(), error);
        let traces = xdp(&mut ebpf, program::TRACE)?;
        traces.load().map_err(failed)?;
        let (descriptor, info) =
            (traces.fd().map_err(failed)?.try_clone().map_err(not_shared)?, traces.info().map_err(failed)?);

        let filter = own(&ebpf, map::TRACE_FILTER, MapKind::Array)?;
        let state = own(&ebpf, map::TRACE_STATE, MapKind::PerProcessorArray)?;
        let records =
            ebpf.take_map(map::TRACE_RECORDS).ok_or_else(|| no_such_map(map::TRACE_RECORDS)).and_then(
                |map| RingBuf::try_from(map).map_err(|error| aya_error(no_use(map::TRACE_RECORDS), error)),
            )?;
        let names = Names::read(opened)?;
        // The filter stands before the first packet meets it.
        filter.set(&0, &filter_of(terms))?;
        let hand_over = HandOver::begin(instance, &descriptor, &info)?;
        Ok(Self {
            datapath,
            hand_over,
            records,
            filter,
            state,
            terms,
            names,
            renewed: Instant::now(),
            _ebpf: ebpf,
        })
    }

    /// The next packet; `None` where none comes in that time.
    ///
    /// # Errors
    ///
    /// When the instance is taken down or gets another program, or a map cannot be read.
    pub fn next(&mut self, patience: Duration) -> Result<Option<TracedPacket>, DatapathError> {
        let begun = Instant::now();
        loop {
            if self.renewed.elapsed() >= RENEWAL {
                self.renew()?;
            }
            let found = self
                .records
                .next()
                .and_then(|bytes| bytemuck::try_pod_read_unaligned::<TraceRecord>(&bytes).ok());
            if let Some(found) = found {
                return self.names.resolve(self.datapath.borrow(), &found).map(Some);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = PollTimeout::try_from(left.min(RENEWAL)).unwrap_or(PollTimeout::ZERO);
            // A signal ends the waiting: whoever called knows what it means.
            match poll(&mut [PollFd::new(self.records.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => return Ok(None),
                Err(error) => return Err(DatapathError::of_io("wait for packets", error.into())),
            }
        }
    }

    /// How many packets there were that were not told, for their number or because they were not fetched in time.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn lost(&self) -> Result<u64, DatapathError> {
        let states = self.state.first_per_processor(1)?;
        Ok(states.iter().flat_map(|(_, states)| states).map(|state| state.lost).sum())
    }

    /// Says that somebody is still there, and makes sure that packets are still handed over.
    fn renew(&mut self) -> Result<(), DatapathError> {
        let instance = self.datapath.borrow().instance();
        if !self.hand_over.holds(instance) {
            return Err(DatapathError::TraceEnded(instance.name().to_owned()));
        }
        self.filter.set(&0, &filter_of(self.terms))?;
        self.renewed = Instant::now();
        Ok(())
    }
}

fn filter_of(terms: TraceTerms) -> TraceFilter {
    let client: IpAddr = terms.client.ip();
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    TraceFilter {
        client: record::octets(client),
        deadline: u64::try_from((now + PATIENCE).as_nanos()).unwrap_or(u64::MAX),
        rate: terms.rate,
        process: process::id(),
        client_port: terms.client.port(),
        family: record::family(client),
        padding: [0; 5],
    }
}

/// One of the tracer's own maps.
fn own<V: bytemuck::Pod>(ebpf: &Ebpf, name: &str, kind: MapKind) -> Result<KernelMap<u32, V>, DatapathError> {
    let Some(Map::Array(data) | Map::PerCpuArray(data)) = ebpf.map(name) else {
        return Err(no_such_map(name));
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned();
    let descriptor = descriptor.map_err(|error| DatapathError::of_io(&no_use(name), error))?;
    Ok(KernelMap::of_descriptor(descriptor, Path::new(name), kind)?)
}

fn no_such_map(name: &str) -> DatapathError {
    DatapathError::of_io(&no_use(name), io::ErrorKind::NotFound.into())
}

fn no_use(name: &str) -> String {
    format!("use the map `{name}`")
}

fn not_shared(error: io::Error) -> DatapathError {
    DatapathError::of_io("share the program that traces", error)
}
