//! What a sample holds of a Cilium node beyond what it holds of any source.

use std::collections::BTreeMap;

use super::{
    explain::Explanation,
    node::FrontendKind,
    verify::Verification,
    wire::{BackendState, Family, FrontendFlags},
};
use crate::sample::BackendId;

/// What is known of a service because it is Cilium's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its id on this node.
    pub id: u16,
    /// Its type.
    pub kind: FrontendKind,
    /// Its protocol: Cilium has more than this program's own datapath.
    pub protocol: &'static str,
    /// Its flags.
    pub flags: FrontendFlags,
    /// Whether it is the scope of clients in the cluster.
    pub internal: bool,
    /// The port of Envoy's listener that it is redirected to.
    pub proxy_port: Option<u16>,
    /// Whether it has a table, and why not.
    pub explanation: Explanation,
    /// The same in sentences.
    pub story: String,
    /// Its table.
    pub table: Option<TableFacts>,
    /// What Cilium calls the state of each backend.
    pub states: BTreeMap<BackendId, BackendState>,
    /// What is counted of it.
    pub counted: Counted,
}

/// What is known of a table because it is Cilium's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// The id of the inner map.
    pub map: u32,
    /// The memory that the inner map takes, in bytes.
    pub bytes: u64,
    /// Whether it is the table that its backends and the seed call for; `None` as long as nobody has looked.
    pub verification: Option<Verification>,
    /// Whether the table can be filled anew from what a sample holds: it is verified, and its backends are plain ones of
    /// TCP or UDP in this cluster.
    pub is_reproducible: bool,
}

/// What is counted of a service; other counters of it are zeros that mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Nothing.
    Nothing,
    /// Packets by slot, and new connections.
    HitsAndConnections,
    /// Everything.
    Everything,
}

/// What is known of a whole Cilium node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The memory that all tables take, in bytes.
    pub table_bytes: u64,
    /// Tables whose service is gone: their family and the service's id.
    pub orphans: Vec<(Family, u16)>,
    /// The seed, and how it is known, in words.
    pub seed: String,
    /// Where hits are counted, in words; empty where nothing is.
    pub counted: String,
    /// What is not counted and why, in words; empty where all is.
    pub not_counted: String,
}
