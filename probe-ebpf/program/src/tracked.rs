//! Where a packet goes whose service tracks every flow.

use maglev_core::slot::Segment;
use maglev_probe_abi::{BACKEND_ACTIVE, TrackedFlow, Verdict};

use crate::{
    balance::{Backend, Choice, Flow},
    maps::TRACKED,
    packet::protocol,
    parse::Kind,
    trace,
};

/// An entry is refreshed only where that gains at least so many milliseconds, or the sixteenth part of the settle
/// time if that is less: it spares most packets a store into memory that other processors read.
const REFRESH_STEP_MILLISECONDS: u64 = 250;

/// The backend for a packet of a service that tracks every flow.
#[inline(always)]
pub(crate) fn choose(flow: &Flow) -> Result<Choice, Verdict> {
    if let Some(backend) = recall(flow) {
        return Ok(Choice::of(backend));
    }
    let backend = Backend::or_owner(flow.word, flow.word.owner())?;
    // A connection that ends needs no memory.
    Ok(Choice { track: flow.packet.segment != Segment::Reset, ..Choice::of(backend) })
}

/// Where the flow's packets went, if that still holds.
#[inline(always)]
fn recall(flow: &Flow) -> Option<Backend> {
    let entry = TRACKED.get_ptr_mut(flow.key())?;
    // SAFETY: it points into a map's element, which lives as long as the program runs. Should the element be given to
    // another flow meanwhile, then to one of which nothing wrong is said below but that it had a packet just now.
    let TrackedFlow { backend, generation, last_packet } = unsafe { *entry };
    let settle = flow.service.settle_milliseconds;
    let silence = flow.now.saturating_sub(last_packet);
    let backend = Backend::present(backend)?;
    let holds = backend.record.generation == generation
        && silence < settle
        // A connection that is opened anew is a new one, and a backend that drains gets none.
        && (!flow.opens() || backend.record.state == BACKEND_ACTIVE);
    if !holds {
        return None;
    }
    trace::remembered(backend.number);
    // What routers say of a flow is no sign that it goes on.
    let is_of_flow = flow.packet.kind != Kind::Quote;
    if is_of_flow && (silence >= REFRESH_STEP_MILLISECONDS || silence >= settle / 16) {
        // SAFETY: as above; one aligned store.
        unsafe { (&raw mut (*entry).last_packet).write_volatile(flow.now) };
    }
    Some(backend)
}

/// Stores where the flow's packets go.
#[inline(always)]
pub(crate) fn remember(flow: &Flow, backend: Backend) -> bool {
    let entry =
        TrackedFlow { backend: backend.number, generation: backend.record.generation, last_packet: flow.now };
    TRACKED.insert(flow.key(), entry, 0).is_ok()
}

/// Whether an entry made for the packet's flow is a new connection. TCP says by itself when it opens one.
#[inline(always)]
pub(crate) fn entry_begins(flow: &Flow) -> bool {
    flow.packet.protocol == protocol::UDP
}
