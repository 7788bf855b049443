//! Hosts in network namespaces, the links between them, and bounded, checked traffic from one to another.

mod error;
mod link;
mod namespace;
mod netlink;
mod offload;
mod route;
mod sysctl;

pub use error::LabError;
pub use link::{End, Interface, MacAddress};
pub use namespace::Namespace;
pub use offload::Offload;
pub use route::Route;
