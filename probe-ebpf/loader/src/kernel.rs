//! The bpf(2) calls that aya does not make: batches, maps opened read-only, mappings, and what a link is attached to.

#![expect(unsafe_code, reason = "bpf(2) and mmap(2) take addresses; nothing outside this module does")]

mod foreign;
mod grace;
mod info;
mod map;
mod rows;
mod syscall;

pub(crate) use foreign::ForeignMap;
pub(crate) use grace::wait_for_readers;
pub(crate) use info::{link_interface, locked_bytes, program_name};
pub(crate) use map::{Access, KernelMap, MapKind, possible_processors};
pub(crate) use rows::{MappedRows, Rows};
