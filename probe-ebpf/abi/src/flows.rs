//! What is remembered of flows.

/// How many flows a bucket remembers.
pub const FLOWS_PER_BUCKET: usize = 6;

/// The number of buckets, a power of two: 98,304 flows in 4 MB.
pub const SETTLING_BUCKETS: u32 = 16_384;

/// How many flows of services that track every flow are remembered.
pub const TRACKED_FLOWS: u32 = 131_072;

/// A flow of a service.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowKey {
    /// The client's address; of an IPv4 address the first four bytes, the rest zero.
    pub client: [u8; 16],
    /// The service's number, which stands for its address, port and protocol.
    pub service: u32,
    /// The client's port, in network order.
    pub client_port: u16,
    /// Zero.
    pub padding: u16,
}

impl FlowKey {
    /// The bucket that remembers the flow. `hash` is its flow hash, which with source affinity is the same for all
    /// ports of a client: hence the port, and hence the service, whose ports a client may use as well.
    #[must_use]
    #[inline(always)]
    pub const fn bucket(&self, hash: u32) -> u32 {
        let mixed = hash ^ ((self.client_port as u32) << 16) ^ self.service;
        mixed.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SETTLING_BUCKETS.trailing_zeros())
    }
}

/// A flow opened while its slot was settling.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlingFlow {
    /// The flow. An entry of which the service is 0 is empty.
    pub key: FlowKey,
    /// The slot's epoch in the upper 24 bits, and the backend in the lower 20: a
    /// [`SlotWord`](maglev_core::slot::SlotWord) without previous owner.
    pub word: u64,
    /// The backend's generation.
    pub generation: u32,
    /// The slot, counted from the first one of all services.
    pub slot: u32,
}

/// The kernel's spin lock: it is found in a map's values by this name.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bpf_spin_lock {
    /// The kernel's alone.
    pub val: u32,
}

/// The flows that fall into one bucket of the settling memory.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlingBucket {
    /// Held for as long as the flows are looked at or written.
    pub lock: bpf_spin_lock,
    /// Zero.
    pub padding: u32,
    /// The flows, in no order.
    pub flows: [SettlingFlow; FLOWS_PER_BUCKET],
}

/// A flow of a service that tracks every flow.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackedFlow {
    /// The backend.
    pub backend: u32,
    /// The backend's generation.
    pub generation: u32,
    /// When a packet of the flow was last seen, in milliseconds since boot.
    pub last_packet: u64,
}
