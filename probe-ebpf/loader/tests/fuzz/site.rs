//! The site that packets are thrown at: services of every kind, and slots in every state that stays as it is.

use std::net::IpAddr;

use maglev_core::slot::{Deadline, Epoch, NOBODY, SlotWord};
use maglev_probe_abi::{
    AFFINITY_NONE, AFFINITY_SOURCE, BACKEND_ACTIVE, BACKEND_DRAINING, BACKEND_GONE, BackendRecord,
    FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, ROW_WORDS, ServiceKey, ServiceRecord, Settings,
    TRACKING_ALWAYS, TRACKING_NEVER, TRACKING_SETTLING, map,
};

use crate::support::{GATEWAY, Programs, SEED, SETTLE_MILLISECONDS, TABLE_SIZE, TCP, UDP};

/// What the interface takes that frames come in by.
pub(crate) const MTU: usize = 1500;

/// The outer source of IPv4 tunnels: a prefix of sixteen bits, which the flow hash fills up.
pub(crate) const TUNNEL_SOURCE_V4: [u8; 4] = [10, 255, 0, 0];
pub(crate) const TUNNEL_HOST_MASK_V4: [u8; 4] = [0, 0, 0xff, 0xff];
/// That of IPv6 tunnels, likewise: a prefix of 112 bits.
pub(crate) const TUNNEL_SOURCE_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0];
const TUNNEL_PREFIX_V6: u32 = 112;

pub(crate) const GENERATION: u32 = 7;

/// Of all slots.
const EPOCH: Epoch = Epoch::new(3);

/// So late that no packet puts it off, and a slot with a previous owner settles for as long as anybody runs this.
const DEADLINE: Deadline = Deadline::new(EPOCH, 1 << 39);

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) number: u32,
    pub(crate) address: &'static str,
    pub(crate) port: u16,
    pub(crate) protocol: u8,
    forwarding: u8,
    pub(crate) tracking: u8,
    pub(crate) affinity: u8,
    /// Owner and previous owner of the first slots; those of the others repeat them.
    owners: &'static [(u32, u32)],
}

const fn service(number: u32, address: &'static str, port: u16, protocol: u8) -> Service {
    Service {
        number,
        address,
        port,
        protocol,
        forwarding: FORWARDING_IPIP,
        tracking: TRACKING_NEVER,
        affinity: AFFINITY_NONE,
        owners: &[(1, 0), (2, 0), (4, 0)],
    }
}

pub(crate) const SERVICES: &[Service] = &[
    Service {
        owners: &[(1, 0), (2, 0), (4, 0), (6, 0), (0, 0), (7, 0)],
        ..service(1, "192.0.2.10", 80, TCP)
    },
    Service {
        tracking: TRACKING_SETTLING,
        owners: &[
            (1, 0),
            (2, 1),
            (4, 2),
            (1, 1),
            (3, 2),
            (0, 1),
            (6, 1),
            (2, 6),
            (6, 6),
            (0, NOBODY),
            (5, NOBODY),
            (2, 1),
        ],
        ..service(CROWDED, "192.0.2.10", 443, TCP)
    },
    Service {
        tracking: TRACKING_ALWAYS,
        owners: &[(1, 0), (2, 0), (5, 0), (6, 0)],
        ..service(3, "192.0.2.10", 53, UDP)
    },
    Service {
        affinity: AFFINITY_SOURCE,
        owners: &[(1, 0), (7, 0), (2, 0), (3, 0)],
        ..service(4, "192.0.2.11", 53, UDP)
    },
    Service {
        forwarding: FORWARDING_OBSERVE,
        tracking: TRACKING_SETTLING,
        owners: &[(1, 0), (2, 1), (0, 0), (6, 0), (4, 5)],
        ..service(5, "192.0.2.12", 80, TCP)
    },
    Service { owners: &[(0, 0)], ..service(6, "192.0.2.13", 80, TCP) },
    Service {
        tracking: TRACKING_ALWAYS,
        owners: &[(6, 0), (1, 0), (3, 0)],
        ..service(7, "192.0.2.13", 81, TCP)
    },
    Service {
        tracking: TRACKING_SETTLING,
        owners: &[(1, 0), (4, 5), (5, 4), (2, 1), (6, 0)],
        ..service(8, "2001:db8::10", 80, TCP)
    },
    Service {
        tracking: TRACKING_ALWAYS,
        affinity: AFFINITY_SOURCE,
        owners: &[(4, 0), (1, 0), (6, 0), (5, 0)],
        ..service(9, "2001:db8::10", 53, UDP)
    },
    Service {
        forwarding: FORWARDING_OBSERVE,
        owners: &[(1, 0), (4, 0), (0, 0)],
        ..service(10, "2001:db8::11", 443, TCP)
    },
    service(11, "2001:db8::10", 443, UDP),
    Service {
        tracking: TRACKING_SETTLING,
        affinity: AFFINITY_SOURCE,
        owners: &[(2, 1), (4, 0)],
        ..service(12, "192.0.2.10", 80, UDP)
    },
    Service {
        forwarding: FORWARDING_OBSERVE,
        tracking: TRACKING_ALWAYS,
        owners: &[(1, 0), (6, 0)],
        ..service(13, "192.0.2.12", 53, UDP)
    },
];

