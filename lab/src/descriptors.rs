//! The process's limit on open file descriptors, which several loads share.

use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::LabError;

/// Descriptors that the rest of the process may need.
const OTHERS: u64 = 512;

/// So many times as many are allowed where the process may have them: a connection that broke lingers at its server.
const LINGERING: u64 = 8;

/// What all reservations add up to.
static RESERVED: Mutex<u64> = Mutex::new(0);

/// Room for so many open files, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Reservation(u64);

impl Reservation {
    /// Raises the process's limit on open files so that `count` fit in beside what is reserved already.
    pub(crate) fn new(count: u64) -> Result<Self, LabError> {
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        allow(*reserved + count + OTHERS)?;
        *reserved += count;
        Ok(Self(count))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // The limit stays where it is: lowering it would take files from others.
        *RESERVED.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
    }
}

fn allow(needed: u64) -> Result<(), LabError> {
    let attempted = || format!("have {needed} files open");
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| LabError::new(attempted(), error))?;
    let wanted = LINGERING * needed;
    // Beyond the hard limit it takes privileges, which whoever makes network namespaces mostly has.
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok() {
        return Ok(());
    }
    if hard < needed {
        return Err(LabError::Invalid(format!(
            "this load needs {needed} open files, and this process may have {hard} (ulimit -Hn)"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(wanted), hard)
        .map_err(|error| LabError::new(attempted(), error))
}
