//! The Maglev datapath from user space: load, attach, pin, adopt, read and change it.
//!
//! The datapath lives in the kernel, pinned under `/sys/fs/bpf/maglev-top/`, and outlives whoever started it; the
//! kernel's maps are the truth. [`up()`] brings one up, [`Datapath::open`] adopts one that is running, [`down`] ends it.

mod actor;
mod apply;
mod attach;
mod bpffs;
pub mod cilium;
mod clock;
mod datapath;
mod decap;
mod error;
mod instance;
mod kernel;
mod maps;
mod network;
mod object;
mod record;
mod sample;
mod settle;
mod state;
mod up;
mod writer;

pub use apply::{ApplyPlan, ApplyTerms, Kept, Step, StepAction};
pub use bpffs::ensure_mounted;
pub use datapath::{Changed, Datapath, Look, Placement, Request};
pub use decap::Decapsulation;
pub use error::{DatapathError, MapError};
pub use instance::Instance;
pub use network::{Interface, XdpHolder};
pub use up::{Started, down, up};
