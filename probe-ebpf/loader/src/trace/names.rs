//! Numbers and times of a record, as people know them.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use maglev_core::service::Backend;
use maglev_probe_abi::{TraceRecord, Verdict};
use nix::time::{ClockId, clock_gettime};

use crate::{datapath::Datapath, error::DatapathError, network::Interface, record, state::State};

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedPacket {
    /// When it came.
    pub at: SystemTime,
    /// The interface that it came in by.
    pub interface: String,
    /// The client; its port is 0 where the packet has none. Of an ICMP error, whom the packet was for that is quoted.
    pub client: SocketAddr,
    /// Where it was sent to. Of an ICMP error, whom the packet was from that is quoted.
    pub destination: SocketAddr,
    /// The number of its protocol in the IP header.
    pub protocol: u8,
    /// The flags of its TCP header.
    pub flags: u8,
    /// The type of its ICMP header.
    pub icmp_type: u8,
    /// Its length from the IP header on.
    pub length: u32,
    /// How many VLAN tags it came with.
    pub tags: u8,
    /// The service that it is for.
    pub service: Option<String>,
    /// Its slot, and the hash that it has it by; `None` where it is for no service.
    pub slot: Option<(u32, u32)>,
    /// The name of the slot's owner.
    pub owner: Option<String>,
    /// The name of the slot's previous owner, while it settles.
    pub previous: Option<String>,
    /// The name of the backend that the flow was remembered to be at.
    pub remembered: Option<String>,
    /// The backend that was chosen.
    pub backend: Option<TracedBackend>,
    /// Where it was sent next, if it was sent.
    pub next_hop: Option<TracedHop>,
    /// What was done; `None` for what this version does not know.
    pub verdict: Option<Verdict>,
}

impl TracedPacket {
    /// The word for what was done.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.verdict.map_or("unknown", Verdict::word)
    }
}

/// A backend that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedBackend {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
}

/// Where a packet was sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedHop {
    /// The hardware address.
    pub hardware_address: [u8; 6],
    /// The interface.
    pub interface: String,
}

/// The names that numbers stand for, as of a state version.
#[derive(Debug)]
pub(super) struct Names {
    state: State,
    /// Whether interfaces here are those that packets come in by.
    is_at_home: bool,
}

impl Names {
    pub(super) fn read(datapath: &Datapath) -> Result<Self, DatapathError> {
        Ok(Self { state: State::read_settled(datapath.maps())?, is_at_home: datapath.is_at_home()? })
    }

    /// The record in words. A number that is not known is of a change that came meanwhile.
    pub(super) fn resolve(
        &mut self,
        datapath: &Datapath,
        found: &TraceRecord,
    ) -> Result<TracedPacket, DatapathError> {
        if !self.state.still_holds(datapath.maps())? {
            self.state = State::read_settled(datapath.maps())?;
        }
        let socket = |address, port| SocketAddr::new(record::address(address, found.family), port);
        let backend = self.backend(found.backend);
        Ok(TracedPacket {
            at: wall_time(found.at),
            interface: self.interface(found.ingress),
            client: socket(found.client, found.client_port),
            destination: socket(found.service, found.service_port),
            protocol: found.protocol,
            flags: found.flags,
            icmp_type: found.icmp_type,
            length: found.length,
            tags: found.tags,
            service: (found.service_number != 0).then(|| self.service(found.service_number)),
            slot: (found.slot != u32::MAX).then_some((found.slot, found.hash)),
            owner: self.backend(found.owner).map(|backend| backend.name),
            previous: self.backend(found.previous).map(|backend| backend.name),
            remembered: self.backend(found.remembered).map(|backend| backend.name),
            backend: backend.map(|Backend { name, address, .. }| TracedBackend { name, address }),
            next_hop: (found.egress != 0).then(|| TracedHop {
                hardware_address: found.next_hop,
                interface: self.interface(found.egress),
            }),
            verdict: Verdict::ALL.get(found.verdict as usize).copied(),
        })
    }

    fn backend(&self, number: u32) -> Option<Backend> {
        self.state.backends.get(&number).map(record::backend)
    }

    fn service(&self, number: u32) -> String {
        let identity = self.state.services.get(&number).map(|service| &service.identity);
        identity
            .or_else(|| self.state.leaving.get(&number))
            .map_or_else(|| format!("#{number}"), |identity| record::text(&identity.name))
    }

    fn interface(&self, index: u32) -> String {
        let found = if self.is_at_home { Interface::by_index(index).ok() } else { None };
        found.map_or_else(|| format!("#{index}"), |interface| interface.name)
    }
}

/// The time of day that a time since boot was at.
fn wall_time(since_boot: u64) -> SystemTime {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    SystemTime::now() - now.saturating_sub(Duration::from_nanos(since_boot))
}
