//! XDP links: what they are attached to, and another program under one.

use std::{
    io, mem,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::Path,
};

use aya_obj::generated::{bpf_cmd, bpf_link_info, bpf_link_type};

use super::syscall::{bpf, empty_attribute, object_info, open_pin};

/// The program that is expected under the link is named.
const BPF_F_REPLACE: u32 = 1 << 2;

/// What a link holds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// The interface's index, 0 once the interface is gone.
    pub(crate) interface: u32,
    /// The program's id.
    pub(crate) program: u32,
}

/// What the XDP link pinned at `path` holds together.
pub(crate) fn link_info(path: &Path) -> io::Result<LinkInfo> {
    let link = open_pin(path, 0)?;
    // SAFETY: the record is made of integers alone, for which zero is a value.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    // SAFETY: a pinned link's descriptor is described by bpf_link_info.
    unsafe { object_info(link.as_fd(), &mut info) }?;
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the link is not one of XDP"));
    }
    // SAFETY: the type says which member of the union it is.
    let interface = unsafe { info.__bindgen_anon_1.xdp.ifindex };
    Ok(LinkInfo { interface, program: info.prog_id })
}

/// Puts `new` in the place of `old` under the link pinned at `path`: every packet meets the one or the other. Refused
/// with `EPERM` where the link has another program than `old`, and with `ENOLINK` where its interface is gone.
pub(crate) fn replace_under_link(path: &Path, old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    let link = open_pin(path, 0)?;
    let mut attribute = empty_attribute();
    attribute.link_update.link_fd = link.as_raw_fd().cast_unsigned();
    attribute.link_update.__bindgen_anon_1.new_prog_fd = new.as_raw_fd().cast_unsigned();
    attribute.link_update.flags = BPF_F_REPLACE;
    attribute.link_update.__bindgen_anon_2.old_prog_fd = old.as_raw_fd().cast_unsigned();
    // SAFETY: the attribute holds descriptors and no address.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attribute) }.map(drop)
}
