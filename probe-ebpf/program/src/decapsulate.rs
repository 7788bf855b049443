//! At a backend: the packet out of its outer header, for a kernel without a tunnel device.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use maglev_probe_abi::DecapVerdict;

use crate::{
    datagram::{self, Part},
    maps::DECAP_SETTINGS,
    packet::{self, Ethernet, Hardware, Ipv4, Ipv6, protocol},
};

/// Takes the outer header off, if there is one.
#[inline(always)]
pub(crate) fn decapsulate(context: &XdpContext) -> DecapVerdict {
    match tunnel(context) {
        Ok(tunnel) => take_off(context, &tunnel),
        Err(verdict) => verdict,
    }
}

/// A frame that is a tunnel's.
struct Tunnel {
    /// How long the outer header is.
    length: usize,
    /// The Ethernet header for what is inside.
    ethernet: Ethernet,
}

#[inline(always)]
fn tunnel(context: &XdpContext) -> Result<Tunnel, DecapVerdict> {
    // SAFETY: bytes alone.
    let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(DecapVerdict::NotATunnel)?;
    let outer = match ethernet.kind {
        Ethernet::IPV4 => Outer::ipv4(context)?,
        Ethernet::IPV6 => Outer::ipv6(context)?,
        _ => return Err(DecapVerdict::NotATunnel),
    };
    let (version, inner_length, kind) = match outer.protocol {
        protocol::IPV4 => (4, Ipv4::LENGTH, Ethernet::IPV4),
        protocol::IPV6 => (6, Ipv6::LENGTH, Ethernet::IPV6),
        _ => return Err(DecapVerdict::NotATunnel),
    };
    if !is_for_this_host(ethernet.destination) {
        return Err(DecapVerdict::AnotherHost);
    }
    let length = outer.length;
    if length == 0
        || outer.packet_length < length + inner_length
        || !packet::reaches(context, Ethernet::LENGTH + outer.packet_length)
    {
        return Err(DecapVerdict::Malformed);
    }
    // SAFETY: bytes alone.
    let inner: &Ipv4 =
        unsafe { packet::at(context, Ethernet::LENGTH + length) }.ok_or(DecapVerdict::Malformed)?;
    if inner.version_and_length >> 4 != version {
        return Err(DecapVerdict::Malformed);
    }
    Ok(Tunnel { length, ethernet: Ethernet { kind, ..*ethernet } })
}

/// What an outer header says.
struct Outer {
    /// The protocol of what is inside.
    protocol: u8,
    /// How long it is; 0 where it contradicts itself, or has but a part of a packet inside.
    length: usize,
    /// How long it is with what is inside.
    packet_length: usize,
}

impl Outer {
    #[inline(always)]
    fn ipv4(context: &XdpContext) -> Result<Self, DecapVerdict> {
        // SAFETY: bytes alone.
        let header: &Ipv4 =
            unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(DecapVerdict::NotATunnel)?;
        Ok(Self {
            protocol: header.protocol,
            length: if header.is_fragment() { 0 } else { header.header_length().unwrap_or(0) },
            packet_length: header.packet_length().into(),
        })
    }

    /// Extension headers are followed: `ip6tnl` of Linux puts destination options there (RFC 2473), the balancer puts none.
    #[inline(always)]
    fn ipv6(context: &XdpContext) -> Result<Self, DecapVerdict> {
        // SAFETY: bytes alone.
        let header: &Ipv6 =
            unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(DecapVerdict::NotATunnel)?;
        let behind = datagram::extensions(context, header.next_header, Ethernet::LENGTH + Ipv6::LENGTH)
            .map_err(|_| DecapVerdict::NotATunnel)?;
        let is_whole = header.version() == 6 && behind.part == Part::Whole;
        Ok(Self {
            protocol: behind.protocol,
            length: if is_whole { Ipv6::LENGTH + behind.length } else { 0 },
            packet_length: Ipv6::LENGTH + header.payload(),
        })
    }
}

/// Whether a frame to that hardware address is meant. An interface that listens to all frames, a bridge's for
/// example, gets others' too.
#[inline(always)]
fn is_for_this_host(address: Hardware) -> bool {
    DECAP_SETTINGS.get(0).is_none_or(|settings| {
        let own = Hardware::new(settings.hardware_address);
        own.is_zero() || own == address
    })
}

#[inline(always)]
fn take_off(context: &XdpContext, tunnel: &Tunnel) -> DecapVerdict {
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    if unsafe { bpf_xdp_adjust_head(context.ctx, tunnel.length as i32) } != 0 {
        return DecapVerdict::Malformed;
    }
    // SAFETY: bytes alone. There is room: what is inside is longer than this header.
    if let Some(ethernet) = unsafe { packet::at_mut::<Ethernet>(context, 0) } {
        *ethernet = tunnel.ethernet;
    }
    DecapVerdict::Decapsulated
}
