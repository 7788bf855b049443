//! How many ICMP errors are sent: on each processor so many a second, and a few at once, as the kernel has it for all
//! (`icmp_msgs_per_sec`, `icmp_msgs_burst`).

use crate::{clock, maps::ERROR_ALLOWANCE};

/// How many may be sent at once.
const MOST: u64 = 50;

/// How many may be sent, and since when one more a millisecond.
#[repr(C)]
pub(crate) struct Allowance {
    at: u64,
    left: u64,
}

/// Takes one, if one is left.
#[inline(always)]
pub(crate) fn take() -> bool {
    let Some(allowance) = ERROR_ALLOWANCE.get_ptr_mut(0) else { return false };
    // SAFETY: this processor's own element of the map, which nobody else writes.
    let allowance = unsafe { &mut *allowance };
    let now = clock::milliseconds();
    let left = MOST.min(allowance.left + now.saturating_sub(allowance.at));
    allowance.at = now;
    allowance.left = left.saturating_sub(1);
    left > 0
}
