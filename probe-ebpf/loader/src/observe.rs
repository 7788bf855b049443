//! Hits per slot on a Cilium node: a program of our own looks at each packet before Cilium does, computes the slot that
//! Cilium will look into, counts, and passes the packet on as it came.
//!
//! Nothing of Cilium's is touched: what its maps say comes in by [`Observer::follow`], and is kept in maps of the
//! observer's own. Nothing is pinned: links and maps go with the process, however it ends.
//!
//! Where Cilium holds the XDP hook itself (`loadBalancer.acceleration`), packets are balanced before anybody else sees
//! them: such an interface is refused, with the reason.

mod counters;
mod error;
mod hits;
mod interfaces;
mod observer;
mod place;
mod room;
mod wanted;

pub use error::ObserveError;
pub use hits::{BackendHits, FrontendHits, Hits};
pub use interfaces::{Chosen, choose};
pub use maglev_probe_abi::ObserverVerdict;
pub use observer::{Observer, ObserverTerms};
pub use place::{Hook, HookChoice, Placement, Refusal};
