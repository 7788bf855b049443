//! The few bpf(2) calls that lay out maps as Cilium's agent does.

#![expect(unsafe_code, reason = "bpf(2) takes addresses, and aya makes no maps of maps by themselves")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

const CREATE: libc::c_int = 0;
const UPDATE: libc::c_int = 2;
const DELETE: libc::c_int = 3;
const PIN: libc::c_int = 6;

/// An attribute: sixteen words are longer than any that is used here.
fn call(command: libc::c_int, attribute: &[u64]) -> io::Result<libc::c_long> {
    let mut words = [0_u64; 16];
    words[..attribute.len()].copy_from_slice(attribute);
    // SAFETY: the attribute is whole, and the addresses in it are of buffers that the callers below keep alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, words.as_mut_ptr(), size_of_val(&words)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from_ne_bytes([low.to_ne_bytes(), high.to_ne_bytes()].concat().try_into().expect("eight bytes"))
}

/// A map.
#[derive(Debug)]
pub(super) struct RawMap(OwnedFd);

impl RawMap {
    /// A map of that type, key size, value size and room; `inner` is what a map of maps holds.
    pub(super) fn create(
        kind: u32,
        key: u32,
        value: u32,
        room: u32,
        inner: Option<&Self>,
    ) -> io::Result<Self> {
        // BPF_F_NO_PREALLOC for hash maps and maps of maps, as Cilium has it.
        let flags = u32::from(kind == 1 || kind == 13);
        let inner = inner.map_or(0, |map| map.0.as_raw_fd().cast_unsigned());
        let made = call(CREATE, &[pair(kind, key), pair(value, room), pair(flags, inner)])?;
        let descriptor = i32::try_from(made).expect("a descriptor");
        // SAFETY: the kernel has just made it, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    pub(super) fn pin(&self, path: &Path) -> io::Result<()> {
        let text = CString::new(path.as_os_str().as_bytes())?;
        call(PIN, &[text.as_ptr() as u64, pair(self.0.as_raw_fd().cast_unsigned(), 0)]).map(drop)
    }

    /// Writes an entry, whose key and value are of the map's sizes.
    pub(super) fn set(&self, key: &[u8], value: &[u8]) {
        let descriptor = pair(self.0.as_raw_fd().cast_unsigned(), 0);
        call(UPDATE, &[descriptor, key.as_ptr() as u64, value.as_ptr() as u64, 0])
            .expect("an entry is written");
    }

    /// Takes an entry out; whether it was there.
    pub(super) fn remove(&self, key: &[u8]) -> bool {
        call(DELETE, &[pair(self.0.as_raw_fd().cast_unsigned(), 0), key.as_ptr() as u64]).is_ok()
    }

    /// Puts `inner` into a map of maps.
    pub(super) fn set_map(&self, key: &[u8], inner: &Self) {
        self.set(key, &inner.0.as_raw_fd().to_ne_bytes());
    }
}
