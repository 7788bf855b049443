//! Who stays in the foreground of an instance: one process at a time, and everybody can see which.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
};

use nix::sys::stat::{major, minor};

use crate::{error::DatapathError, instance::Instance};

/// The right to stay in the foreground of an instance, let go when it is dropped, or by the kernel when its holder dies.
#[derive(Debug)]
pub struct Watch {
    _folder: File,
}

impl Instance {
    /// Takes the right to stay in the foreground.
    ///
    /// # Errors
    ///
    /// When another process has it, or the instance is not running.
    pub fn watch(&self) -> Result<Watch, DatapathError> {
        let folder = File::open(self.maps())
            .map_err(|error| DatapathError::of_io("open the folder of maps", error))?;
        match folder.try_lock() {
            Ok(()) => Ok(Watch { _folder: folder }),
            Err(TryLockError::WouldBlock) => {
                Err(DatapathError::AlreadyWatched { name: self.name().to_owned(), process: self.watcher() })
            }
            Err(TryLockError::Error(error)) => Err(DatapathError::of_io("lock the folder of maps", error)),
        }
    }

    /// The process that stays in the foreground of it; `None` where there is none in this process namespace.
    #[must_use]
    pub fn watcher(&self) -> Option<u32> {
        self.find_watcher().ok().flatten()
    }

    /// The same, told from that it cannot be known.
    ///
    /// # Errors
    ///
    /// When this user may not look there, or the instance is not running.
    pub fn find_watcher(&self) -> io::Result<Option<u32>> {
        let folder = fs::metadata(self.maps())?;
        let locks = fs::read_to_string("/proc/locks")?;
        let file = format!("{:02x}:{:02x}:{}", major(folder.dev()), minor(folder.dev()), folder.ino());
        Ok(holder(&locks, &file))
    }
}

/// Who holds the lock on the file of that device and inode: `1: FLOCK  ADVISORY  WRITE 4711 00:1d:42 0 EOF`
/// (`proc_locks(5)`). Who only waits for it has an arrow there.
fn holder(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, process, found, ..] if found == file => process.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::holder;

    #[test]
    fn the_holder_is_told_from_those_who_wait_and_from_other_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1d:42 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 00:1d:421 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 13 00:1d:42 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 14 00:1d:42 0 EOF\n";
        assert_eq!(holder(locks, "00:1d:42"), Some(14));
        assert_eq!(holder(locks, "00:1d:4"), None);
    }
}
