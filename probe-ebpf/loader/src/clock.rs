//! The clock that the program reads.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since boot, not counting sleep (`CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`).
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Time since boot in milliseconds, as deadlines have it.
pub(crate) fn milliseconds_since_boot() -> u64 {
    u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX)
}
