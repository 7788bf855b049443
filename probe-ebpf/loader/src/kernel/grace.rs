//! Waiting until no packet sees what was there before.

use std::{thread, time::Duration};

/// `MEMBARRIER_CMD_GLOBAL`: the kernel waits for an RCU grace period, in which every XDP run under way ends.
const MEMBARRIER_GLOBAL: libc::c_int = 1;

/// Far longer than any run of the program, for kernels that refuse the barrier (those with `nohz_full`).
const LONGER_THAN_ANY_RUN: Duration = Duration::from_millis(100);

/// Returns once every run of the program that was under way has ended.
pub(crate) fn wait_for_readers() {
    // SAFETY: the call takes no address.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
    if result != 0 {
        thread::sleep(LONGER_THAN_ANY_RUN);
    }
}
