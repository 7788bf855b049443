//! What the maps say together: frontends, their backends, their tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::wire::{Algorithm, BackendRecord, BackendState, Family, FrontendFlags, ServiceKey, ServiceValue};
use crate::{
    flow::{hash_v4, hash_v6},
    seed::HashSeed,
    words::words,
};

/// What was read from the maps, entry by entry.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The services maps.
    pub services: Vec<(ServiceKey, ServiceValue)>,
    /// The backends maps, by id.
    pub backends: BTreeMap<u32, BackendRecord>,
    /// The reverse NAT maps.
    pub reverse_nat: BTreeMap<(Family, u16), SocketAddr>,
    /// The Maglev maps, by the id of the service.
    pub tables: BTreeMap<(Family, u16), InnerTable>,
    /// The families that have a Maglev map.
    pub maglev: BTreeSet<Family>,
}

/// A lookup table of Cilium's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerTable {
    /// The id of the inner map: another one means that the table was built anew.
    pub map: u32,
    /// The backend's id in each slot.
    pub slots: Vec<u32>,
    /// The memory that the inner map takes, in bytes.
    pub bytes: u64,
}

/// A Cilium node's load balancing.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Every frontend, by address, protocol and scope.
    pub frontends: Vec<Frontend>,
    /// Tables whose service is gone.
    pub orphans: BTreeMap<(Family, u16), InnerTable>,
    backends: BTreeMap<u32, BackendRecord>,
}

/// One address, port, protocol and scope that clients may send to. A Kubernetes service has several.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// Its id, on this node alone.
    pub id: u16,
    /// Address and port.
    pub address: SocketAddr,
    /// The IP protocol; 0 for any.
    pub protocol: u8,
    /// Whether it is the scope of clients in the cluster.
    pub internal: bool,
    /// Its type.
    pub kind: FrontendKind,
    /// Its flags.
    pub flags: FrontendFlags,
    /// The algorithm asked for by annotation.
    pub algorithm: Option<Algorithm>,
    /// The port of Envoy's listener that it is redirected to.
    pub proxy_port: Option<u16>,
    /// The backends that get new flows.
    pub usable: Vec<Member>,
    /// Those that only keep the flows that they have.
    pub unusable: Vec<Member>,
    /// Where reverse NAT says that the service is, if that is elsewhere.
    pub reverse_nat: Option<SocketAddr>,
    /// Its table.
    pub table: Option<InnerTable>,
    /// Whether its family has a Maglev map.
    pub maglev: bool,
}

/// The type of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendKind {
    /// `externalIPs`.
    ExternalIps,
    /// A node port.
    NodePort,
    /// A load balancer's address.
    LoadBalancer,
    /// A pod's host port.
    HostPort,
    /// A local redirect policy.
    LocalRedirect,
    /// None of them.
    ClusterIp,
}

words! {
    FrontendKind {
        ExternalIps => "ExternalIPs", NodePort => "NodePort", LoadBalancer => "LoadBalancer", HostPort => "HostPort",
        LocalRedirect => "LocalRedirect", ClusterIp => "ClusterIP",
    }
}

/// A backend of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id, on this node alone.
    pub id: u32,
    /// What the backends map says of it; `None` where it is not there.
    pub record: Option<BackendRecord>,
    /// Its state as this frontend has it.
    pub state: BackendState,
}

/// A table with its owners.
#[derive(Clone, Debug)]
pub struct TableView {
    /// The owners, and how many slots each has: the usable backends first, then whoever else is in the table.
    pub owners: Vec<(Member, u32)>,
    /// Each slot an index into `owners`.
    pub slots: Vec<u32>,
}

impl FrontendKind {
    /// The type that the flags say; Cilium's order of precedence.
    #[must_use]
    pub fn of(flags: FrontendFlags) -> Self {
        [
            (FrontendFlags::EXTERNAL_IPS, Self::ExternalIps),
            (FrontendFlags::NODE_PORT, Self::NodePort),
            (FrontendFlags::LOAD_BALANCER, Self::LoadBalancer),
            (FrontendFlags::HOST_PORT, Self::HostPort),
            (FrontendFlags::LOCAL_REDIRECT, Self::LocalRedirect),
        ]
        .into_iter()
        .find(|(flag, _)| flags.has(*flag))
        .map_or(Self::ClusterIp, |(_, kind)| kind)
    }
}

impl Member {
    /// Address and port, or that there is none of that id.
    #[must_use]
    pub fn address(&self) -> String {
        self.record
            .map_or_else(|| format!("backend {} not found", self.id), |record| record.address.to_string())
    }
}

