//! The connections of health checks that take the way of clients' packets.

/// So many are under way at most.
pub const SIMULTANEOUS_CHECKS: u32 = 1024;

/// `outer`: the packet is addressed to the service, and stays as it is otherwise.
pub const OUTER_NONE: u8 = 0;
/// `outer`: an IPv4 header is put in front.
pub const OUTER_V4: u8 = 4;
/// `outer`: an IPv6 header is put in front.
pub const OUTER_V6: u8 = 6;

/// A connection by its end at the balancer: no other socket has that address and port.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CheckKey {
    /// The address; of an IPv4 address the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// The port, in network order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub padding: u8,
}

/// Its other end, and what leads there. Addresses of IPv4 are the first four bytes, the rest zero.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckRecord {
    /// The backend's own address: what the socket is connected to.
    pub backend: [u8; 16],
    /// The service's address: what is on the wire in the place of the backend's.
    pub service: [u8; 16],
    /// The source of the outer header.
    pub outer_source: [u8; 16],
    /// The port at both, in network order.
    pub port: u16,
    /// `OUTER_…`.
    pub outer: u8,
    /// 1 once a packet has gone that way.
    pub is_carried: u8,
    /// The flow hash, of which an outer IPv6 header's label is made.
    pub hash: u32,
}
