//! The observer on a Cilium node: it counts in which slots of Cilium's own tables packets fall, and passes every one on
//! as it came. One body, for the hook of XDP and for the ingress of traffic control.
//!
//! Built beside the balancer, whose headers it shares; the slot of a flow is that of `maglev_core::flow`. How packets are
//! read is Cilium's way (`lb4_extract_tuple` and `lb6_extract_tuple`, `bpf/lib/lb.h`), and not the balancer's.

#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[expect(dead_code, reason = "the balancer uses it")]
mod checksum;
mod observe;
#[expect(dead_code, reason = "the balancer uses more of it")]
mod packet;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// On to whoever is next (`enum tcx_action_base`, `linux/bpf.h`).
const TCX_NEXT: i32 = -1;

/// On the hook of XDP.
#[xdp(frags)]
fn observe_xdp(context: XdpContext) -> u32 {
    observe::in_frame(&context);
    xdp_action::XDP_PASS
}

/// At the ingress of traffic control, in front of whoever else is there.
#[classifier]
fn observe_tcx(context: TcContext) -> i32 {
    observe::in_buffer(&context);
    TCX_NEXT
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
