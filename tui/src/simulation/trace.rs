//! Simulated packets of one client: a connection to each service of its family, begun anew now and then.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, SystemTime},
};

use maglev_core::{
    seed::HashSeed,
    service::{Backend, Forwarding, Protocol},
};
use maglev_probe::{
    Verdict,
    trace::{TracedBackend, TracedPacket},
};

use super::balancer::Balancer;
use crate::source::{SourceError, Trace};

/// How often such a connection sends.
const PACE: Duration = Duration::from_millis(400);

/// The flags of the packets of a connection, from its first one on (RFC 9293).
const FLAGS: [u8; 8] = [SYN, ACK, PUSH, ACK, PUSH, ACK, PUSH, 0x11];
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x18;

/// A client whose packets are told.
#[derive(Debug)]
pub(super) struct Traced {
    client: SocketAddr,
    teller: Sender<TracedPacket>,
    /// When it sends again.
    next: Duration,
    /// How many packets it sent to each service.
    sent: usize,
    /// The backend that its connection to a service is at, by the service's name.
    opened_at: BTreeMap<String, u32>,
}

impl Traced {
    /// A client that sends from `now` on, and what is told of it.
    pub(super) fn begin(client: SocketAddr, now: Duration) -> (Self, SimulatedTrace) {
        let (teller, told) = mpsc::channel();
        (Self { client, teller, next: now, sent: 0, opened_at: BTreeMap::new() }, SimulatedTrace { told })
    }

    /// Has it send what is due at `now`, in simulated time; whether anybody still wants to know.
    pub(super) fn advance<'a>(
        &mut self,
        now: Duration,
        started: SystemTime,
        seed: &HashSeed,
        balancers: impl Iterator<Item = &'a mut Balancer>,
    ) -> bool {
        if now < self.next {
            return true;
        }
        self.next = now + PACE;
        let flags = FLAGS[self.sent % FLAGS.len()];
        self.sent += 1;
        let is_ipv4 = self.client.is_ipv4();
        let packets: Vec<TracedPacket> = balancers
            .filter(|balancer| balancer.service().address.is_ipv4() == is_ipv4)
            .map(|balancer| self.packet(balancer, flags, now, started, seed))
            .collect();
        packets.into_iter().all(|packet| self.teller.send(packet).is_ok())
    }

    /// Sends a packet to a service, and tells what became of it.
    fn packet(
        &mut self,
        balancer: &mut Balancer,
        flags: u8,
        now: Duration,
        started: SystemTime,
        seed: &HashSeed,
    ) -> TracedPacket {
        let service = balancer.service();
        let hash = service.flow_hash(seed, self.client);
        let slot = hash % service.table_size;
        let (flags, length) = match (service.protocol, flags) {
            (Protocol::Udp, _) => (0, 61),
            (Protocol::Tcp, SYN) => (flags, 60),
            (Protocol::Tcp, PUSH) => (flags, 412),
            (Protocol::Tcp, _) => (flags, 52),
        };
        let (name, destination, protocol, forwarding) =
            (service.name.clone(), service.address, service.protocol, service.forwarding);
        if flags == SYN {
            self.opened_at.remove(&name);
        }
        let told = balancer.send(slot, self.opened_at.get(&name).copied(), u64::from(length), now);
        self.opened_at.insert(name.clone(), told.id);
        let named = |backend: &Option<Backend>| backend.as_ref().map(|backend| backend.name.clone());
        let verdict = match (&told.backend, forwarding) {
            (_, Forwarding::Observe) => Verdict::Observed,
            (Some(_), _) => Verdict::Redirected,
            (None, _) => Verdict::NoBackend,
        };
        TracedPacket {
            at: started + now,
            interface: "no interface".to_owned(),
            client: self.client,
            destination,
            protocol: protocol.number(),
            flags,
            icmp_type: 0,
            length,
            tags: 0,
            service: Some(name),
            slot: Some((slot, hash)),
            owner: named(&told.owner),
            previous: named(&told.previous),
            remembered: named(&told.remembered),
            backend: told.backend.map(|Backend { name, address, .. }| TracedBackend { name, address }),
            next_hop: None,
            verdict: Some(verdict),
        }
    }
}

/// What is told of a client's packets.
#[derive(Debug)]
pub(super) struct SimulatedTrace {
    told: Receiver<TracedPacket>,
}

impl Trace for SimulatedTrace {
    fn begin(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn next(&mut self, patience: Duration) -> Result<Option<TracedPacket>, SourceError> {
        match self.told.recv_timeout(patience) {
            Ok(packet) => Ok(Some(packet)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(SourceError { message: "the simulation has ended".to_owned(), stale: false })
            }
        }
    }

    fn lost(&self) -> Result<u64, SourceError> {
        Ok(0)
    }
}
