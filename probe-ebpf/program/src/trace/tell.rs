//! What is decided of a packet that is asked for, noted as it is decided and told in the end.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::btf_map,
    programs::XdpContext,
};
use maglev_core::slot::{Deadline, Phase};
use maglev_probe_abi::{TRACE_ROOM, TRACKING_SETTLING, TraceFilter, TraceRecord, TraceState};

use super::match_packet;
use crate::{balance::Flow, maps::DEADLINES, outcome::Outcome, packet::Hardware, rows::Cell};

/// What is asked for.
#[btf_map(name = "trace_filter")]
static FILTER: Array<TraceFilter, 1> = Array::new();

/// The packet under way, and how many were told.
#[btf_map(name = "trace_state")]
static STATE: PerCpuArray<TraceState, 1> = PerCpuArray::new();

/// What is told.
#[btf_map(name = "trace_records")]
static RECORDS: RingBuf<TraceRecord, { TRACE_ROOM as usize }> = RingBuf::new();

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

#[inline(always)]
fn state() -> Option<&'static mut TraceState> {
    // SAFETY: this processor's own element of the map, which nobody else writes, and which is referred to from one
    // place at a time.
    STATE.get_ptr_mut(0).map(|state| unsafe { &mut *state })
}

/// Notes something of the packet under way, if it is asked for.
#[inline(always)]
fn note(what: impl FnOnce(&mut TraceRecord)) {
    if let Some(state) = state()
        && state.record.is_traced != 0
    {
        what(&mut state.record);
    }
}

/// Looks whether the packet is asked for.
#[inline(always)]
pub(crate) fn begin(context: &XdpContext) {
    look(context);
}

/// Called and not put in place: the balancer's own stack stays what it is.
#[inline(never)]
fn look(context: &XdpContext) -> u32 {
    let (Some(state), Some(filter)) = (state(), FILTER.get(0)) else { return 0 };
    let record = &mut state.record;
    // SAFETY: neither helper has arguments, and XDP programs may call both.
    let (at, processor) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    // SAFETY: a record is all numbers, of which zero is one.
    *record = unsafe { core::mem::zeroed() };
    if at < filter.deadline
        && match_packet::describe(context, record).is_some()
        && is_asked_for(filter, record)
    {
        record.at = at;
        record.processor = processor;
        record.ingress = context.ingress_ifindex() as u32;
        record.slot = u32::MAX;
        record.is_traced = 1;
    }
    0
}

#[inline(always)]
fn is_asked_for(filter: &TraceFilter, record: &TraceRecord) -> bool {
    let is_client = filter.family == record.family && filter.client == record.client;
    is_client && (filter.client_port == 0 || filter.client_port == record.client_port)
}

/// Notes the slot, and whose it is.
#[inline(always)]
pub(crate) fn slot(flow: &Flow) {
    note(|record| {
        record.service_number = flow.service.number;
        record.slot = flow.slot.wrapping_sub(flow.service.first_slot);
        record.hash = flow.hash;
        record.owner = flow.word.owner();
        if flow.service.tracking == TRACKING_SETTLING
            && flow.word.previous() != 0
            && let Some(cell) = Cell::of(&DEADLINES, flow.slot)
            && flow.word.phase(Deadline(cell.load()), flow.now) != Phase::Settled
        {
            record.previous = flow.word.previous();
        }
    });
}

/// Notes the backend that the flow was remembered to be at.
#[inline(always)]
pub(crate) fn remembered(backend: u32) {
    note(|record| record.remembered = backend);
}

/// Notes the backend that was chosen.
#[inline(always)]
pub(crate) fn chosen(backend: u32) {
    note(|record| record.backend = backend);
}

/// Notes where the packet goes next: that hardware address, by that interface or the one that it came in by.
#[inline(always)]
pub(crate) fn leaves(destination: Hardware, interface: Option<u32>) {
    note(|record| {
        // SAFETY: six bytes either way.
        record.next_hop = unsafe { core::mem::transmute::<Hardware, [u8; 6]>(destination) };
        record.egress = interface.unwrap_or(record.ingress);
    });
}

/// Tells what became of the packet, if it is asked for.
#[inline(always)]
pub(crate) fn end(outcome: &Outcome) {
    tell(outcome.verdict() as u32);
}

#[expect(clippy::needless_borrows_for_generic_args, reason = "without it there would be a copy on the stack")]
#[inline(never)]
fn tell(verdict: u32) -> u32 {
    let (Some(state), Some(filter)) = (state(), FILTER.get(0)) else { return 0 };
    if state.record.is_traced == 0 {
        return 0;
    }
    state.record.verdict = verdict;
    if state.record.at.wrapping_sub(state.second) >= SECOND {
        state.second = state.record.at;
        state.told = 0;
    }
    if state.told < u64::from(filter.rate) && RECORDS.output(&state.record, 0).is_ok() {
        state.told += 1;
    } else {
        state.lost += 1;
    }
    0
}
