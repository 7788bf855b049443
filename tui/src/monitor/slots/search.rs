//! From what is typed to the slot that is meant: its number, a client's flow, or a backend.

use std::net::{IpAddr, SocketAddr};

use maglev_core::service::Affinity;

use super::legend::why_not_counted;
use crate::monitor::{
    data::{Data, service_of},
    number::{count, duration},
};

/// The slot that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The service that it is a slot of.
    pub service: String,
    /// The slot.
    pub slot: u32,
    /// The client's flow that falls into it, if that was looked for.
    pub flow: Option<SocketAddr>,
}

/// Finds what `text` means among the slots of the chosen service; of a backend it is the slot that is hit most.
///
/// It may say what it means (`slot 17`, `flow 1.2.3.4:5678`, `backend web-1`) or leave that to be told from its shape.
///
/// # Errors
///
/// When there is no such slot; in words.
pub fn find(data: &Data, text: &str) -> Result<Found, String> {
    let service = data.service().ok_or("there is no service")?;
    let found = |slot, flow| Ok(Found { service: service.name.clone(), slot, flow });
    let (kind, rest) = match text.split_once(char::is_whitespace) {
        Some((kind @ ("slot" | "flow" | "backend"), rest)) => (Some(kind), rest.trim()),
        _ => (None, text),
    };
    let backend = || service.backends.iter().find(|backend| backend.name == rest);
    let kind = kind.unwrap_or_else(|| {
        if backend().is_some() {
            "backend"
        } else if number(rest).is_some() {
            "slot"
        } else if client(rest).is_some() {
            "flow"
        } else {
            "nothing"
        }
    });
    match kind {
        "slot" => {
            let slots = service.slots.len() as u64;
            match number(rest) {
                Some(slot) if u64::from(slot) < slots => found(slot, None),
                _ => Err(format!("{rest:?} is no slot: they are 0 to {}", count(slots.saturating_sub(1)))),
            }
        }
        "flow" => {
            let seed = data.seed.as_ref().ok_or("the seed is not known here, and so no flow's slot is")?;
            let (address, port) = client(rest).ok_or_else(|| {
                format!("{rest:?} is no flow: write the client's address and port, 1.2.3.4:5678")
            })?;
            if address.is_ipv4() != service.address.is_ipv4() {
                return Err(format!(
                    "no flow from {address} reaches {}: they are of two families",
                    service.address
                ));
            }
            if let Some(facts) = service.cilium.as_ref().filter(|facts| facts.protocol == "sctp") {
                return Err(format!("flows of {} are not told apart here", facts.protocol));
            }
            let port = match (port, service.affinity) {
                (Some(port), _) => port,
                (None, Affinity::SourceIp) => 0,
                (None, Affinity::None) => {
                    return Err(format!(
                        "the flows of {address} are told apart by their ports: add one, {address}:5678"
                    ));
                }
            };
            let flow = SocketAddr::new(address, port);
            let service = service_of(service);
            found(service.flow_hash(seed, flow) % service.table_size.max(1), Some(flow))
        }
        "backend" => {
            let backend = backend().ok_or_else(|| format!("{} has no backend {rest:?}", service.name))?;
            let owned = |slot: usize| service.slots.owner.get(slot) == Some(&backend.id);
            match hottest(data, owned) {
                Some(slot) => found(slot, None),
                None => Err(format!("{rest} owns no slot")),
            }
        }
        _ => Err(format!(
            "{rest:?} is no slot, no flow and no backend: 1234, 1.2.3.4:5678 or a backend's name"
        )),
    }
}

/// Finds the slot of a client's flow; `flow` in front of it may be left out.
///
/// # Errors
///
/// When there is no such flow; in words.
pub fn find_flow(data: &Data, text: &str) -> Result<Found, String> {
    let text = text.trim();
    find(data, &format!("flow {}", text.strip_prefix("flow").unwrap_or(text).trim()))
}

/// The most hit slot of the chosen service that `wanted` holds for.
#[must_use]
pub fn hottest(data: &Data, wanted: impl Fn(usize) -> bool) -> Option<u32> {
    let rates = data.service_history().map_or(&[][..], |history| history.slots.rates());
    (0_u32..)
        .zip(rates)
        .filter(|(slot, _)| wanted(*slot as usize))
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))
        .map(|(slot, _)| slot)
}

/// Why none of the chosen service's slots is known to be hit more than others; in words.
#[must_use]
pub fn why_no_slot_is_hottest(data: &Data) -> Option<String> {
    let service = data.service()?;
    if service.slots.hits.is_empty() {
        return Some(why_not_counted(data, service));
    }
    let slots = data.service_history().map(|history| history.slots);
    match slots.filter(|slots| slots.known()) {
        None => {
            let interval = duration(data.interval);
            Some(format!("which slots are hit is not known yet: that takes two looks, one every {interval}"))
        }
        Some(slots) if slots.rates().iter().all(|rate| *rate <= 0.0) => Some("no slot is hit".to_owned()),
        Some(_) => None,
    }
}

/// A number, with or without commas.
fn number(text: &str) -> Option<u32> {
    text.replace(',', "").parse().ok()
}

/// A client's address, with its port or without.
fn client(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let with_port = text.parse::<SocketAddr>().map(|flow| (flow.ip(), Some(flow.port())));
    with_port.or_else(|_| text.parse().map(|address| (address, None))).ok()
}