/// The ways to the backends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ways {
    /// All by one gateway.
    Gateway,
    /// By the routes of [`crate::routes`].
    Routes {
        /// The hardware addresses of the neighbour, and of the interface to it.
        hop: ([u8; 6], [u8; 6]),
    },
}

/// The service of which more flows fall into one bucket of the memory than it remembers.
pub(crate) const CROWDED: u32 = 2;

/// The backends: number, address, state. The sixth is gone, and slots still name it.
pub(crate) const BACKENDS: &[(u32, &str, u8)] = &[
    (1, "10.0.0.1", BACKEND_ACTIVE),
    (2, "10.0.0.2", BACKEND_ACTIVE),
    (3, "10.0.0.3", BACKEND_DRAINING),
    (4, "fd00::4", BACKEND_ACTIVE),
    (5, "fd00::5", BACKEND_ACTIVE),
    (6, "10.0.0.6", BACKEND_GONE),
    (7, "203.0.113.7", BACKEND_ACTIVE),
];

/// The addresses whose echo requests are answered: those of services that forward.
pub(crate) const ECHOING: &[&str] = &["192.0.2.10", "192.0.2.11", "192.0.2.13", "2001:db8::10"];

/// An address that is written above.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address is written here")
}

/// An address, of IPv4 in the first four bytes.
pub(crate) fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => crate::support::wide(address),
        IpAddr::V6(address) => address.octets(),
    }
}

pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

impl Service {
    pub(crate) fn address(&self) -> IpAddr {
        address(self.address)
    }

    pub(crate) fn observes(&self) -> bool {
        self.forwarding == FORWARDING_OBSERVE
    }

    /// How it forwards: where routes are asked, every other service does so by hardware addresses.
    pub(crate) fn forwarding(&self, ways: Ways) -> u8 {
        let is_readdressed = matches!(ways, Ways::Routes { .. }) && self.number.is_multiple_of(2);
        if is_readdressed && !self.observes() { FORWARDING_L2 } else { self.forwarding }
    }

    /// Its first slot, counted from the first one of all services.
    pub(crate) fn first_slot(&self) -> u32 {
        (self.number - 1) * u32::try_from(ROW_WORDS).expect("a row is small")
    }

    /// The slot of that place in its own table.
    pub(crate) fn word(&self, place: u32) -> SlotWord {
        let place = usize::try_from(place).expect("a table fits into memory");
        let (owner, previous) = self.owners[place % self.owners.len()];
        SlotWord::new(owner, previous, EPOCH)
    }

    fn record(&self, ways: Ways) -> ServiceRecord {
        ServiceRecord {
            number: self.number,
            first_slot: self.first_slot(),
            table_size: TABLE_SIZE,
            hash_seed: SEED,
            rows: rows(),
            forwarding: self.forwarding(ways),
            tracking: self.tracking,
            affinity: self.affinity,
            settle_milliseconds: SETTLE_MILLISECONDS,
            ..ServiceRecord::default()
        }
    }

    fn key(&self) -> ServiceKey {
        ServiceKey {
            address: wide(self.address()),
            port: self.port.to_be(),
            protocol: self.protocol,
            family: family(self.address()),
        }
    }
}

/// How many rows of slots there are.
fn rows() -> u32 {
    u32::try_from(SERVICES.len()).expect("there are a few")
}

/// Loads the programs, and writes the site into their maps; `None`, and words, where that takes another user.
pub(crate) fn load(ways: Ways) -> Option<Programs> {
    let mut programs = Programs::load(rows())?;
    programs.put_settings(Settings {
        tunnel_source_v4: TUNNEL_SOURCE_V4,
        tunnel_host_mask_v4: TUNNEL_HOST_MASK_V4,
        tunnel_source_v6: TUNNEL_SOURCE_V6,
        tunnel_prefix_v6: TUNNEL_PREFIX_V6,
        gateway: GATEWAY,
        has_gateway: u8::from(matches!(ways, Ways::Gateway)),
        ..Settings::default()
    });
    for (number, text, state) in BACKENDS {
        let address = address(text);
        programs.put_backend(
            *number,
            BackendRecord {
                address: wide(address),
                generation: GENERATION,
                state: *state,
                family: family(address),
                ..BackendRecord::default()
            },
        );
    }
    for service in SERVICES {
        let record = service.record(ways);
        programs.put_service(service.key(), record);
        programs.put_words(map::SLOTS, record, |slot| service.word(slot - record.first_slot).0);
        programs.put_words(map::DEADLINES, record, |_| DEADLINE.0);
    }
    for text in ECHOING {
        programs.put_address(wide(address(text)), family(address(text)));
    }
    Some(programs)
}
