//! The time that deadlines are in.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;

/// Milliseconds of `CLOCK_MONOTONIC_COARSE`: the time of the last tick, which is the same on all processors and is
/// had for a load, where the exact time costs a look at a hardware clock.
#[inline(always)]
pub(crate) fn milliseconds() -> u64 {
    // SAFETY: the helper has no arguments, and XDP programs may call it.
    unsafe { bpf_ktime_get_coarse_ns() / 1_000_000 }
}
