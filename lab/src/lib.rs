//! Hosts in network namespaces, the links between them, and bounded, checked traffic from one to another.
//!
//! Nothing here outlives the process: namespaces are held by file descriptor, and links go with them.

mod connection;
mod descriptors;
mod error;
mod link;
mod namespace;
mod netlink;
mod offload;
mod outcome;
mod route;
mod server;
mod sysctl;
mod topology;
mod traffic;
mod wire;

pub use connection::{Connection, Datagrams, OpenError};
pub use error::LabError;
pub use link::{End, Interface, MacAddress};
pub use namespace::Namespace;
pub use offload::Offload;
pub use outcome::BreakCause;
pub use route::Route;
pub use server::Server;
pub use topology::{Backend, Client, MOST_BACKENDS, MOST_CLIENT_ADDRESSES, Topology, TopologyBuilder};
pub use traffic::{
    BackendReport, BreakCounts, BrokenConnection, Load, Report, TcpLoad, Traffic, UdpLoad, UdpReport,
};
