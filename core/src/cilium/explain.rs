//! Why a frontend has a table or has none, and what that means for where its traffic goes.

use super::{
    node::{Frontend, FrontendKind},
    wire::{Algorithm, FrontendFlags},
};
use crate::words::words;

/// Whether a frontend has a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePresence {
    /// It has one, and Cilium looks at it.
    Present,
    /// It has none.
    Absent,
    /// It has one that nothing looks at.
    Stale,
}

/// Why nothing looks at a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its packets go to the node's Envoy.
    L7Redirect,
    /// No backend is usable.
    NoBackends,
    /// The socket load balancer handles it.
    ClusterIp,
    /// It is the entry for every address of the node.
    Wildcard,
    /// A policy redirects it to a pod on this node.
    LocalRedirect,
    /// Random is the algorithm, by annotation or on the whole node.
    Random,
    /// None of them.
    Unknown,
}

words! {
    TablePresence { Present => "present", Absent => "absent", Stale => "stale" }
    Reason {
        L7Redirect => "l7-redirect", NoBackends => "no-backends", ClusterIp => "cluster-ip", Wildcard => "wildcard",
        LocalRedirect => "local-redirect", Random => "random", Unknown => "unknown",
    }
}

/// What is to be said of a frontend's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether there is one.
    pub table: TablePresence,
    /// Why nothing looks at one; `None` where one is looked at.
    pub reason: Option<Reason>,
}

impl Frontend {
    /// Why it has a table or has none (`useMaglev` in `pkg/service/service.go`, and what `bpf/lib/lb.h` does before it
    /// looks at a table).
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let idle = self.why_never_looked_at();
        match (&self.table, idle) {
            (Some(_), None) => Explanation { table: TablePresence::Present, reason: None },
            (Some(_), Some(reason)) => Explanation { table: TablePresence::Stale, reason: Some(reason) },
            (None, reason) => Explanation {
                table: TablePresence::Absent,
                reason: Some(reason.unwrap_or_else(|| self.why_not_built())),
            },
        }
    }

    /// Why a table would not be looked at, even if there is one. The count of usable backends is what the datapath
    /// goes by: some versions leave the table of a service that has lost its last one.
    fn why_never_looked_at(&self) -> Option<Reason> {
        if self.flags.has(FrontendFlags::L7) {
            Some(Reason::L7Redirect)
        } else if self.usable.is_empty() {
            Some(Reason::NoBackends)
        } else if self.algorithm == Some(Algorithm::Random) {
            Some(Reason::Random)
        } else {
            None
        }
    }

    fn why_not_built(&self) -> Reason {
        if !self.maglev {
            Reason::Random
        } else if self.flags.has(FrontendFlags::LOCAL_REDIRECT) {
            Reason::LocalRedirect
        } else if self.address.ip().is_unspecified() {
            Reason::Wildcard
        } else if self.kind == FrontendKind::ClusterIp {
            Reason::ClusterIp
        } else {
            Reason::Unknown
        }
    }

    /// The explanation in a few sentences, and what it means for where traffic goes.
    #[must_use]
    pub fn story(&self) -> String {
        let Explanation { table, reason } = self.explain();
        let text = match reason {
            None => self.story_of_a_table(),
            Some(Reason::L7Redirect) => {
                let port = self.proxy_port.map_or_else(String::new, |port| format!(" on port {port}"));
                format!(
                    "L7 redirect: its packets go to this node's Envoy{port} before any backend is chosen, and Envoy picks the pod by its own policy. A Gateway's or an Ingress's service has no backends of its own in Cilium, so there is nothing to build a table from: this is by design, and Maglev plays no part."
                )
            }
            Some(Reason::NoBackends) => {
                let left = match self.unusable.len() {
                    0 => String::new(),
                    count => format!(" ({count} terminating, quarantined or in maintenance keep the connections they have)"),
                };
                format!(
                    "No usable backends{left}: new connections are dropped or refused. Look at the pods and the selector; with a traffic policy of Local, whether any pod is on this node."
                )
            }
            Some(Reason::ClusterIp) => "ClusterIP: the socket load balancer picks a backend at random when a client on this node connects, before there is a packet. Cilium builds no table for it unless bpf.lbExternalClusterIP is on.".to_owned(),
            Some(Reason::Wildcard) => "The entry for every address of the node (0.0.0.0 or ::): used by the socket load balancer alone. Packets from outside meet the entries of the node's own addresses, each with a table of its own.".to_owned(),
            Some(Reason::LocalRedirect) => "Local redirect: a CiliumLocalRedirectPolicy sends it to a pod on this node; there is nothing to balance with a table.".to_owned(),
            Some(Reason::Random) if self.algorithm == Some(Algorithm::Random) => "Random, by the annotation service.cilium.io/lb-algorithm: each new connection goes to any usable backend.".to_owned(),
            Some(Reason::Random) => "This node has no Maglev map for the address family: its algorithm is random (loadBalancer.algorithm), and each new connection goes to any usable backend.".to_owned(),
            Some(Reason::Unknown) => "Cilium 1.17 builds a table for such a service, and there is none: the agent may not have come to it yet, may have failed (look for controllers that fail in `cilium status`), or takes Maglev by annotation alone (bpf.lbAlgorithmAnnotation). Without a table packets of new connections are dropped, unless the algorithm is another.".to_owned(),
        };
        if table == TablePresence::Stale {
            format!("{text} The table that is there is stale: nothing looks at it.")
        } else {
            text
        }
    }

    fn story_of_a_table(&self) -> String {
        let mut text = format!(
            "It has a table, since it is a {} with {} usable backend{}: a new connection from outside goes to the owner of its slot.",
            self.kind,
            self.usable.len(),
            if self.usable.len() == 1 { "" } else { "s" }
        );
        if self.flags.has(FrontendFlags::AFFINITY) {
            text.push_str(" Session affinity: the client's port is not hashed, and a client that is remembered goes where it went before, whatever the table says.");
        }
        if self.flags.has(FrontendFlags::EXTERNAL_LOCAL) {
            text.push_str(" Traffic policy Local: the table holds this node's backends alone, and differs from node to node.");
        }
        if !self.unusable.is_empty() {
            text.push_str(" Terminating, quarantined and maintained backends have no slots; they keep the connections they have.");
        }
        text.push_str(" Established connections stay with their backend by the connection table. Clients in pods of this node are balanced at their socket, at random.");
        text
    }
}
