//! A Cilium node of our own making: maps of Cilium's layouts in the real kernel, pinned in a folder of the test's.

mod kernel;
mod rig;

pub use rig::{Frontend, Rig};
