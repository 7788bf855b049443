//! Maps of rows: read in batches by anybody who may read, written through a mapping by who may write.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    ptr::{self, NonNull},
    sync::atomic::AtomicU64,
};

use aya_obj::generated::bpf_cmd;
use maglev_probe_abi::{ROW_WORDS, Row};

use super::{
    map::{Access, KernelMap, MapKind, batch_count},
    syscall::{bpf, empty_attribute},
};
use crate::error::MapError;

/// A map of rows, for reading.
#[derive(Debug)]
pub(crate) struct Rows(KernelMap<u32, Row>);

impl Rows {
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, MapError> {
        KernelMap::open(path, MapKind::Array, access).map(Self)
    }

    /// The words of `count` rows from `first` on.
    pub(crate) fn read(&self, first: u32, count: u32) -> Result<Vec<u64>, MapError> {
        let mut words = vec![0_u64; count as usize * ROW_WORDS];
        let mut keys = vec![0_u32; count as usize];
        let mut filled = 0_u32;
        while filled < count {
            // An array goes on after the position that it is given; without one it begins at row 0.
            let after = (first + filled).wrapping_sub(1);
            let mut next = 0_u32;
            let mut attribute = empty_attribute();
            attribute.batch.in_batch = if first + filled == 0 { 0 } else { &raw const after as u64 };
            attribute.batch.out_batch = &raw mut next as u64;
            attribute.batch.keys = keys[filled as usize..].as_mut_ptr() as u64;
            attribute.batch.values = words[filled as usize * ROW_WORDS..].as_mut_ptr() as u64;
            attribute.batch.count = count - filled;
            attribute.batch.map_fd = self.0.as_fd().as_raw_fd().cast_unsigned();
            // SAFETY: keys and words have room for the rows asked for, whose size was compared when it was opened.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attribute) };
            filled += batch_count(&attribute);
            match result {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) && filled == count => break,
                Err(error) => return Err(self.0.failed("read", error)),
                Ok(_) if batch_count(&attribute) == 0 => {
                    return Err(self.0.failed("read", io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => {}
            }
        }
        Ok(words)
    }
}

/// A map of rows in this process's memory: a store here is what the next packet sees.
#[derive(Debug)]
pub(crate) struct MappedRows {
    address: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping is shared memory, reached through atomics alone, and belongs to no thread.
unsafe impl Send for MappedRows {}
// SAFETY: likewise.
unsafe impl Sync for MappedRows {}

impl MappedRows {
    pub(crate) fn open(path: &Path) -> Result<Self, MapError> {
        Self::of(&KernelMap::open(path, MapKind::Array, Access::Write)?)
    }

    /// Those of a map that is open.
    pub(crate) fn of(map: &KernelMap<u32, Row>) -> Result<Self, MapError> {
        debug_assert_eq!(map.kind(), MapKind::Array);
        let words = map.capacity() as usize * ROW_WORDS;
        // SAFETY: no address is asked for, the kernel checks the length, and the descriptor is an open map.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                words * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(map.failed("map", io::Error::last_os_error()));
        }
        let address = NonNull::new(address.cast())
            .ok_or_else(|| map.failed("map", io::ErrorKind::AddrNotAvailable.into()))?;
        Ok(Self { address, words })
    }

    /// The words, row after row.
    pub(crate) const fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is that long, page-aligned, lives as long as `self`, and everybody reaches it through
        // atomic accesses of eight bytes: here, and in the program.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.words) }
    }
}

impl Drop for MappedRows {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and nothing borrows it any more.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.words * size_of::<u64>()) };
    }
}
