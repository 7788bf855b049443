//! Links: made, what they are attached to, and another program under one.

use std::{
    io, mem,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_link_info, bpf_link_type};

use super::syscall::{bpf, empty_attribute, object_info, open_pin, owned};

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
    update_link(open_pin(path, 0)?.as_fd(), old, new)
}

/// The same under a link that is open.
pub(crate) fn update_link(link: BorrowedFd<'_>, old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    let mut attribute = empty_attribute();
    attribute.link_update.link_fd = link.as_raw_fd().cast_unsigned();
    attribute.link_update.__bindgen_anon_1.new_prog_fd = new.as_raw_fd().cast_unsigned();
    attribute.link_update.flags = BPF_F_REPLACE;
    attribute.link_update.__bindgen_anon_2.old_prog_fd = old.as_raw_fd().cast_unsigned();
    // SAFETY: the attribute holds descriptors and no address.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attribute) }.map(drop)
}

/// A hook that an unpinned link can be made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkHook {
    /// XDP, in the driver.
    NativeXdp,
    /// XDP, in front of the stack.
    GenericXdp,
    /// The ingress of traffic control, before whoever is there (`BPF_F_BEFORE`; since Linux 6.6).
    TcxHead,
}

/// Links `program` to a hook of the interface with that index, for as long as the descriptor is open. `EBUSY` where
/// XDP's is taken, `EINVAL` where the kernel does not know of such links.
pub(crate) fn create_link(program: BorrowedFd<'_>, interface: u32, hook: LinkHook) -> io::Result<OwnedFd> {
    const BPF_F_BEFORE: u32 = 1 << 3;
    const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
    const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
    let (kind, flags) = match hook {
        LinkHook::NativeXdp => (bpf_attach_type::BPF_XDP, XDP_FLAGS_DRV_MODE),
        LinkHook::GenericXdp => (bpf_attach_type::BPF_XDP, XDP_FLAGS_SKB_MODE),
        LinkHook::TcxHead => (bpf_attach_type::BPF_TCX_INGRESS, BPF_F_BEFORE),
    };
    let mut attribute = empty_attribute();
    attribute.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attribute.link_create.__bindgen_anon_2.target_ifindex = interface;
    attribute.link_create.attach_type = kind as u32;
    attribute.link_create.flags = flags;
    // SAFETY: the attribute holds a descriptor and numbers, and no address.
    unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attribute) }.map(owned)
}

/// The ids of the programs at the ingress of an interface's traffic control, the first one first.
pub(crate) fn tcx_programs(interface: u32) -> io::Result<Vec<u32>> {
    // The kernel has room for 64 (`BPF_MPROG_MAX`).
    let mut programs = [0_u32; 64];
    let mut attribute = empty_attribute();
    attribute.query.__bindgen_anon_1.target_ifindex = interface;
    attribute.query.attach_type = bpf_attach_type::BPF_TCX_INGRESS as u32;
    attribute.query.prog_ids = programs.as_mut_ptr() as u64;
    attribute.query.__bindgen_anon_2.count = 64;
    // SAFETY: there is room for as many ids as `count` says.
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attribute) }?;
    // SAFETY: the attribute was made for a query, and both members of the union are the same number.
    let count = unsafe { attribute.query.__bindgen_anon_2.count };
    Ok(programs.into_iter().take(count as usize).collect())
}
