//! A Cilium node of our own making: maps of Cilium's layouts in the real kernel, pinned in a folder of the test's.

mod clients;
mod kernel;
mod kind;
mod rig;
mod story;
mod watched;

pub use clients::{Clients, segment};
pub use kind::{SERVICES as KIND_SERVICES, kind_node, scale_up};
pub use rig::{Frontend, Rig, Table};
pub use story::{story, table_of};
pub use watched::watch as watch_kind_node;
