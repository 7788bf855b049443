//! What is counted of a packet.

mod flow;
mod fragments;
mod maps;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_smp_processor_id, bpf_skb_pull_data},
    programs::{TcContext, XdpContext},
};
use maglev_core::flow::{hash_v4, hash_v6};
use maglev_probe_abi::{
    AFFINITY_SOURCE, FrontendRecord, ObserverSettings, ObserverVerdict, ROW_WORDS, ServiceKey,
};

use self::{
    flow::Flow,
    maps::{CONNECTIONS, FRONTENDS, HITS, Rows, SETTINGS, VERDICTS},
};
use crate::packet::Linear;

impl Linear for TcContext {
    #[inline(always)]
    fn start(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.data_end()
    }
}

/// Counts a frame as it came off the wire.
#[inline(always)]
pub(crate) fn in_frame(context: &XdpContext) {
    count(context, 1);
}

/// Counts what is in a socket buffer: one packet, or several that the kernel has put together.
#[inline(always)]
pub(crate) fn in_buffer(context: &TcContext) {
    let buffer: *mut __sk_buff = context.skb.skb;
    // SAFETY: it is the context that the program was given.
    let (length, segments, is_tagged, control) =
        unsafe { ((*buffer).len, (*buffer).gso_segs, (*buffer).vlan_present, (*buffer).vlan_tci) };
    let packets = if segments == 0 { 1 } else { u64::from(segments) };
    if is_tagged != 0 && flow::is_in_vlan(control as u16) {
        return tell(ObserverVerdict::Tagged as u32, packets);
    }
    let wanted = if length < flow::LOOKED_AT { length } else { flow::LOOKED_AT };
    if context.data() + wanted as usize > context.data_end() {
        // The headers lie in pages of their own: the kernel puts them together. Not a byte of the packet changes.
        // SAFETY: the context is the program's, and nothing points into the packet yet.
        unsafe { bpf_skb_pull_data(buffer, wanted) };
    }
    count(context, packets);
}

#[inline(always)]
fn count(frame: &impl Linear, packets: u64) {
    let verdict = match flow::read(frame) {
        Ok(flow) => of_flow(&flow, packets),
        Err(verdict) => verdict as u32,
    };
    tell(verdict, packets);
}

/// Counts the packets of a flow in its slot, if its frontend is one that is watched.
#[inline(always)]
fn of_flow(flow: &Flow, packets: u64) -> u32 {
    let Some(settings) = SETTINGS.get(0) else { return ObserverVerdict::NotWatched as u32 };
    let Some(frontend) = find(&flow.frontend, settings) else { return ObserverVerdict::NotAFrontend as u32 };
    if flow.is_first_fragment {
        fragments::remember(&flow.fragment(), flow.ports());
    }
    if frontend.table_size == 0 {
        return frontend.verdict;
    }
    let slot = hash(flow, frontend, settings) % frontend.table_size;
    // SAFETY: the helper has no arguments, and programs of both kinds may call it.
    let processor = unsafe { bpf_get_smp_processor_id() };
    let stripe = processor.checked_rem(settings.stripes).unwrap_or(0);
    let row = stripe * settings.rows + frontend.first_row + slot / ROW_WORDS as u32;
    add_in(&HITS, row, slot, packets);
    if flow.opens {
        add_in(&CONNECTIONS, row, slot, packets);
    }
    ObserverVerdict::Counted as u32
}

/// The frontend of that address, port and protocol; else that of any protocol, as Cilium does (`lb4_lookup_service`).
#[inline(always)]
fn find<'a>(key: &ServiceKey, settings: &ObserverSettings) -> Option<&'a FrontendRecord> {
    // SAFETY: user space replaces records whole, and the kernel keeps those that were until the program has ended.
    let found = unsafe { FRONTENDS.get(key) };
    if found.is_some() || settings.any_protocol == 0 {
        return found;
    }
    // SAFETY: as above.
    unsafe { FRONTENDS.get(ServiceKey { protocol: 0, ..*key }) }
}

/// Cilium's flow hash: from 1.17 on, or in the order before, which heeds no affinity.
#[inline(always)]
fn hash(flow: &Flow, frontend: &FrontendRecord, settings: &ObserverSettings) -> u32 {
    let service_port = u16::from_be(flow.frontend.port);
    let client_port = u16::from_be(flow.client_port);
    let (first, second) = if settings.older_order != 0 {
        (service_port, client_port)
    } else if frontend.affinity == AFFINITY_SOURCE {
        (0, service_port)
    } else {
        (client_port, service_port)
    };
    let protocol = flow.frontend.protocol;
    if flow.frontend.family == 4 {
        hash_v4(flow.client[0].to_ne_bytes(), first, second, protocol, settings.hash_seed_v4)
    } else {
        hash_v6(flow::bytes(flow.client), first, second, protocol, settings.hash_seed_v6)
    }
}

/// Counts what was made of packets.
#[inline(always)]
fn tell(verdict: u32, packets: u64) {
    if let Some(counter) = VERDICTS.get_ptr_mut(verdict) {
        // SAFETY: it points to an element of a map, which is aligned and lives as long as the program runs.
        unsafe { add(counter, packets) };
    }
}

/// Adds to the word of `slot` in that row.
#[inline(always)]
fn add_in(rows: &Rows, row: u32, slot: u32, packets: u64) {
    if let Some(words) = rows.get_ptr_mut(row) {
        // SAFETY: a row has `ROW_WORDS` words, a power of two, and the index is less than that; it is aligned, and lives
        // as long as the program runs.
        unsafe { add(words.cast::<u64>().add(slot as usize & (ROW_WORDS - 1)), packets) };
    }
}

/// Adds in one step: processors may share a counter, and one run may come between another's load and store.
///
/// # Safety
///
/// The counter must be an aligned word that lives as long as the program runs.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn add(counter: *mut u64, packets: u64) {
    // `core` has loads and stores alone for this target, where the kernel has had this instruction from the beginning.
    // SAFETY: the caller answers for the word; nothing else is touched.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {packets}",
            counter = in(reg) counter,
            packets = in(reg) packets,
            options(nostack),
        );
    }
}

/// The same where the program is looked at and never run.
///
/// # Safety
///
/// As above.
#[cfg(not(target_arch = "bpf"))]
unsafe fn add(counter: *mut u64, packets: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller answers for it.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(packets, Ordering::Relaxed);
}
