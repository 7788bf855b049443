//! Health checks on the way of clients' packets.
//!
//! A check is a connection of a socket of this host to the backend's own address, so that route, neighbour and hardware
//! address are those of the tunnel to it. `maglev_check_out` stands where its packets leave: it addresses them to the
//! service, and puts the balancer's outer header in front. `maglev_check_in` stands where the answers come in, which are
//! from the service's address: it makes them the backend's again. Everything that is no connection of a check passes both
//! as it is.

#![no_std]
#![no_main]

mod outer;
mod packet;
mod rewrite;

use aya_ebpf::{
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    btf_maps::HashMap,
    macros::{btf_map, classifier},
    programs::TcContext,
};
use maglev_probe_abi::{CheckKey, CheckRecord, SIMULTANEOUS_CHECKS};

use crate::{
    packet::Packet,
    rewrite::{Side, rewrite},
};

/// The connections of checks: user space names each before its first packet.
#[btf_map(name = "checks")]
static CHECKS: HashMap<CheckKey, CheckRecord, { SIMULTANEOUS_CHECKS as usize }> = HashMap::new();

/// Where packets leave.
#[classifier]
fn maglev_check_out(context: TcContext) -> i32 {
    let Some(packet) = Packet::read(&context) else { return TCX_NEXT };
    let Some(record) = CHECKS.get_ptr_mut(packet.source) else { return TCX_NEXT };
    // SAFETY: the element is in the map, whose memory outlives the program's run.
    let record = unsafe { &mut *record };
    if packet.destination.address != record.backend || packet.destination.port != record.port {
        return TCX_NEXT;
    }
    let carried = rewrite(&context, &packet, Side::Destination, &record.service)
        .and_then(|()| outer::put_on(&context, &packet, record));
    match carried {
        Some(()) => {
            record.is_carried = 1;
            TCX_NEXT
        }
        // Half of it would lead somewhere else.
        None => TCX_DROP,
    }
}

/// Where answers come in.
#[classifier]
fn maglev_check_in(context: TcContext) -> i32 {
    let Some(packet) = Packet::read(&context) else { return TCX_NEXT };
    // SAFETY: nobody writes to an element but the flag, which is not read here.
    let Some(record) = (unsafe { CHECKS.get(packet.destination) }) else { return TCX_NEXT };
    if packet.source.address != record.service || packet.source.port != record.port {
        return TCX_NEXT;
    }
    match rewrite(&context, &packet, Side::Source, &record.backend) {
        Some(()) => TCX_NEXT,
        None => TCX_DROP,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Nothing here panics: the verifier refuses a program in which this loop is left.
    loop {}
}

/// The kernel lets programs under the GPL use all helpers.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
