//! A pinned map, typed.

use std::{
    io,
    marker::PhantomData,
    mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_info, bpf_map_type};
use bytemuck::Pod;

use super::syscall::{bpf, empty_attribute, object_info, open_pin, owned};
use crate::{error::MapError, shape::MapShape};

/// Opens a map so that nothing can be written through the descriptor.
pub(super) const BPF_F_RDONLY: u32 = 1 << 3;

/// How a map is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is read, and nothing can write through it.
    Read,
    /// It is read and written.
    Write,
}

/// The kinds of maps that there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerProcessorArray,
    /// `BPF_MAP_TYPE_PROG_ARRAY`: descriptors of programs are written, their ids read.
    Programs,
}

impl MapKind {
    const fn number(self) -> u32 {
        match self {
            Self::Hash => bpf_map_type::BPF_MAP_TYPE_HASH as u32,
            Self::Array => bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
            Self::PerProcessorArray => bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
            Self::Programs => bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY as u32,
        }
    }
}

/// A map whose keys are `K` and whose values are `V`, checked when it was opened.
#[derive(Debug)]
pub(crate) struct KernelMap<K, V> {
    descriptor: OwnedFd,
    path: PathBuf,
    entries: u32,
    kind: MapKind,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod + Eq, V: Pod> KernelMap<K, V> {
    /// Opens the map pinned at `path`.
    pub(crate) fn open(path: &Path, kind: MapKind, access: Access) -> Result<Self, MapError> {
        let flags = if access == Access::Read { BPF_F_RDONLY } else { 0 };
        let descriptor = open_pin(path, flags).map_err(|error| MapError::new("open", path, error))?;
        Self::of_descriptor(descriptor, path, kind)
    }

    /// The map behind a descriptor; `path` is its name in errors.
    pub(crate) fn of_descriptor(descriptor: OwnedFd, path: &Path, kind: MapKind) -> Result<Self, MapError> {
        let failed = |error| MapError::new("open", path, error);
        let info = map_info(descriptor.as_fd()).map_err(failed)?;
        let (key, value) = (size_of::<K>(), size_of::<V>());
        let expected = MapShape { kind: kind.number(), key, value, entries: None, flags: None };
        let found = shape(&info);
        if !found.fits(&expected) {
            return Err(MapError::Shape { path: path.to_owned(), found, expected });
        }
        Ok(Self { descriptor, path: path.to_owned(), entries: info.max_entries, kind, types: PhantomData })
    }

    /// The kernel's number for the map: two descriptors of one number are of one map.
    pub(crate) fn id(&self) -> Result<u32, MapError> {
        map_info(self.as_fd()).map(|info| info.id).map_err(|error| self.failed("look at", error))
    }

    /// Where it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many entries there is room for.
    pub(crate) const fn capacity(&self) -> u32 {
        self.entries
    }

    /// The value at `key`.
    pub(crate) fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        let mut value = V::zeroed();
        match self.element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, key, (&raw mut value).cast(), 0) {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// Writes `value` at `key`.
    pub(crate) fn set(&self, key: &K, value: &V) -> Result<(), MapError> {
        let mut value = *value;
        self.element(bpf_cmd::BPF_MAP_UPDATE_ELEM, key, (&raw mut value).cast(), 0)
            .map_err(|error| self.not_written(error))
    }

    /// Removes `key`; it is no error that it is not there.
    pub(crate) fn remove(&self, key: &K) -> Result<(), MapError> {
        match self.element(bpf_cmd::BPF_MAP_DELETE_ELEM, key, std::ptr::null_mut(), 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                Err(self.failed("remove from", error))
            }
            _ => Ok(()),
        }
    }

    /// Everything in it.
    pub(crate) fn all(&self) -> Result<Vec<(K, V)>, MapError> {
        let (keys, values) = self.batch(self.entries, size_of::<V>())?;
        let values = values.chunks_exact(size_of::<V>()).map(bytemuck::pod_read_unaligned);
        Ok(keys.into_iter().zip(values).collect())
    }

    /// The first `count` entries of an array, with the value that each processor has.
    pub(crate) fn first_per_processor(&self, count: u32) -> Result<Vec<(K, Vec<V>)>, MapError> {
        let stride = size_of::<V>().next_multiple_of(8);
        let processors = possible_processors()?;
        let (keys, values) = self.batch(count, stride * processors)?;
        Ok(keys
            .into_iter()
            .zip(values.chunks_exact(stride * processors))
            .map(|(key, values)| {
                let values = values.chunks_exact(stride);
                (key, values.map(|value| bytemuck::pod_read_unaligned(&value[..size_of::<V>()])).collect())
            })
            .collect())
    }

    /// Writes `value` at `key` for every processor.
    pub(crate) fn set_on_all_processors(&self, key: &K, value: &V) -> Result<(), MapError> {
        self.set_per_processor(key, &vec![*value; possible_processors()?])
    }

    /// Writes at `key` what each processor is to have, one after the other.
    pub(crate) fn set_per_processor(&self, key: &K, values: &[V]) -> Result<(), MapError> {
        let stride = size_of::<V>().next_multiple_of(8);
        let mut all = vec![0_u8; stride * possible_processors()?];
        for (bytes, value) in all.chunks_exact_mut(stride).zip(values) {
            bytes[..size_of::<V>()].copy_from_slice(bytemuck::bytes_of(value));
        }
        self.element(bpf_cmd::BPF_MAP_UPDATE_ELEM, key, all.as_mut_ptr(), 0)
            .map_err(|error| self.not_written(error))
    }

