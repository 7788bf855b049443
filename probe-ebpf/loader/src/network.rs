//! The kernel's network side as far as a datapath needs it: interfaces and who holds their XDP hook, next hops, and
//! the neighbours that keep those resolved.

mod device;
mod filter;
mod generic;
mod interface;
mod namespace;
mod neighbour;
mod netlink;
mod question;
mod way;

pub use device::{Device, XdpFeatures};
pub(crate) use filter::ingress_filters;
pub use interface::{Interface, XdpHolder};
pub(crate) use namespace::current_namespace;
pub use neighbour::{Neighbour, Resolution};
pub(crate) use neighbour::{NextHop, forget_neighbour, keep_neighbour, kept_neighbours, next_hops};
pub use question::Origin;
pub use way::{Hop, Way};
