//! What is counted: per processor, with plain increments. Sums never go back.

/// What a backend got.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounters {
    /// Packets sent to it.
    pub packets: u64,
    /// Bytes of those packets as they came in, from the Ethernet header on, without what fills a short frame up.
    pub bytes: u64,
    /// Connections begun at it.
    pub new_connections: u64,
    /// Packets sent to it although their slot's owner was another.
    pub held_packets: u64,
    /// When it last got a packet, in milliseconds since boot; 0 for never.
    pub last_packet: u64,
}

/// What passed through a service.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounters {
    /// Packets sent on.
    pub packets: u64,
    /// Bytes of those packets as they came in, from the Ethernet header on, without what fills a short frame up.
    pub bytes: u64,
    /// Connections begun.
    pub new_connections: u64,
    /// Packets sent to another backend than their slot's owner.
    pub held_packets: u64,
    /// Connections that could not be remembered, and went to their slot's previous owner.
    pub unremembered: u64,
}
