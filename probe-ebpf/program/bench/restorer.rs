//! What stands in front of the balancer while it is measured. The kernel runs a program many times on one frame and
//! does not restore it: this takes the outer header off that the last run put on, writes the Ethernet header and
//! the time to live anew, makes it the packet of the next one of so many clients, and calls the program under test.

#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::generated::bpf_xdp_adjust_head,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// How the frame is to be.
#[repr(C)]
struct Restoration {
    /// The Ethernet header.
    ethernet: [u16; 7],
    /// Time to live and protocol.
    time_to_live: u16,
    /// How many clients there are; the address and port of the first one's are in the frame.
    clients: u32,
    /// The client of the last packet.
    client: u32,
}

/// The program under test.
#[btf_map(name = "under_test")]
static UNDER_TEST: ProgramArray<1> = ProgramArray::new();

/// How the frame is to be.
#[btf_map(name = "restoration")]
static RESTORATION: Array<Restoration, 1> = Array::new();

/// Ethernet, IPv4 and ports.
#[repr(C)]
struct Front {
    ethernet: [u16; 7],
    ipv4: [u16; 6],
    source: [u16; 2],
    destination: [u16; 2],
    source_port: u16,
}

const OUTER_LENGTH: i32 = 20;

/// Restores the frame, and calls the program under test.
#[xdp(frags)]
fn restore(context: XdpContext) -> u32 {
    let Some(front) = front(&context) else { return xdp_action::XDP_ABORTED };
    // The protocol in the IP header: that of a tunnel?
    let is_encapsulated = u16::from_be(front.ipv4[4]) & 0xff == 4;
    if is_encapsulated {
        // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
        unsafe { bpf_xdp_adjust_head(context.ctx, OUTER_LENGTH) };
    }
    let (Some(front), Some(restoration)) = (self::front(&context), RESTORATION.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map is this program's alone, and one processor runs it.
    let restoration = unsafe { &mut *restoration };
    front.ethernet = restoration.ethernet;
    // Whole, and not looked at: part of it has just been written.
    front.ipv4[4] = restoration.time_to_live;
    let client = restoration.client + 1;
    let client = if client >= restoration.clients { 0 } else { client };
    restoration.client = client;
    front.source[1] = client as u16;
    front.source_port = (client >> 6) as u16 | 1;
    // SAFETY: the program is of the same kind.
    unsafe { UNDER_TEST.tail_call(&context, 0) };
    xdp_action::XDP_ABORTED
}

/// Passes: what remains without a program under test.
#[xdp(frags)]
fn pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[expect(clippy::mut_from_ref, reason = "the context tells where the packet is, and does not hold it")]
#[inline(always)]
fn front(context: &XdpContext) -> Option<&mut Front> {
    let start = context.data();
    if start + size_of::<Front>() > context.data_end() {
        return None;
    }
    // SAFETY: all of it lies before the packet's end, and frames begin at even addresses.
    Some(unsafe { &mut *(start as *mut Front) })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel lets programs under the GPL use all helpers.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
