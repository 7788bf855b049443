//! The file system that pins lie in.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::error::DatapathError;

/// Where a host mounts it.
pub(crate) const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Makes sure that a bpffs is mounted where pins are to lie, and says whether it had to mount it.
///
/// # Errors
///
/// When there is none and it cannot be mounted.
pub fn ensure_mounted() -> Result<bool, DatapathError> {
    let point = Path::new(MOUNT_POINT);
    let failed = |error: io::Error| DatapathError::of_io("mount a bpffs at /sys/fs/bpf", error);
    if is_bpffs(point) {
        return Ok(false);
    }
    // Two who mount at once would lay one over the other, and the first one's pins under it.
    let above = File::open("/sys/fs").map_err(failed)?;
    above.lock().map_err(failed)?;
    if is_bpffs(point) {
        return Ok(false);
    }
    if !point.is_dir() {
        fs::create_dir_all(point).map_err(failed)?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpffs"), point, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|error| failed(error.into()))?;
    Ok(true)
}

/// Whether a bpffs is mounted there.
pub(crate) fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}
