//! Generated flows: many clients, a few of which send most of the packets.

use std::time::Duration;

use fastrand::Rng;
use maglev_core::{
    flow::hash_v4,
    service::{Affinity, Protocol, Service},
};

use super::balancer::Balancer;

/// How unequal flows are: 0 is equal, 1 is as words in a language.
const SKEW: f64 = 0.7;
/// Packets a second of all flows of a service together.
const PACKETS: f64 = 40_000.0;
/// How long flows last in the mean, in seconds.
const LIFE: f64 = 12.0;

/// The flows of one service.
#[derive(Debug)]
pub(super) struct Traffic {
    flows: Vec<Flow>,
    addressing: Addressing,
    bytes_a_packet: u64,
}

/// What of a service its flows' hash depends on.
#[derive(Debug)]
struct Addressing {
    port: u16,
    protocol: Protocol,
    affinity: Affinity,
    table_size: u32,
}

#[derive(Debug)]
struct Flow {
    slot: u32,
    processor: usize,
    /// Packets a second.
    rate: f64,
    /// What is left of a packet after whole ones were sent.
    rest: f64,
    /// Seconds.
    left: f64,
    opened_at: Option<u32>,
}

impl Traffic {
    pub(super) fn of_service(service: &Service, random: &mut Rng) -> Self {
        let addressing = Addressing {
            port: service.address.port(),
            protocol: service.protocol,
            affinity: service.affinity,
            table_size: service.table_size,
        };
        let count = (service.table_size as usize * 2).clamp(2_000, 40_000);
        let weights: Vec<f64> = (1_u32..).take(count).map(|rank| f64::from(rank + 20).powf(-SKEW)).collect();
        let sum: f64 = weights.iter().sum();
        let volume = match service.protocol {
            Protocol::Tcp => PACKETS,
            Protocol::Udp => PACKETS / 5.0,
        };
        let flows = weights
            .iter()
            .map(|weight| {
                let mut flow = addressing.open(volume * weight / sum, random);
                flow.left = LIFE * random.f64();
                flow
            })
            .collect();
        let bytes_a_packet = if service.protocol == Protocol::Tcp { 412 } else { 96 };
        Self { flows, addressing, bytes_a_packet }
    }

    /// Has the flows send what they send in `step`, up to `now`.
    pub(super) fn advance(
        &mut self,
        step: Duration,
        now: Duration,
        balancer: &mut Balancer,
        random: &mut Rng,
        processors: &mut [u64],
    ) {
        let seconds = step.as_secs_f64();
        for flow in &mut self.flows {
            flow.left -= seconds;
            if flow.left <= 0.0 {
                *flow = self.addressing.open(flow.rate, random);
            }
            let due = flow.rate * seconds * (0.5 + random.f64()) + flow.rest;
            let opening = flow.opened_at.is_none();
            let whole = if opening { due.max(1.0) } else { due }.floor();
            flow.rest = (due - whole).max(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number, small and never negative"
            )]
            let packets = whole as u64;
            if packets == 0 {
                continue;
            }
            let id = balancer.route(flow.slot, flow.opened_at, now);
            // A flow that another backend gets is a new one there: its client connects again.
            let opened = flow.opened_at != Some(id) && balancer.is_active(id);
            flow.opened_at = Some(id);
            balancer.count(flow.slot, id, packets, packets * self.bytes_a_packet, opened, now);
            processors[flow.processor % processors.len()] += packets;
        }
    }
}

impl Addressing {
    fn open(&self, rate: f64, random: &mut Rng) -> Flow {
        // 198.18.0.0/15, which is there for benchmarks.
        let client = [198, 18 + random.u8(0..2), random.u8(..), random.u8(..)];
        let port = if self.affinity == Affinity::SourceIp { 0 } else { random.u16(1024..) };
        let hash = hash_v4(client, port, self.port, self.protocol.number(), 0x5eed);
        Flow {
            slot: hash % self.table_size,
            processor: hash as usize >> 7,
            rate,
            rest: random.f64(),
            left: -LIFE * (1.0 - random.f64()).ln(),
            opened_at: None,
        }
    }
}
