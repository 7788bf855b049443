//! What may not be, and what may be and is worth a word.

use std::net::IpAddr;

use super::{MAX_SETTLE_TIME, MIN_SETTLE_TIME};
use crate::{
    service::{Forwarding, MAX_NAME},
    table::TableError,
};

/// A rule that is broken, told so that whoever reads it knows what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A name is empty.
    #[error("a name may not be empty")]
    NameEmpty,
    /// A name is too long.
    #[error("a name has at most {MAX_NAME} bytes, and this one has {0}")]
    NameTooLong(usize),
    /// A name holds a character that is not allowed.
    #[error("{0:?} may not stand in a name: letters, digits and - _ . : / may")]
    NameCharacter(char),
    /// Two services have one name.
    #[error("another service is named {0} too")]
    ServiceNameTaken(String),
    /// Two backends of a service have one name.
    #[error("another backend of the service is named {0} too")]
    BackendNameTaken(String),
    /// Two services have one address and protocol.
    #[error("service {0} has this address and protocol already")]
    ServiceAddressTaken(String),
    /// Two backends of a service have one address.
    #[error("backend {0} has this address already")]
    BackendAddressTaken(String),
    /// An address has no port.
    #[error("port 0 is no port to send to")]
    NoPort,
    /// An address is `0.0.0.0` or `::`.
    #[error("{0} is no address to send to")]
    Unspecified(IpAddr),
    /// An address is that of a group.
    #[error("{0} is a multicast address")]
    Multicast(IpAddr),
    /// An address is that of everybody.
    #[error("{0} is the broadcast address")]
    Broadcast(IpAddr),
    /// An address is bound to an interface.
    #[error("an address with a zone (%{0}) means nothing in a packet")]
    Zone(u32),
    /// The table cannot have that size.
    #[error(transparent)]
    TableSize(#[from] TableError),
    /// UDP cannot track what settles.
    #[error(
        "UDP has no SYN that tells a new flow from an old one: take \"always\", or \"never\" to hash only"
    )]
    SettlingUdp,
    /// A time is too short.
    #[error(
        "shorter than the shortest there is, {}; flows that are silent for so long are given up",
        humantime::format_duration(MIN_SETTLE_TIME)
    )]
    SettleTimeTooShort,
    /// A time is over what a deadline holds.
    #[error("longer than the longest there is, {}", humantime::format_duration(MAX_SETTLE_TIME))]
    SettleTimeTooLong,
    /// A time is finer than deadlines are.
    #[error("must be whole milliseconds")]
    SettleTimeTooFine,
    /// A slot would have to stop settling before it may.
    #[error("shorter than settle-time")]
    SettleLimitBelowTime,
    /// A service has no backend.
    #[error("a service needs a backend at least")]
    NoBackends,
    /// A weight is zero.
    #[error("a weight is 1 to 65535; for no new connections set state = \"draining\"")]
    WeightZero,
    /// Cilium's fill would ignore the weights.
    #[error(
        "the fill ignores weights whose mean, in whole numbers, is below 2, and gives equal shares \
         ({sum} over {count} active backends here): multiply every weight of the service by 2 or more"
    )]
    WeightsIgnored {
        /// The sum of the active backends' weights.
        sum: u64,
        /// The number of active backends.
        count: u64,
    },
    /// The packet cannot get to the backend.
    #[error(
        "{forwarding} forwarding leaves the packet as it is, so a backend of an {family} service has an {family} \
         address; only ipip takes any",
        family = family(*service_is_v4)
    )]
    OtherFamily {
        /// How packets get to backends.
        forwarding: Forwarding,
        /// Whether the service is an IPv4 one.
        service_is_v4: bool,
    },
    /// There is no source for the outer header.
    #[error(
        "packets for an {family} backend get an outer {family} header: set its source, datapath.tunnel-source-v{version}",
        family = family(*v4), version = if *v4 { 4 } else { 6 }
    )]
    NoTunnelSource {
        /// Whether the outer header is IPv4.
        v4: bool,
    },
    /// A check cannot take the way of the service's packets to the backend.
    #[error(
        "health.via = \"tunnel\" takes an {family} backend of an {family} service: a check is a connection to the backend's \
         own address that is led through the tunnel, and cannot change its family; give it an {family} address, or \
         check it with via = \"direct\"",
        family = family(*service_is_v4)
    )]
    TunnelCheckFamily {
        /// Whether the service is an IPv4 one.
        service_is_v4: bool,
    },
    /// A service whose packets are not forwarded has no way for checks.
    #[error(
        "via = \"tunnel\" is the way of the service's packets, and observe forwards none: check it with via = \"direct\""
    )]
    TunnelCheckObserved,
    /// The services have more slots than there is room for.
    #[error("the services take {wanted} slots (each in whole rows of {row}), over max-slots, {max}", row = super::ROW_SLOTS)]
    TooManySlots {
        /// The slots of all services, in whole rows.
        wanted: u64,
        /// The room.
        max: u32,
    },
    /// A text cannot be the name of an interface.
    #[error("{0:?} cannot be an interface: names have 1 to 15 bytes, no slash, colon or white space")]
    InterfaceName(String),
    /// An interface stands there twice.
    #[error("{0} stands there twice")]
    InterfaceTwice(String),
    /// A prefix has host bits set.
    #[error("a prefix has no bits set behind its length: write {0}")]
    HostBits(String),
    /// An outer source that is nobody's address.
    #[error("{0} is no address to send from")]
    TunnelSource(IpAddr),
    /// A gateway that is no single machine.
    #[error("a gateway has the address of one machine: not a group's, not all zeros")]
    GatewayMac,
}

const fn family(v4: bool) -> &'static str {
    if v4 { "IPv4" } else { "IPv6" }
}

/// What may be, and is worth a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Some backends get no slot.
    #[error("only {table_size} slots for {active} active backends: {} of them get none", active - table_size)]
    MoreBackendsThanSlots {
        /// The number of active backends.
        active: u32,
        /// The number of slots.
        table_size: u32,
    },
    /// A port of backends will not be sent to.
    #[error("port {backend}{} is unlike the service's: ports are not rewritten, so packets arrive at port {service}",
        if *backends > 1 { format!(", of {backends} backends,") } else { String::new() })]
    OtherPort {
        /// The backends' port.
        backend: u16,
        /// The service's port.
        service: u16,
        /// How many backends have it.
        backends: usize,
    },
    /// Nobody gets new connections.
    #[error("no backend is active: new connections have nowhere to go")]
    NoActiveBackend,
    /// The change leaves weights that count for nothing.
    #[error("{0}")]
    WeightsIgnored(Rule),
    /// There is nothing to balance.
    #[error("there is no service")]
    NoServices,
}
