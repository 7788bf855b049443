//! Which network namespace the calling thread is in.

use std::{io, os::unix::fs::MetadataExt as _};

/// The namespace's inode: what tells it from others on this host.
pub(crate) fn current_namespace() -> io::Result<u64> {
    std::fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino())
}
