//! What a datapath's working depends on, on this host: facts, for others to judge. Nothing is changed by looking.

mod machine;
mod pins;
mod trial;

pub use machine::{Bpffs, Capabilities, Machine, version_of};
pub use pins::{Phase, PinnedLink, Pins, Traced, pin_of_program};
pub use trial::Trial;

pub use crate::network::{Device, Hop, Neighbour, Origin, Resolution, Way, XdpFeatures};
