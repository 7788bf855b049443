//! bpf(2) itself.

use std::{
    ffi::{CString, c_int, c_long},
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute with every byte zero, as the kernel wants those that are not set.
pub(super) fn empty_attribute() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

/// Calls bpf(2).
///
/// # Safety
///
/// Every address in `attribute` is valid for what `command` does with it.
pub(super) unsafe fn bpf(command: bpf_cmd, attribute: &mut bpf_attr) -> io::Result<c_long> {
    // SAFETY: the attribute is a whole bpf_attr, and the caller answers for the addresses in it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as c_int, &raw mut *attribute, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor that bpf(2) returned.
pub(super) fn owned(descriptor: c_long) -> OwnedFd {
    let descriptor =
        RawFd::try_from(descriptor).unwrap_or_else(|_| unreachable!("descriptors are of that size"));
    // SAFETY: the kernel has just made it, for this process, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Opens what is pinned at `path`; `flags` are those of `BPF_OBJ_GET`.
pub(super) fn open_pin(path: &Path, flags: u32) -> io::Result<OwnedFd> {
    let text = CString::new(path.as_os_str().as_bytes())?;
    let mut attribute = empty_attribute();
    attribute.__bindgen_anon_4.pathname = text.as_ptr() as u64;
    attribute.__bindgen_anon_4.file_flags = flags;
    // SAFETY: the path is a C string that outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attribute) }.map(owned)
}

/// Fills `info` with what the kernel says of `descriptor`.
///
/// # Safety
///
/// `T` is the kernel's information record for that kind of descriptor, or the beginning of it.
pub(super) unsafe fn object_info<T>(descriptor: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut attribute = empty_attribute();
    attribute.info.bpf_fd = descriptor.as_raw_fd().cast_unsigned();
    attribute.info.info_len = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    attribute.info.info = &raw mut *info as u64;
    // SAFETY: the kernel writes at most info_len bytes, which is what there is room for.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attribute) }.map(drop)
}
