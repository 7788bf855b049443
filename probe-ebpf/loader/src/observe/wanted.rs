//! What of a node is to be known in the kernel.

use std::{collections::BTreeMap, net::SocketAddr};

use maglev_core::cilium::{Frontend, FrontendFlags, Node, Reason};
use maglev_probe_abi::{AFFINITY_NONE, AFFINITY_SOURCE, ObserverVerdict, ServiceKey};

use crate::record;

/// What finds a frontend: it is in order, for whoever reads.
pub(super) type FrontendAt = (SocketAddr, u8);

/// A frontend as it is to be known.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: u16,
    /// The backend's id in each slot; empty where its packets are not to be counted by slot.
    pub(super) owners: Vec<u32>,
    /// What its packets are where they are not.
    pub(super) verdict: ObserverVerdict,
    pub(super) affinity: u8,
}

/// The frontends that packets from outside may be for: those of the external scope. Slots are counted of those that
/// are to be watched and have a table that Cilium looks at.
pub(super) fn wanted(
    node: &Node,
    mut is_watched: impl FnMut(&Frontend) -> bool,
) -> BTreeMap<FrontendAt, Wanted> {
    node.frontends
        .iter()
        .filter(|frontend| !frontend.internal)
        .map(|frontend| {
            let verdict = match frontend.explain().reason {
                _ if !is_watched(frontend) => ObserverVerdict::NotWatched,
                None => ObserverVerdict::Counted,
                Some(Reason::L7Redirect) => ObserverVerdict::Redirected,
                Some(Reason::NoBackends) => ObserverVerdict::NoBackends,
                Some(_) => ObserverVerdict::NoTable,
            };
            let table = frontend.table.as_ref().filter(|_| verdict == ObserverVerdict::Counted);
            let owners = table.map_or_else(Vec::new, |table| table.slots.clone());
            let verdict = match verdict {
                // A table without slots, which is none.
                ObserverVerdict::Counted if owners.is_empty() => ObserverVerdict::NoTable,
                // Where there turns out to be no room.
                ObserverVerdict::Counted => ObserverVerdict::NotWatched,
                verdict => verdict,
            };
            let has_affinity = frontend.flags.has(FrontendFlags::AFFINITY);
            let affinity = if has_affinity { AFFINITY_SOURCE } else { AFFINITY_NONE };
            ((frontend.address, frontend.protocol), Wanted { id: frontend.id, owners, verdict, affinity })
        })
        .collect()
}

/// The key of a frontend in the kernel.
pub(super) fn key((address, protocol): FrontendAt) -> ServiceKey {
    ServiceKey {
        address: record::octets(address.ip()),
        port: address.port().to_be(),
        protocol,
        family: record::family(address.ip()),
    }
}
