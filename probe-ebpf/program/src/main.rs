//! The XDP programs: `maglev` balances, `maglev_decap` takes its outer header off at a backend.
//!
//! Built for `bpfel-unknown-none` by `cargo xtask build-ebpf`. What is remembered, routed and put off while a slot
//! settles is decided by `maglev_core::slot`, and the slot of a flow by `maglev_core::flow`: the same lines that
//! user space is built of and tested by.

#![no_std]
#![no_main]

mod allowance;
mod aside;
mod balance;
mod checksum;
mod clock;
mod count;
mod datagram;
mod decapsulate;
mod echo;
mod encapsulate;
mod errors;
mod forward;
mod fragments;
mod icmp;
mod link;
mod maps;
mod memory;
mod outcome;
mod packet;
mod parse;
mod quote;
mod rows;
mod settling;
mod trace;
mod tracked;

use aya_ebpf::{macros::xdp, programs::XdpContext};

/// The balancer.
#[cfg(not(feature = "trace"))]
#[xdp(frags)]
fn maglev(context: XdpContext) -> u32 {
    handle(&context)
}

/// The balancer, while somebody traces.
#[cfg(feature = "trace")]
#[xdp(frags)]
fn maglev_trace(context: XdpContext) -> u32 {
    handle(&context)
}

#[inline(always)]
fn handle(context: &XdpContext) -> u32 {
    trace::begin(context);
    let outcome = balance::balance(context);
    count::verdict(outcome.verdict());
    trace::end(&outcome);
    outcome.action()
}

/// What takes the outer header off at a backend.
#[xdp(frags)]
fn maglev_decap(context: XdpContext) -> u32 {
    let verdict = decapsulate::decapsulate(&context);
    count::decap_verdict(verdict);
    aya_ebpf::bindings::xdp_action::XDP_PASS
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