    fn element(&self, command: bpf_cmd, key: &K, value: *mut u8, flags: u64) -> io::Result<()> {
        let mut attribute = empty_attribute();
        attribute.__bindgen_anon_2.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
        attribute.__bindgen_anon_2.key = &raw const *key as u64;
        attribute.__bindgen_anon_2.__bindgen_anon_1.value = value as u64;
        attribute.__bindgen_anon_2.flags = flags;
        // SAFETY: key and value are of the sizes that were compared with the map's when it was opened; for a map per
        // processor the callers make room for all of them.
        unsafe { bpf(command, &mut attribute) }.map(drop)
    }

    /// Up to `count` keys, and their values one after the other.
    fn batch(&self, count: u32, value_size: usize) -> Result<(Vec<K>, Vec<u8>), MapError> {
        // A hash map hands out whole buckets: only room for all that there may be is room enough.
        let room = count.min(self.entries) as usize;
        let (mut keys, mut values) = (vec![K::zeroed(); room], vec![0_u8; room * value_size]);
        let (mut filled, mut position, mut resumed) = (0_usize, 0_u64, false);
        loop {
            let mut attribute = empty_attribute();
            attribute.batch.in_batch = if resumed { &raw const position as u64 } else { 0 };
            attribute.batch.out_batch = &raw mut position as u64;
            attribute.batch.keys = keys[filled..].as_mut_ptr() as u64;
            attribute.batch.values = values[filled * value_size..].as_mut_ptr() as u64;
            attribute.batch.count = u32::try_from(room - filled).unwrap_or(u32::MAX);
            attribute.batch.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
            // SAFETY: keys and values have room for `count` entries, and `position` for either kind of position: a
            // hash map's is four bytes, an array's is its key.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attribute) };
            let count = batch_count(&attribute) as usize;
            match result {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    filled += count;
                    break;
                }
                Err(error) => return Err(self.failed("read", error)),
                Ok(_) => filled += count,
            }
            if filled >= room || count == 0 {
                break;
            }
            resumed = true;
        }
        keys.truncate(filled);
        values.truncate(filled * value_size);
        Ok((keys, values))
    }

    /// Why an entry was not written: a hash map that is full says E2BIG, one that allocates as it fills ENOSPC.
    fn not_written(&self, error: io::Error) -> MapError {
        match error.raw_os_error() {
            Some(libc::E2BIG | libc::ENOSPC) => {
                MapError::Full { path: self.path.clone(), entries: self.entries, error }
            }
            _ => self.failed("write", error),
        }
    }

    pub(super) fn failed(&self, attempted: &'static str, error: io::Error) -> MapError {
        MapError::new(attempted, &self.path, error)
    }

    pub(super) const fn kind(&self) -> MapKind {
        self.kind
    }
}

impl<K, V> AsFd for KernelMap<K, V> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The shape of the map pinned at `path`.
pub(crate) fn shape_of_pin(path: &Path) -> Result<MapShape, MapError> {
    let failed = |error| MapError::new("look at", path, error);
    let descriptor = open_pin(path, BPF_F_RDONLY).map_err(failed)?;
    map_info(descriptor.as_fd()).map(|info| shape(&info)).map_err(failed)
}

const fn shape(info: &bpf_map_info) -> MapShape {
    MapShape {
        kind: info.type_,
        key: info.key_size as usize,
        value: info.value_size as usize,
        entries: Some(info.max_entries),
        flags: Some(info.map_flags),
    }
}

fn map_info(descriptor: BorrowedFd<'_>) -> io::Result<bpf_map_info> {
    // SAFETY: the record is made of integers alone, for which zero is a value.
    let mut info: bpf_map_info = unsafe { mem::zeroed() };
    // SAFETY: a map's descriptor is described by bpf_map_info.
    unsafe { object_info(descriptor, &mut info) }?;
    Ok(info)
}

/// How many entries a batch call handled.
pub(super) fn batch_count(attribute: &bpf_attr) -> u32 {
    // SAFETY: the attribute was made for a batch call, and every member of the union is made of integers.
    unsafe { attribute.batch.count }
}

/// The map of that name among those that a program has, given by their ids.
pub(crate) fn map_among(ids: &[u32], name: &str) -> io::Result<Option<OwnedFd>> {
    for &id in ids {
        let mut attribute = empty_attribute();
        attribute.__bindgen_anon_6.__bindgen_anon_1.map_id = id;
        // SAFETY: the attribute holds an id and no address.
        let map = unsafe { bpf(bpf_cmd::BPF_MAP_GET_FD_BY_ID, &mut attribute) }.map(owned)?;
        let found = map_info(map.as_fd())?.name;
        let found = found.iter().take_while(|&&byte| byte != 0).map(|&byte| byte.cast_unsigned());
        if found.eq(name.bytes()) {
            return Ok(Some(map));
        }
    }
    Ok(None)
}

/// How many processors a map per processor has values for.
pub(crate) fn possible_processors() -> Result<usize, MapError> {
    static COUNT: OnceLock<usize> = OnceLock::new();
    if let Some(&count) = COUNT.get() {
        return Ok(count);
    }
    let count = aya::util::nr_cpus()
        .map_err(|(path, error)| MapError::new("count the processors in", Path::new(path), error))?;
    Ok(*COUNT.get_or_init(|| count))
}
