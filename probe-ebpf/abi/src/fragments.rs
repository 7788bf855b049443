//! What is remembered of the first fragments of packets.

/// Of how many packets the first fragment is remembered.
pub const FRAGMENTED_PACKETS: u32 = 16_384;

/// What the fragments of a packet have in common: RFC 791, RFC 8200.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentKey {
    /// Who sent it; of an IPv4 address the first four bytes, the rest zero.
    pub source: [u8; 16],
    /// Where it is sent to, likewise.
    pub destination: [u8; 16],
    /// Its identification, of an IPv4 packet in the first two bytes; in network order.
    pub identification: u32,
    /// The number of an IPv4 packet's protocol in the IP header; 0 of an IPv6 packet.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub padding: u16,
}

/// Of how many packets the observer on a Cilium node remembers the first fragment: as many as Cilium
/// (`bpf-fragments-map-max`).
pub const OBSERVED_FRAGMENTED_PACKETS: u32 = 8_192;

/// The ports that the first fragment had, in network order: what the observer on a Cilium node remembers.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentPorts {
    /// The sender's.
    pub client: u16,
    /// The one that it was sent to.
    pub service: u16,
}

/// What the first fragment said, and where it went.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstFragment {
    /// When it came, in milliseconds since boot.
    pub at: u64,
    /// The backend that it went to.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// The sender's port, in network order.
    pub client_port: u16,
    /// The port that it was sent to, in network order.
    pub service_port: u16,
    /// The number of its protocol in the IP header.
    pub protocol: u8,
    /// Zero.
    pub padding: [u8; 3],
}
