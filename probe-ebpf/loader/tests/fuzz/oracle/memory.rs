//! What must be remembered of packets before.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use maglev_probe_abi::{FLOWS_PER_BUCKET, FlowKey};

use super::headers::Packet;
use crate::kernel::OLD_FRAGMENTS;

/// What a fragment has in common with the others of its packet: RFC 791, RFC 8200.
type Common = (IpAddr, IpAddr, u32, Option<u8>);

/// What the first fragment of a packet said, and where it went.
#[derive(Clone, Copy)]
pub(crate) struct First {
    pub(crate) client_port: u16,
    pub(crate) service_port: u16,
    pub(crate) protocol: u8,
    /// `None` where it is gone, or another has its number.
    pub(crate) backend: Option<u32>,
}

/// Nothing in it grows old: the test is over before.
#[derive(Default)]
pub(crate) struct Memory {
    /// By service, client and port.
    tracked: HashMap<Flow, u32>,
    /// By bucket.
    settling: BTreeMap<u32, Vec<(Flow, u32)>>,
    fragments: HashMap<Common, First>,
}

/// A flow: its service, its client, and the port there.
type Flow = (u32, [u8; 16], u16);

fn flow(key: &FlowKey) -> Flow {
    (key.service, key.client, key.client_port)
}

fn common(packet: &Packet) -> Common {
    let protocol = packet.source.is_ipv4().then_some(packet.protocol);
    (packet.source, packet.destination, packet.identification, protocol)
}

impl Memory {
    /// With the first fragments that the kernel is given before every sequence.
    pub(crate) fn with_old_fragments() -> Self {
        let mut memory = Self::default();
        for old in OLD_FRAGMENTS.iter().filter(|old| old.is_young) {
            let common = (
                crate::site::address(old.source),
                crate::site::address(old.destination),
                old.identification.into(),
                Some(old.protocol),
            );
            let first = First {
                client_port: old.client_port,
                service_port: old.service_port,
                protocol: old.protocol,
                backend: old.is_same.then_some(old.backend),
            };
            memory.fragments.insert(common, first);
        }
        memory
    }

    pub(crate) fn first_fragment(&self, packet: &Packet) -> Option<First> {
        self.fragments.get(&common(packet)).copied()
    }

    pub(crate) fn remember_first(
        &mut self,
        packet: &Packet,
        client_port: u16,
        service_port: u16,
        backend: u32,
    ) {
        let first = First { client_port, service_port, protocol: packet.protocol, backend: Some(backend) };
        self.fragments.insert(common(packet), first);
    }

    pub(crate) fn tracked(&self, key: &FlowKey) -> Option<u32> {
        self.tracked.get(&flow(key)).copied()
    }

    pub(crate) fn track(&mut self, key: &FlowKey, backend: u32) {
        self.tracked.insert(flow(key), backend);
    }

    /// The backend that a flow was opened at while its slot settles.
    pub(crate) fn settling(&self, key: &FlowKey, hash: u32) -> Option<u32> {
        let bucket = self.settling.get(&key.bucket(hash))?;
        bucket.iter().find(|(known, _)| *known == flow(key)).map(|(_, backend)| *backend)
    }

    /// Remembers it; `false` where its bucket is full.
    pub(crate) fn remember_settling(&mut self, key: &FlowKey, hash: u32, backend: u32) -> bool {
        let bucket = self.settling.entry(key.bucket(hash)).or_default();
        if let Some(entry) = bucket.iter_mut().find(|(known, _)| *known == flow(key)) {
            entry.1 = backend;
        } else if bucket.len() < FLOWS_PER_BUCKET {
            bucket.push((flow(key), backend));
        } else {
            return false;
        }
        true
    }

    /// The buckets that anything is in.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = u32> {
        self.settling.keys().copied()
    }
}
