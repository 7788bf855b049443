//! At a backend: the packet out of its outer header, for a kernel without a tunnel device.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use maglev_probe_abi::DecapVerdict;

use crate::{
    maps::DECAP_SETTINGS,
    packet::{self, Ethernet, Hardware, Ipv4, protocol},
};

/// The IPv6 header, of which only the first byte matters here.
const IPV6_LENGTH: usize = 40;

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
    if ethernet.kind != Ethernet::IPV4 {
        return Err(DecapVerdict::NotATunnel);
    }
    // SAFETY: bytes alone.
    let outer: &Ipv4 = unsafe { packet::at(context, Ethernet::LENGTH) }.ok_or(DecapVerdict::NotATunnel)?;
    let (version, inner_length, kind) = match outer.protocol {
        protocol::IPV4 => (4, Ipv4::LENGTH, Ethernet::IPV4),
        protocol::IPV6 => (6, IPV6_LENGTH, Ethernet::IPV6),
        _ => return Err(DecapVerdict::NotATunnel),
    };
    if !is_for_this_host(ethernet.destination) {
        return Err(DecapVerdict::AnotherHost);
    }
    let length = outer.header_length().ok_or(DecapVerdict::Malformed)?;
    let packet_length = usize::from(outer.packet_length());
    if outer.is_fragment()
        || packet_length < length + inner_length
        || !packet::reaches(context, Ethernet::LENGTH + packet_length)
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
