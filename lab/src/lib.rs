//! Hosts in network namespaces, the links between them, and bounded, checked traffic from one to another.
//!
//! Nothing here outlives the process: namespaces are held by file descriptor, and links go with them.
//!
//! ```no_run
//! # use std::net::{IpAddr, SocketAddr};
//! use maglev_lab::{Load, TcpLoad, Topology, Traffic};
//!
//! let service = IpAddr::from([192, 0, 2, 10]);
//! let topology = Topology::builder().service_addresses([service]).build()?;
//! let servers = topology.start_servers(&[80], &[])?;
//! // Here a balancer would be attached to `topology.client_side()`. A plain route does too:
//! topology.route_to_backend(service, &topology.backends()[0])?;
//! let tcp = TcpLoad { targets: vec![SocketAddr::new(service, 80)], ..TcpLoad::default() };
//! let sources = topology.client().addresses().to_vec();
//! let traffic = Traffic::start(topology.client().namespace(), Load { sources, tcp, ..Load::default() })?;
//! std::thread::sleep(std::time::Duration::from_secs(5));
//! assert_eq!(traffic.stop().broken.total(), 0);
//! # Ok::<(), maglev_lab::LabError>(())
//! ```

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
