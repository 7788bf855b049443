//! Maps of somebody else's. They are opened for reading alone, and there is nothing here that writes.

use std::{
    collections::BTreeSet,
    fs, io, mem,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use aya_obj::generated::{bpf_cmd, bpf_map_info, bpf_map_type};

use super::{
    map::{BPF_F_RDONLY, batch_count},
    syscall::{bpf, empty_attribute, object_info, open_pin, owned},
};

/// The kinds of maps with a value for each processor.
const PER_PROCESSOR: [u32; 4] = [
    bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH as u32,
    bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
    bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH as u32,
    bpf_map_type::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE as u32,
];

/// A map that is not ours.
#[derive(Debug)]
pub(crate) struct ForeignMap {
    descriptor: OwnedFd,
    /// `BPF_MAP_TYPE_…`.
    pub(crate) kind: u32,
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    pub(crate) capacity: u32,
    pub(crate) id: u32,
}

impl ForeignMap {
    /// Opens what is pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> io::Result<Self> {
        Self::of(open_pin(path, BPF_F_RDONLY)?)
    }

    /// Opens the map of that id, which needs `CAP_SYS_ADMIN`.
    pub(crate) fn by_id(id: u32) -> io::Result<Self> {
        let mut attribute = empty_attribute();
        attribute.__bindgen_anon_6.__bindgen_anon_1.map_id = id;
        attribute.__bindgen_anon_6.open_flags = BPF_F_RDONLY;
        // SAFETY: the attribute holds an id and flags, and no address.
        Self::of(unsafe { bpf(bpf_cmd::BPF_MAP_GET_FD_BY_ID, &mut attribute) }.map(owned)?)
    }

    fn of(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the record is made of integers alone, for which zero is a value.
        let mut info: bpf_map_info = unsafe { mem::zeroed() };
        // SAFETY: what is pinned may be a program or a link: the kernel writes no more than there is room for, and the
        // record is of integers, for which every value is one.
        unsafe { object_info(descriptor.as_fd(), &mut info) }?;
        Ok(Self {
            descriptor,
            kind: info.type_,
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            capacity: info.max_entries,
            id: info.id,
        })
    }

    /// The memory that the kernel accounts for it, in bytes.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.descriptor.as_raw_fd()))?;
        text.lines()
            .find_map(|line| line.strip_prefix("memlock:"))
            .and_then(|bytes| bytes.trim().parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Every key and value of a map without values per processor.
    pub(crate) fn entries(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.require_one_value()?;
        // A hash map hands out whole buckets: only room for all that there may be is room enough.
        let room = self.capacity as usize;
        let (mut keys, mut values) = (vec![0_u8; room * self.key_size], vec![0_u8; room * self.value_size]);
        let (mut filled, mut position, mut resumed) = (0_usize, 0_u64, false);
        while filled < room {
            let mut attribute = empty_attribute();
            attribute.batch.in_batch = if resumed { &raw const position as u64 } else { 0 };
            attribute.batch.out_batch = &raw mut position as u64;
            attribute.batch.keys = keys[filled * self.key_size..].as_mut_ptr() as u64;
            attribute.batch.values = values[filled * self.value_size..].as_mut_ptr() as u64;
            attribute.batch.count = u32::try_from(room - filled).unwrap_or(u32::MAX);
            attribute.batch.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
            // SAFETY: keys and values have room for `count` entries of the sizes that the kernel gave for this map,
            // and `position` for a hash map's position, which is four bytes, and an array's, which is its key.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attribute) };
            let count = batch_count(&attribute) as usize;
            match result {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    filled += count;
                    break;
                }
                Err(error) => return Err(error),
                Ok(_) => filled += count,
            }
            if count == 0 {
                break;
            }
            resumed = true;
        }
        let keys = keys.chunks_exact(self.key_size).map(<[u8]>::to_vec);
        let values = values.chunks_exact(self.value_size).map(<[u8]>::to_vec);
        Ok(keys.zip(values).take(filled).collect())
    }

    /// Every key, one by one: for maps of maps, which not every kernel reads in batches, and for those that nobody knows.
    /// Each of `capacity` entries at most is met at least once, whatever comes and goes meanwhile.
    pub(crate) fn keys(&self) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut found = BTreeSet::new();
        let mut at: Option<Vec<u8>> = None;
        // A key that has gone sends the walk back to the beginning: it ends all the same.
        for _ in 0..=u64::from(self.capacity) * 2 {
            let Some(next) = self.key_after(at.as_deref())? else { break };
            found.insert(next.clone());
            at = Some(next);
        }
        Ok(found)
    }

    /// The value at `key`.
    pub(crate) fn value(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        assert_eq!(key.len(), self.key_size, "a key of the map");
        self.require_one_value()?;
        let mut value = vec![0_u8; self.value_size];
        let mut attribute = empty_attribute();
        attribute.__bindgen_anon_2.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
        attribute.__bindgen_anon_2.key = key.as_ptr() as u64;
        attribute.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
        // SAFETY: key and value are of the sizes that the kernel gave for this map, which has no values per processor, as was
        // looked at.
        match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attribute) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses a map with values per processor: the kernel writes as many as there are processors.
    fn require_one_value(&self) -> io::Result<()> {
        if PER_PROCESSOR.contains(&self.kind) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("map {} has a value for each processor", self.id),
            ));
        }
        Ok(())
    }

    fn key_after(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0_u8; self.key_size];
        let mut attribute = empty_attribute();
        attribute.__bindgen_anon_2.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
        attribute.__bindgen_anon_2.key = key.map_or(0, |key| key.as_ptr() as u64);
        attribute.__bindgen_anon_2.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
        // SAFETY: both keys are of the size that the kernel gave for this map.
        match unsafe { bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attribute) } {
            Ok(_) => Ok(Some(next)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
