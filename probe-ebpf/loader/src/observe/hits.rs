//! What was counted.

use std::{collections::BTreeMap, net::SocketAddr};

use maglev_probe_abi::ObserverVerdict;

/// All that was counted since the observer began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Each frontend that is there, by address and protocol.
    pub frontends: Vec<FrontendHits>,
    /// How many packets there were of each verdict, in the order of the verdicts.
    pub verdicts: Vec<(ObserverVerdict, u64)>,
}

/// What was counted for a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendHits {
    /// Its id, on this node alone.
    pub id: u16,
    /// Its address and port.
    pub address: SocketAddr,
    /// The IP protocol; 0 for any.
    pub protocol: u8,
    /// Whether its packets are counted by slot: it has a table that is looked at, is among those asked for, and there is
    /// room.
    pub is_counted: bool,
    /// Packets by slot, since its table has this size.
    pub hits: Vec<u64>,
    /// Connections begun by slot (TCP: SYN without ACK; none of UDP and SCTP), likewise.
    pub connections: Vec<u64>,
    /// What each backend was due, by id: each packet for the owner that its slot had when the node was last looked at,
    /// whether or not Cilium's connection table or affinity sent it elsewhere.
    pub backends: BTreeMap<u32, BackendHits>,
}

/// What a backend was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendHits {
    /// Packets in slots of its own.
    pub packets: u64,
    /// Connections begun there.
    pub new_connections: u64,
}

impl Hits {
    /// How many packets there were of that verdict.
    #[must_use]
    pub fn of(&self, verdict: ObserverVerdict) -> u64 {
        self.verdicts.iter().find(|(of, _)| *of == verdict).map_or(0, |(_, packets)| *packets)
    }
}

impl FrontendHits {
    /// All of its packets and connections.
    #[must_use]
    pub fn total(&self) -> BackendHits {
        self.backends.values().fold(BackendHits::default(), |sum, hits| BackendHits {
            packets: sum.packets + hits.packets,
            new_connections: sum.new_connections + hits.new_connections,
        })
    }
}
