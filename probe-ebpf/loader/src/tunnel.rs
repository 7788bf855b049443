//! Health checks on the way of clients' packets: the programs that lead there, and the connections that they lead.

mod attached;
mod connections;

pub use attached::Tunnels;
pub use connections::{Admission, Connections, TunnelTerms};
