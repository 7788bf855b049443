//! A Cilium node's load balancing: what its maps hold, why a service has a table or none, and whether a table is right.
//!
//! Layouts and rules are those of Cilium 1.17 (`bpf/lib/lb.h`, `pkg/maps/lbmap`, `pkg/service`), and of newer versions
//! where they differ.

mod explain;
mod facts;
mod node;
mod verify;
mod wire;

pub use explain::{Explanation, Reason, TablePresence};
pub use facts::{Counted, NodeFacts, ServiceFacts, TableFacts};
pub use node::{Frontend, FrontendKind, InnerTable, Member, Node, Snapshot, TableView};
pub use verify::{DifferingSlot, HashText, Verdict, Verification, WeightFit, recognises, table_of, verify};
pub use wire::{
    Algorithm, BackendRecord, BackendState, Family, FrontendFlags, ServiceKey, ServiceValue,
    reverse_nat_value,
};
