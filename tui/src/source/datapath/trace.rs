//! Packets of a running datapath.

use std::{io, net::SocketAddr, time::Duration};

use maglev_lab::Namespace;
use maglev_probe::{
    Datapath, DatapathError, Instance,
    trace::{TraceTerms, TracedPacket, Tracer},
};

use super::told;
use crate::source::{SourceError, Trace};

/// How many packets a second are told at most, by each processor: more than anybody reads.
const RATE: u32 = 100;

/// A trace of an instance, from within the network namespace that it is attached in.
pub(super) struct DatapathTrace {
    instance: Instance,
    namespace: Option<Namespace>,
    client: SocketAddr,
    tracer: Option<Tracer<Datapath>>,
}

impl DatapathTrace {
    pub(super) const fn new(instance: Instance, namespace: Option<Namespace>, client: SocketAddr) -> Self {
        Self { instance, namespace, client, tracer: None }
    }
}

impl Trace for DatapathTrace {
    fn begin(&mut self) -> Result<(), SourceError> {
        let terms = TraceTerms { client: self.client, rate: RATE };
        let begin = || Tracer::begin(Datapath::open(&self.instance)?, terms);
        self.tracer = Some(there(self.namespace.as_ref(), begin)?);
        Ok(())
    }

    fn next(&mut self, patience: Duration) -> Result<Option<TracedPacket>, SourceError> {
        let tracer = self.tracer.as_mut().ok_or_else(not_begun)?;
        there(self.namespace.as_ref(), || tracer.next(patience))
    }

    fn lost(&self) -> Result<u64, SourceError> {
        self.tracer.as_ref().ok_or_else(not_begun)?.lost().map_err(|error| told(&error))
    }
}

/// Runs `work` where the datapath is attached: interfaces have their names there.
fn there<T: Send>(
    namespace: Option<&Namespace>,
    work: impl FnOnce() -> Result<T, DatapathError> + Send,
) -> Result<T, SourceError> {
    let done = match namespace {
        None => work(),
        Some(namespace) => namespace.run(work).map_err(|error| told(&error))?,
    };
    done.map_err(|error| told(&error))
}

fn not_begun() -> SourceError {
    told(&io::Error::other("the trace has not begun"))
}
