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
mod health;
mod instance;
mod kernel;
mod load;
mod maps;
mod network;
mod object;
pub mod observe;
mod origin;
mod record;
mod replace;
mod sample;
mod settle;
mod shape;
mod state;
pub mod survey;
pub mod trace;
mod tunnel;
mod up;
mod viewers;
mod watch;
mod writer;

pub use apply::{ApplyPlan, ApplyTerms, Kept, Step, StepAction};
pub use bpffs::ensure_mounted;
pub use datapath::{Changed, Datapath, Look, Placement, Request};
pub use decap::Decapsulation;
pub use error::{DatapathError, MapError};
pub use health::{Checked, Found, Judged};
pub use instance::Instance;
pub use maglev_probe_abi::Verdict;
pub use network::{Interface, XdpHolder};
pub use replace::Replacement;
pub use shape::MapShape;
pub use tunnel::{Admission, Connections, TunnelTerms, Tunnels};
pub use up::{Beginning, Started, down, up, up_with_viewers};
pub use watch::Watch;
