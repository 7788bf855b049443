//! The bpf(2) calls that aya does not make: batches, maps opened read-only, mappings, and links.

#![expect(unsafe_code, reason = "bpf(2) and mmap(2) take addresses; nothing outside this module does")]

mod foreign;
mod grace;
mod info;
mod link;
mod map;
mod rows;
mod syscall;

pub(crate) use foreign::ForeignMap;
pub(crate) use grace::wait_for_readers;
pub(crate) use info::{locked_bytes, pinned_program, program_by_id, program_name};
pub(crate) use link::{LinkHook, create_link, link_info, replace_under_link, tcx_programs, update_link};
pub(crate) use map::{Access, KernelMap, MapKind, map_among, possible_processors, shape_of_pin};
pub(crate) use rows::{MappedRows, Rows};
