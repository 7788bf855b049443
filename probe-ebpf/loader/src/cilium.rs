//! A Cilium node's maps, read and never written: every one is opened with `BPF_F_RDONLY`.

mod error;
mod layout;
mod read;

pub use error::CiliumError;
pub use read::{InnerReading, MapReading, Reading, is_node, read};

/// Where Cilium pins its maps.
pub const DEFAULT_PINS: &str = "/sys/fs/bpf/tc/globals";
