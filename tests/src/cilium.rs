//! A Cilium node of our own making: maps of Cilium's layouts in the real kernel, pinned in a folder of the test's.

mod kernel;
mod rig;
mod story;

pub use rig::{Frontend, Rig, Table};
pub use story::{story, table_of};
