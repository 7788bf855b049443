//! A line of `trace`: for people, and for programs.

use std::fmt::{self, Display, Formatter};

use maglev_probe::trace::{TracedHop, TracedPacket};
use serde::Serialize;

use crate::packet::{explanation, flags, protocol};

/// What became of a packet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TraceLine {
    /// When it came, in UTC (RFC 3339).
    time: String,
    interface: String,
    client: String,
    destination: String,
    service: Option<String>,
    protocol: String,
    flags: Vec<&'static str>,
    icmp_type: Option<u8>,
    length: u32,
    tags: u8,
    slot: Option<u32>,
    hash: Option<u32>,
    owner: Option<String>,
    previous: Option<String>,
    remembered: Option<String>,
    backend: Option<String>,
    backend_address: Option<String>,
    next_hop: Option<HopLine>,
    verdict: &'static str,
    explanation: String,
}

/// Where it was sent next.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct HopLine {
    hardware_address: String,
    interface: String,
}

impl HopLine {
    fn of(hop: &TracedHop) -> Self {
        let hardware_address = hop.hardware_address.map(|octet| format!("{octet:02x}")).join(":");
        Self { hardware_address, interface: hop.interface.clone() }
    }
}

impl TraceLine {
    pub(super) fn of(packet: &TracedPacket) -> Self {
        let protocol = protocol(packet.protocol);
        Self {
            time: humantime::format_rfc3339_micros(packet.at).to_string(),
            interface: packet.interface.clone(),
            client: packet.client.to_string(),
            destination: packet.destination.to_string(),
            service: packet.service.clone(),
            icmp_type: protocol.starts_with("icmp").then_some(packet.icmp_type),
            flags: if protocol == "tcp" { flags(packet.flags) } else { Vec::new() },
            protocol,
            length: packet.length,
            tags: packet.tags,
            slot: packet.slot.map(|(slot, _)| slot),
            hash: packet.slot.map(|(_, hash)| hash),
            owner: packet.owner.clone(),
            previous: packet.previous.clone(),
            remembered: packet.remembered.clone(),
            backend: packet.backend.as_ref().map(|backend| backend.name.clone()),
            backend_address: packet.backend.as_ref().map(|backend| backend.address.to_string()),
            next_hop: packet.next_hop.as_ref().map(HopLine::of),
            verdict: packet.word(),
            explanation: explanation(packet),
        }
    }
}

impl Display for TraceLine {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        // The time of day is enough for people.
        let time = self.time.split_once('T').map_or(self.time.as_str(), |(_, time)| time);
        write!(formatter, "{time}  {} → {}", self.client, self.destination)?;
        if let Some(service) = &self.service {
            write!(formatter, " ({service})")?;
        }
        write!(formatter, "  {}", self.protocol)?;
        if !self.flags.is_empty() {
            write!(formatter, " {}", self.flags.join("+"))?;
        }
        if let Some(kind) = self.icmp_type {
            write!(formatter, " type {kind}")?;
        }
        write!(formatter, " {} bytes", self.length)?;
        if let Some(slot) = self.slot {
            write!(formatter, "  slot {slot}: {}", self.owner.as_deref().unwrap_or("nobody"))?;
        }
        if let Some(previous) = &self.previous {
            write!(formatter, ", before {previous}")?;
        }
        if let Some(remembered) = &self.remembered {
            write!(formatter, ", remembered {remembered}")?;
        }
        write!(formatter, "  {}: {}", self.verdict, self.explanation)?;
        if let Some(hop) = &self.next_hop {
            write!(formatter, ", by {} to {}", hop.interface, hop.hardware_address)?;
        }
        Ok(())
    }
}
