//! A second set of pins, which a group may read and nobody write through: a bpffs of its own under `/run`, for
//! `/sys/fs/bpf` is root's alone on most hosts.
//!
//! From 5.19 on (kernel/bpf/syscall.c, `__sys_bpf`) `kernel.unprivileged_bpf_disabled` keeps nobody from opening a pin
//! that its mode lets him read, nor from reading a map opened so; before, it does wherever it is not 0. A link cannot be
//! opened for reading alone, so that links have no pins here but empty folders of their names.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{
    attach::aya_error, bpffs::is_bpffs, error::DatapathError, instance::Instance, load::beside, maps::Maps,
};

/// The folder that the instances' folders for viewers lie in.
pub(crate) const PARENT: &str = "/run/maglev-top";

/// The folder that the group of viewers of an instance may read.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(PARENT).join(name)
}

/// Lets the group of that number, and no other, read the instance, which has its maps pinned, and is attached to the
/// interfaces of those indexes.
pub(crate) fn admit(instance: &Instance, group: u32, interfaces: &[u32]) -> Result<(), DatapathError> {
    dismiss(instance)?;
    let admitted = mount_for(instance, group).and_then(|folder| {
        pin_maps(instance, &folder, group)?;
        for index in interfaces {
            let link = folder.join(format!("link-{index}"));
            fs::create_dir(&link).and_then(|()| hand_over(&link, group, 0o550)).map_err(failed)?;
        }
        // Only now is there something to read.
        hand_over(&folder, group, 0o550).map_err(failed)
    });
    if admitted.is_err() {
        let _ = dismiss(instance);
    }
    admitted
}

/// Shows the viewers that there are what is new in the instance.
pub(crate) fn keep_up(instance: &Instance) -> Result<(), DatapathError> {
    let folder = folder(instance.name());
    if !is_bpffs(&folder) {
        return Ok(());
    }
    let group = fs::metadata(&folder).map_err(failed)?.gid();
    pin_maps(instance, &folder, group)
}

/// Takes the viewers' pins away; there need not be any.
pub(crate) fn dismiss(instance: &Instance) -> Result<(), DatapathError> {
    let folder = folder(instance.name());
    while is_bpffs(&folder) {
        // Those who read it now read on; nobody else finds it.
        umount2(&folder, MntFlags::MNT_DETACH).map_err(|error| failed(error.into()))?;
    }
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(failed)?,
    }
    // Another instance's may still be in it.
    let _ = fs::remove_dir(PARENT);
    Ok(())
}

fn mount_for(instance: &Instance, group: u32) -> Result<PathBuf, DatapathError> {
    let folder = folder(instance.name());
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::set_permissions(PARENT, Permissions::from_mode(0o755)).map_err(failed)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpffs"), &folder, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|error| failed(error.into()))?;
    let maps = folder.join("maps");
    fs::create_dir(&maps).and_then(|()| hand_over(&maps, group, 0o550)).map_err(failed)?;
    Ok(folder)
}

/// Pins the maps that readers read, in the place of those that are there.
fn pin_maps(instance: &Instance, folder: &Path, group: u32) -> Result<(), DatapathError> {
    for name in Maps::NAMES {
        let (pin, next) = (folder.join("maps").join(name), folder.join("maps").join(beside(name, "next")));
        let attempted = || format!("pin map {name} for the viewers");
        let _ = fs::remove_file(&next);
        MapData::from_pin(instance.maps().join(name))
            .map_err(|error| aya_error(attempted(), error))?
            .pin(&next)
            .map_err(|error| aya_error(attempted(), error))?;
        hand_over(&next, group, 0o440).and_then(|()| fs::rename(&next, &pin)).map_err(failed)?;
    }
    Ok(())
}

fn hand_over(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    chown(path, Some(0), Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn failed(error: io::Error) -> DatapathError {
    DatapathError::of_io("make the viewers' pins under /run/maglev-top", error)
}
