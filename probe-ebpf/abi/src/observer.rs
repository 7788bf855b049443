//! What the observer on a Cilium node reads for each packet.

/// A frontend of Cilium's, found by a [`ServiceKey`](crate::ServiceKey).
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontendRecord {
    /// The first of its rows in the counters of a stripe.
    pub first_row: u32,
    /// How many slots its table has; 0 where its packets are not counted by slot.
    pub table_size: u32,
    /// [`ObserverVerdict`](crate::ObserverVerdict) of its packets where they are not counted by slot.
    pub verdict: u32,
    /// What of the client is hashed, `AFFINITY_…`.
    pub affinity: u8,
    /// Zero.
    pub padding: [u8; 3],
}

/// What holds for all frontends.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObserverSettings {
    /// What jhash is seeded with for IPv4 flows.
    pub hash_seed_v4: u32,
    /// What jhash is seeded with for IPv6 flows.
    pub hash_seed_v6: u32,
    /// How many times the counters are there, for processors not to share them; at least 1.
    pub stripes: u32,
    /// How many rows each of them has.
    pub rows: u32,
    /// 1 if ports are hashed in the order of Cilium before 1.17.
    pub older_order: u8,
    /// 1 if there are frontends of any protocol.
    pub any_protocol: u8,
    /// Zero.
    pub padding: [u8; 6],
}