impl Node {
    /// Puts together what was read.
    #[must_use]
    pub fn of(mut snapshot: Snapshot) -> Self {
        let is_drop = |(key, value): &(ServiceKey, ServiceValue)| key.is_wildcard_drop(value);
        let entries: BTreeMap<_, ServiceValue> = snapshot
            .services
            .iter()
            .filter(|entry| !is_drop(entry))
            .map(|(key, value)| ((key.address, key.protocol, key.internal, key.slot), *value))
            .collect();
        let backends = snapshot.backends;
        let mut frontends = Vec::new();
        for (&(address, protocol, internal, slot), master) in &entries {
            if slot != 0 {
                continue;
            }
            let members = |first: u16, count: u16| -> Vec<Member> {
                (first..first.saturating_add(count))
                    .filter_map(|slot| entries.get(&(address, protocol, internal, slot)))
                    .map(|entry| member(&backends, entry))
                    .collect()
            };
            let family = Family::of(address.ip());
            frontends.push(Frontend {
                id: master.id,
                address,
                protocol,
                internal,
                kind: FrontendKind::of(master.flags),
                flags: master.flags,
                algorithm: master.algorithm(),
                proxy_port: master.proxy_port(),
                usable: members(1, master.count),
                unusable: members(master.count.saturating_add(1), master.unusable),
                reverse_nat: snapshot
                    .reverse_nat
                    .get(&(family, master.id))
                    .copied()
                    .filter(|&at| at != address),
                table: snapshot.tables.remove(&(family, master.id)),
                maglev: snapshot.maglev.contains(&family),
            });
        }
        Self { frontends, orphans: snapshot.tables, backends }
    }

    /// The frontend's table with its owners; `None` where it has none.
    #[must_use]
    pub fn table(&self, frontend: &Frontend) -> Option<TableView> {
        let table = frontend.table.as_ref()?;
        let mut owners: Vec<(Member, u32)> = frontend.usable.iter().map(|&member| (member, 0)).collect();
        let mut index: BTreeMap<u32, u32> =
            owners.iter().zip(0..).map(|((member, _), at)| (member.id, at)).collect();
        let slots = table
            .slots
            .iter()
            .map(|&id| {
                let at = *index.entry(id).or_insert_with(|| {
                    let known = frontend.unusable.iter().find(|member| member.id == id).copied();
                    owners.push((known.unwrap_or_else(|| self.stranger(id)), 0));
                    u32::try_from(owners.len() - 1).unwrap_or(u32::MAX)
                });
                owners[at as usize].1 += 1;
                at
            })
            .collect();
        Some(TableView { owners, slots })
    }

    fn stranger(&self, id: u32) -> Member {
        let record = self.backends.get(&id).copied();
        Member { id, record, state: record.map_or(BackendState::Unknown, |record| record.state) }
    }
}

impl Frontend {
    /// The protocol's name.
    #[must_use]
    pub const fn protocol_name(&self) -> &'static str {
        match self.protocol {
            6 => "tcp",
            17 => "udp",
            132 => "sctp",
            _ => "any",
        }
    }

    /// The hash of a client's flow, as Cilium ≥ 1.17 computes it; with `older_order`, as Cilium before did: the ports
    /// exchanged, and affinity not heeded.
    #[must_use]
    pub fn flow_hash(&self, seed: &HashSeed, client: SocketAddr, older_order: bool) -> u32 {
        let (first, second) = if older_order {
            (self.address.port(), client.port())
        } else if self.flags.has(FrontendFlags::AFFINITY) {
            (0, self.address.port())
        } else {
            (client.port(), self.address.port())
        };
        // What is hashed is the packet's protocol; most that meet an entry for any are of TCP.
        let protocol = if self.protocol == 0 { 6 } else { self.protocol };
        match client {
            SocketAddr::V4(client) => hash_v4(client.ip().octets(), first, second, protocol, seed.jhash_v4()),
            SocketAddr::V6(client) => hash_v6(client.ip().octets(), first, second, protocol, seed.jhash_v6()),
        }
    }
}

fn member(backends: &BTreeMap<u32, BackendRecord>, entry: &ServiceValue) -> Member {
    let record = backends.get(&entry.word).copied();
    let state = match record.map(|record| record.state) {
        // Newer versions say it in the slot alone where a health check of their own fails.
        Some(BackendState::Active) if entry.flags.has(FrontendFlags::QUARANTINED) => {
            BackendState::Quarantined
        }
        Some(state) => state,
        None => BackendState::Unknown,
    };
    Member { id: entry.word, record, state }
}
