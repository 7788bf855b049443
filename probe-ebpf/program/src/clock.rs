//! The time that deadlines are in.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};

use crate::maps::CLOCK;

/// What the clock said on this processor when it was last looked at.
#[repr(C)]
pub(crate) struct Reading {
    /// The tick of the kernel, by which it is known whether that still holds.
    tick: u64,
    milliseconds: u64,
}

/// Milliseconds of `CLOCK_MONOTONIC_COARSE`, which moves on with the kernel's ticks, of which a processor looks at the
/// clock in the first packet alone: the tick is had for a load, the clock for a call and a division, which take a
/// tenth of all that a packet takes. The kernel counts a tick a moment before it moves the clock on, so that the time
/// here is that of this tick or of the one before.
#[inline(always)]
pub(crate) fn milliseconds() -> u64 {
    // SAFETY: the helper has no arguments, and XDP programs may call it.
    let tick = unsafe { bpf_jiffies64() };
    let Some(reading) = CLOCK.get_ptr_mut(0) else { return now() };
    // SAFETY: this processor's own element of the map, which nobody else writes.
    let reading = unsafe { &mut *reading };
    if reading.tick != tick {
        reading.milliseconds = now();
        reading.tick = tick;
    }
    reading.milliseconds
}

/// What the clock says.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no arguments, and XDP programs may call it.
    unsafe { bpf_ktime_get_coarse_ns() / 1_000_000 }
}
