//! An instance: a folder of pins, and the lock on it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use maglev_probe_abi::map;
use nix::{
    errno::Errno,
    unistd::{AccessFlags, eaccess},
};

use crate::{bpffs::MOUNT_POINT, error::DatapathError, viewers};

/// How long a change waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// One datapath of a host, by name. Its pins lie in a folder of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    name: String,
    folder: PathBuf,
}

impl Instance {
    /// The name of the instance that is meant where none is named.
    pub const DEFAULT: &str = "default";

    /// The instance of that name, which need not be running.
    ///
    /// # Errors
    ///
    /// When it cannot be the name of a folder of pins: 1 to 32 letters, digits, `-` and `_`.
    pub fn new(name: &str) -> Result<Self, DatapathError> {
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
            return Err(DatapathError::InstanceName(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), folder: Self::parent().join(name) })
    }

    /// The folder that the instances' folders lie in.
    #[must_use]
    pub fn parent() -> PathBuf {
        Path::new(MOUNT_POINT).join("maglev-top")
    }

    /// The instances that there are, by name.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read; that there is none is no error.
    pub fn all() -> Result<Vec<Self>, DatapathError> {
        let entries = match fs::read_dir(Self::parent()) {
            // A viewer sees what there is for viewers.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => fs::read_dir(viewers::PARENT),
            entries => entries,
        };
        let entries = match entries {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => {
                entries.map_err(|error| DatapathError::of_io("read the folder of instances", error))?
            }
        };
        let mut names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        // What has no such name is nobody's instance.
        Ok(names.iter().filter_map(|name| Self::new(name).ok()).collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder of pins.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether anything of it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// The folder of pins that this user may read: its own or, where that is closed to him, the one for viewers.
    ///
    /// # Errors
    ///
    /// When nothing of it is there, or it is not for this user to see.
    pub fn visible(&self) -> Result<PathBuf, DatapathError> {
        let look = |folder: &Path| eaccess(&folder.join("maps").join(map::META), AccessFlags::R_OK);
        match look(&self.folder) {
            Ok(()) => Ok(self.folder.clone()),
            Err(Errno::EACCES) => {
                let folder = viewers::folder(&self.name);
                look(&folder).map_err(|_| DatapathError::NotAViewer(self.name.clone())).map(|()| folder)
            }
            // What is missing of it is told by whoever opens it.
            Err(Errno::ENOENT) if self.exists() => Ok(self.folder.clone()),
            Err(Errno::ENOENT) => Err(DatapathError::not_running(self)),
            Err(error) => Err(DatapathError::of_io("look at the pins", error.into())),
        }
    }

    /// Refuses to bring it up or down for one who sees it as a viewer alone.
    pub(crate) fn require_not_a_viewers(&self) -> Result<(), DatapathError> {
        if self.visible().is_ok_and(|folder| folder != self.folder) {
            return Err(DatapathError::ReadOnly(self.name.clone()));
        }
        Ok(())
    }

    /// The folder of its maps.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.folder.join("maps")
    }

    /// The pin of its program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.folder.join("program")
    }

    /// The pin of the program that is about to take the place of the other one.
    pub(crate) fn next_program(&self) -> PathBuf {
        self.folder.join("program-next")
    }

    /// The pin of its link to an interface.
    #[must_use]
    pub fn link(&self, interface: u32) -> PathBuf {
        self.folder.join(format!("link-{interface}"))
    }

    /// The pins of its links.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn links(&self) -> Result<Vec<PathBuf>, DatapathError> {
        Self::links_in(&self.folder)
    }

    /// The links in a folder of pins.
    pub(crate) fn links_in(folder: &Path) -> Result<Vec<PathBuf>, DatapathError> {
        let entries =
            fs::read_dir(folder).map_err(|error| DatapathError::of_io("read the folder of pins", error))?;
        let mut links: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("link-"))
            .map(|entry| entry.path())
            .collect();
        links.sort();
        Ok(links)
    }

    /// Keeps others from bringing any instance up or down, until it is dropped. Makes the folder of instances.
    pub(crate) fn lock_all() -> Result<Lock, DatapathError> {
        let parent = Self::parent();
        loop {
            fs::create_dir_all(&parent)
                .map_err(|error| DatapathError::of_io("create the folder of instances", error))?;
            let lock = match File::open(&parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => wait_for_lock(
                    opened.map_err(|error| DatapathError::of_io("open the folder of instances", error))?,
                    "(any)",
                )?,
            };
            // The last instance to leave takes the folder along: then this lock is on one that is gone.
            if lock.is_on(&parent) {
                return Ok(lock);
            }
        }
    }

    /// Waits for its lock: whoever has it is the only one who changes the instance.
    pub(crate) fn lock(&self) -> Result<Lock, DatapathError> {
        loop {
            let folder = match File::open(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(DatapathError::not_running(self));
                }
                opened => {
                    opened.map_err(|error| DatapathError::of_io("open the folder of the instance", error))?
                }
            };
            let lock = wait_for_lock(folder, &self.name)?;
            // Whoever had it before may have taken the folder away, and another be in its place.
            if lock.is_on(&self.folder) {
                return Ok(lock);
            }
        }
    }

    /// Takes the pins of its links away, so that no packet reaches its program any more.
    pub(crate) fn remove_links(&self) -> Result<(), DatapathError> {
        for link in self.links()? {
            fs::remove_file(&link)
                .map_err(|error| DatapathError::of_io(&format!("remove {}", link.display()), error))?;
        }
        Ok(())
    }

    /// Takes all its pins away, and the folder of instances with the last one.
    pub(crate) fn remove_pins(&self) -> Result<(), DatapathError> {
        viewers::dismiss(self)?;
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DatapathError::of_io("remove the pins", error));
            }
            _ => {}
        }
        // Another instance may still be in it.
        let _ = fs::remove_dir(Self::parent());
        Ok(())
    }
}

fn wait_for_lock(folder: File, name: &str) -> Result<Lock, DatapathError> {
    let begun = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Lock { folder }),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(DatapathError::Busy(name.to_owned())),
            Err(TryLockError::Error(error)) => return Err(DatapathError::of_io("lock the instance", error)),
        }
    }
}

/// The lock of an instance, let go when it is dropped, or by the kernel when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: File,
}

impl Lock {
    /// Whether what is locked is what is at `path`.
    fn is_on(&self, path: &Path) -> bool {
        let held = self.folder.metadata().map(|held| (held.dev(), held.ino()));
        let found = fs::metadata(path).map(|found| (found.dev(), found.ino()));
        matches!((held, found), (Ok(held), Ok(found)) if held == found)
    }
}

#[cfg(test)]
mod tests {
    use super::Instance;

    #[test]
    fn names_are_those_that_a_pin_may_have() {
        assert_eq!(Instance::new("a-1").unwrap().folder().to_str(), Some("/sys/fs/bpf/maglev-top/a-1"));
        for name in ["", "a.b", "../x", "a/b", "with space", &"x".repeat(33)] {
            assert!(Instance::new(name).is_err(), "{name:?} was taken");
        }
    }
}
