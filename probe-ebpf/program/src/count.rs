//! Counting: on each processor for itself, with plain increments. The program runs with soft interrupts off, so that
//! no other run of it comes between a load and its store.

use aya_ebpf::{btf_maps::PerCpuArray, helpers::generated::bpf_get_smp_processor_id};
use maglev_probe_abi::{DecapVerdict, ROW_WORDS, ServiceRecord, Verdict};

use crate::{
    balance::{Choice, Flow},
    maps::{BACKEND_COUNTERS, DECAP_VERDICTS, SERVICE_COUNTERS, SLOT_HITS, VERDICTS},
    rows::Cell,
    tracked,
};

/// Counts a packet of a slot.
#[inline(always)]
pub(crate) fn slot(service: &ServiceRecord, slot: u32) {
    // SAFETY: the helper has no arguments, and XDP programs may call it.
    let processor = unsafe { bpf_get_smp_processor_id() };
    let row = processor * service.rows + slot / ROW_WORDS as u32;
    if let Some(cell) = Cell::in_row(&SLOT_HITS, row, slot) {
        cell.store(cell.load() + 1);
    }
}

/// Counts a packet that was sent on, for its backend and for its service; stores the flow if it is to be tracked.
#[inline(always)]
pub(crate) fn sent(flow: &Flow, choice: &Choice) {
    let bytes = flow.packet.bytes();
    let entered = choice.track && tracked::remember(flow, choice.backend);
    let begun = u64::from(flow.opens() || entered && tracked::entry_begins(flow));
    let held = u64::from(choice.backend.number != flow.word.owner());
    if let Some(counters) = BACKEND_COUNTERS.get_ptr_mut(choice.backend.number) {
        // SAFETY: this processor's own element of the map, which nobody else writes.
        let counters = unsafe { &mut *counters };
        counters.packets += 1;
        counters.bytes += bytes;
        counters.new_connections += begun;
        counters.held_packets += held;
        counters.last_packet = flow.now;
    }
    if let Some(counters) = SERVICE_COUNTERS.get_ptr_mut(flow.service.number) {
        // SAFETY: as above.
        let counters = unsafe { &mut *counters };
        counters.packets += 1;
        counters.bytes += bytes;
        counters.new_connections += begun;
        counters.held_packets += held;
        counters.unremembered += u64::from(choice.unremembered);
    }
}

/// Counts what became of a packet.
#[inline(always)]
pub(crate) fn verdict(verdict: Verdict) {
    one_more(&VERDICTS, verdict as u32);
}

/// Counts what the decapsulating program did with a packet.
#[inline(always)]
pub(crate) fn decap_verdict(verdict: DecapVerdict) {
    one_more(&DECAP_VERDICTS, verdict as u32);
}

#[inline(always)]
fn one_more<const LENGTH: usize>(counters: &PerCpuArray<u64, LENGTH>, place: u32) {
    if let Some(counter) = counters.get_ptr_mut(place) {
        // SAFETY: this processor's own element of the map, which nobody else writes.
        unsafe { *counter += 1 };
    }
}
