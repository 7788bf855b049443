//! Later fragments have no ports: those of their first one are remembered, as Cilium does
//! (`ipv4_handle_fragmentation`, `bpf/lib/ipv4.h`).

use maglev_probe_abi::{FragmentKey, FragmentPorts};

use super::maps::FRAGMENTS;
use crate::packet::Half;

/// What the fragments of an IPv4 packet have in common.
#[inline(always)]
pub(super) fn key(
    source: [u8; 16],
    destination: [u8; 16],
    identification: Half,
    protocol: u8,
) -> FragmentKey {
    FragmentKey {
        source,
        destination,
        identification: u32::from(identification),
        protocol,
        family: 4,
        padding: 0,
    }
}

/// The ports that the first fragment had, if it was one for a frontend.
#[inline(always)]
pub(super) fn recall(key: &FragmentKey) -> Option<FragmentPorts> {
    // SAFETY: the value is read at once, and one word: it is never half of another.
    unsafe { FRAGMENTS.get(key) }.copied()
}

/// Remembers the ports of a first fragment.
#[inline(always)]
pub(super) fn remember(key: &FragmentKey, ports: FragmentPorts) {
    // Where there is no room, the others are not judged.
    let _ = FRAGMENTS.insert(key, ports, 0);
}
