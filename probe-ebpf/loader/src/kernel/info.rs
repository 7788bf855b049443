//! What the kernel says of programs, and of the memory of maps.

use std::{
    fs, io, mem,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use aya_obj::generated::{bpf_cmd, bpf_prog_info};

use super::syscall::{bpf, empty_attribute, object_info, open_pin, owned};

/// The id of the program that is pinned at `path`, or that the link pinned there holds; `None` of anything else.
pub(crate) fn pinned_program(path: &Path) -> io::Result<Option<u32>> {
    const BPF_F_RDONLY: u32 = 1 << 3;
    // What is not a map cannot be opened to be read alone.
    let pin = open_pin(path, 0).or_else(|_| open_pin(path, BPF_F_RDONLY))?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pin.as_raw_fd()))?;
    let is_map = text.lines().any(|line| line.starts_with("map_type:"));
    let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
    Ok(id.filter(|_| !is_map).and_then(|id| id.trim().parse().ok()))
}

/// The program with that id.
pub(crate) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attribute = empty_attribute();
    attribute.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    // SAFETY: the attribute holds an id and no address.
    unsafe { bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attribute) }.map(owned)
}

/// The name of the program with that id, as the kernel cuts it.
pub(crate) fn program_name(id: u32) -> io::Result<String> {
    let program = program_by_id(id)?;
    // SAFETY: the record is made of integers alone, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    // SAFETY: a program's descriptor is described by bpf_prog_info.
    unsafe { object_info(program.as_fd(), &mut info) }?;
    Ok(info
        .name
        .iter()
        .take_while(|&&byte| byte != 0)
        .map(|&byte| char::from(byte.cast_unsigned()))
        .collect())
}

/// How much memory the map pinned at `path` locks, in bytes, as the kernel accounts for it.
pub(crate) fn locked_bytes(path: &Path) -> io::Result<u64> {
    let map = open_pin(path, 0)?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|bytes| bytes.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
