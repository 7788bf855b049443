//! What a tracer and the program that traces tell each other.

/// Which packets are traced.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// The client's address; of an IPv4 address the first four bytes, the rest zero.
    pub client: [u8; 16],
    /// Until when, in nanoseconds since boot: a tracer that hangs puts it off no more.
    pub deadline: u64,
    /// How many packets a second are told at most, by each processor.
    pub rate: u32,
    /// The process that traces.
    pub process: u32,
    /// The client's port, in the host's order; 0 for any.
    pub client_port: u16,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub padding: [u8; 5],
}

/// What became of a packet. Numbers are in the host's order.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceRecord {
    /// When it came, in nanoseconds since boot.
    pub at: u64,
    /// The client's address: who sent it or, of an ICMP error, whom the packet was for that is quoted.
    pub client: [u8; 16],
    /// The address that it was sent to or, of an ICMP error, whom the packet was from that is quoted.
    pub service: [u8; 16],
    /// The client's port; 0 where the packet has none.
    pub client_port: u16,
    /// The port that it was sent to; 0 where the packet has none.
    pub service_port: u16,
    /// 4 or 6.
    pub family: u8,
    /// The number of its protocol in the IP header.
    pub protocol: u8,
    /// The flags of its TCP header.
    pub flags: u8,
    /// The type of its ICMP header.
    pub icmp_type: u8,
    /// Its length from the IP header on.
    pub length: u32,
    /// The service's number; 0 for none.
    pub service_number: u32,
    /// Its slot, counted from the service's first one.
    pub slot: u32,
    /// Its flow hash.
    pub hash: u32,
    /// The slot's owner; 0 for none.
    pub owner: u32,
    /// The slot's previous owner while it settles; 0 for none.
    pub previous: u32,
    /// The backend that the flow was remembered to be at; 0 for none.
    pub remembered: u32,
    /// The backend that was chosen; 0 for none.
    pub backend: u32,
    /// [`Verdict`](crate::Verdict).
    pub verdict: u32,
    /// The index of the interface that it came in by.
    pub ingress: u32,
    /// The index of the interface that it left by; 0 where it was not sent.
    pub egress: u32,
    /// The hardware address that it was sent to.
    pub next_hop: [u8; 6],
    /// How many VLAN tags it came with.
    pub tags: u8,
    /// 1 where it is a packet that the filter asks for.
    pub is_traced: u8,
    /// The processor that it was handled by.
    pub processor: u32,
}

/// What the tracing program keeps, each processor for itself.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceState {
    /// When the second began in which packets are counted, in nanoseconds since boot.
    pub second: u64,
    /// How many were told in it.
    pub told: u64,
    /// How many packets were to be told and were not, for their number or want of room.
    pub lost: u64,
    /// The packet under way.
    pub record: TraceRecord,
}

/// The room for records that are not fetched yet, in bytes.
pub const TRACE_ROOM: u32 = 1 << 18;
