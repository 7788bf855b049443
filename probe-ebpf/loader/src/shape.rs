//! What a map is like: what has to be the same before one version reads what another one made.

use std::fmt::{self, Display, Formatter};

use aya_obj::generated::bpf_map_type;

/// The shape of a map, as far as it is known or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// The kernel's number for its type.
    pub kind: u32,
    /// The size of a key, in bytes.
    pub key: usize,
    /// The size of a value, in bytes.
    pub value: usize,
    /// How many entries it has room for; `None` where that may be any number.
    pub entries: Option<u32>,
    /// The flags that it was made with; `None` where they may be any.
    pub flags: Option<u32>,
}

impl MapShape {
    /// Whether a map of this shape is as `wanted` says.
    pub(crate) fn fits(&self, wanted: &Self) -> bool {
        let agrees = |found: Option<u32>, wanted: Option<u32>| wanted.is_none() || found == wanted;
        (self.kind, self.key, self.value) == (wanted.kind, wanted.key, wanted.value)
            && agrees(self.entries, wanted.entries)
            && agrees(self.flags, wanted.flags)
    }
}

impl Display for MapShape {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        const NAMED: [(bpf_map_type, &str); 5] = [
            (bpf_map_type::BPF_MAP_TYPE_HASH, "hash"),
            (bpf_map_type::BPF_MAP_TYPE_ARRAY, "array"),
            (bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY, "per-CPU array"),
            (bpf_map_type::BPF_MAP_TYPE_LRU_HASH, "LRU hash"),
            (bpf_map_type::BPF_MAP_TYPE_RINGBUF, "ring buffer"),
        ];
        match NAMED.iter().find(|(kind, _)| *kind as u32 == self.kind) {
            Some((_, name)) => write!(formatter, "{name}")?,
            None => write!(formatter, "map of type {}", self.kind)?,
        }
        write!(formatter, " with keys of {} and values of {} bytes", self.key, self.value)?;
        if let Some(entries) = self.entries {
            write!(formatter, ", {entries} entries")?;
        }
        match self.flags {
            Some(flags) if flags != 0 => write!(formatter, ", flags {flags:#x}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_may_be_anything() {
        let found = MapShape { kind: 2, key: 4, value: 64, entries: Some(1), flags: Some(1 << 10) };
        assert!(found.fits(&found));
        assert!(found.fits(&MapShape { entries: None, flags: None, ..found }));
        assert!(!found.fits(&MapShape { value: 72, ..found }));
        assert!(!found.fits(&MapShape { entries: Some(2), ..found }));
        assert!(!found.fits(&MapShape { flags: Some(0), ..found }));
        assert_eq!(found.to_string(), "array with keys of 4 and values of 64 bytes, 1 entries, flags 0x400");
    }
}
