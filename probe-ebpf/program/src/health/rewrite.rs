//! Another address in a packet, and what sums it up.

use aya_ebpf::{
    bindings::{BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM},
    helpers::generated::bpf_csum_diff,
    programs::TcContext,
};

use crate::packet::{ETHERNET, Packet};

/// Where in an IPv4 header its checksum stands.
const IPV4_CHECKSUM: usize = 10;
/// Where in a TCP header its checksum stands.
const TCP_CHECKSUM: usize = 16;

/// Which of its addresses.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// Writes an address of the packet's family in the place of its own; of an IPv4 address the first four bytes count. The
/// kernel's helpers know whether the packet's checksum is there, left to the device, or added up by it.
#[inline(always)]
pub(crate) fn rewrite(context: &TcContext, packet: &Packet, side: Side, address: &[u8; 16]) -> Option<()> {
    let before = match side {
        Side::Source => &packet.source.address,
        Side::Destination => &packet.destination.address,
    };
    // What lies behind an IPv4 address is zero in both, and adds nothing.
    let difference = difference(before, address)?;
    let checksum = packet.transport + TCP_CHECKSUM;
    context.l4_csum_replace(checksum, 0, difference, BPF_F_PSEUDO_HDR.into()).ok()?;
    if packet.is_ipv4() {
        context.l3_csum_replace(ETHERNET + IPV4_CHECKSUM, 0, difference, 0).ok()?;
        let place = ETHERNET + if matches!(side, Side::Source) { 12 } else { 16 };
        let [a, b, c, d, ..] = *address;
        context.store(place, &[a, b, c, d], 0).ok()
    } else {
        let place = ETHERNET + if matches!(side, Side::Source) { 8 } else { 24 };
        // No checksum in an IPv6 header makes up for what the sum of the whole packet grows by.
        context.store(place, address, BPF_F_RECOMPUTE_CSUM.into()).ok()
    }
}

/// What a sum grows by.
#[inline(always)]
fn difference(before: &[u8; 16], after: &[u8; 16]) -> Option<u64> {
    const LENGTH: u32 = 16;
    let (before, after) = (before.as_ptr().cast_mut().cast(), after.as_ptr().cast_mut().cast());
    // SAFETY: both are sixteen bytes, and are read alone.
    let difference = unsafe { bpf_csum_diff(before, LENGTH, after, LENGTH, 0) };
    u64::try_from(difference).ok()
}
