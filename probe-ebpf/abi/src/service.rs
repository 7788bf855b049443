//! What the program reads for each packet.

/// `forwarding`: inside an outer IP header.
pub const FORWARDING_IPIP: u8 = 0;
/// `forwarding`: with the backend's MAC address.
pub const FORWARDING_L2: u8 = 1;
/// `forwarding`: counted and passed.
pub const FORWARDING_OBSERVE: u8 = 2;

/// `tracking`: flows opened while their slot settles.
pub const TRACKING_SETTLING: u8 = 0;
/// `tracking`: every flow.
pub const TRACKING_ALWAYS: u8 = 1;
/// `tracking`: none.
pub const TRACKING_NEVER: u8 = 2;

/// `affinity`: address and port are hashed.
pub const AFFINITY_NONE: u8 = 0;
/// `affinity`: the address alone is hashed.
pub const AFFINITY_SOURCE: u8 = 1;

/// `state`: nobody has this number. What still names it is out of date.
pub const BACKEND_GONE: u8 = 0;
/// `state`: it gets new connections.
pub const BACKEND_ACTIVE: u8 = 1;
/// `state`: it keeps the connections that it has.
pub const BACKEND_DRAINING: u8 = 2;

/// The address that a packet was sent to.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// The address; of an IPv4 address the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// The port, in network order.
    pub port: u16,
    /// The number of the protocol in the IP header.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
}

/// A service.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Its number, from 1.
    pub number: u32,
    /// Its first slot, counted from the first one of all services: the first of a row.
    pub first_slot: u32,
    /// How many slots it has.
    pub table_size: u32,
    /// What jhash is seeded with, for the family of the service's address.
    pub hash_seed: u32,
    /// How many rows each processor has in the slot counters.
    pub rows: u32,
    /// How its packets are forwarded, `FORWARDING_…`.
    pub forwarding: u8,
    /// Which flows are remembered, `TRACKING_…`.
    pub tracking: u8,
    /// What of the client is hashed, `AFFINITY_…`.
    pub affinity: u8,
    /// Zero.
    pub padding: u8,
    /// The settle time.
    pub settle_milliseconds: u64,
    /// The settle limit; 0 for none.
    pub settle_limit_milliseconds: u64,
    /// Zero.
    pub reserved: u64,
}

/// A backend.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendRecord {
    /// Its address; of an IPv4 address the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Counts who had this number: what was remembered of another generation is out of date.
    pub generation: u32,
    /// `BACKEND_…`.
    pub state: u8,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub padding: u16,
    /// The service's number.
    pub service: u32,
    /// Zero.
    pub reserved: u32,
}

/// What holds for all services.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The outer source of IPv4 tunnels: an address, or a prefix with its host bits zero.
    pub tunnel_source_v4: [u8; 4],
    /// Which bits of it the flow hash fills, in network order; zero for none.
    pub tunnel_host_mask_v4: [u8; 4],
    /// The outer source of IPv6 tunnels, likewise.
    pub tunnel_source_v6: [u8; 16],
    /// How many bits long the prefix of it is; the flow hash fills up to 32 bits at the end.
    pub tunnel_prefix_v6: u32,
    /// The MAC address that all packets are sent to.
    pub gateway: [u8; 6],
    /// 1 if `gateway` is to be used, and the kernel's routes are not.
    pub has_gateway: u8,
    /// Zero.
    pub padding: [u8; 9],
    /// Zero.
    pub reserved: u32,
}
