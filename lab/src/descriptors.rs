//! The process's limit on open file descriptors.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::LabError;

/// Raises the process's soft limit on open files to at least `needed`, within its hard limit.
pub(crate) fn allow(needed: u64) -> Result<(), LabError> {
    let attempted = || format!("have {needed} files open");
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| LabError::new(attempted(), error))?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(LabError::Invalid(format!(
            "this load needs {needed} open files, and this process may have {hard} (ulimit -Hn)"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).map_err(|error| LabError::new(attempted(), error))
}
