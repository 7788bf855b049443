//! What is none of the usual kinds: tagged frames, fragments, ICMP. It is looked at by functions of their own, which
//! are called and not put in place, so that the usual packets pay nothing for it; and which are global, so that the
//! verifier looks at each once, and not once for every way that leads there.

use core::mem::transmute;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    programs::XdpContext,
};
use maglev_probe_abi::{FirstFragment, FragmentKey, Verdict};

use crate::{
    datagram::{self, Datagram, Part},
    echo, fragments,
    link::Tags,
    maps::ASIDE,
    outcome::Outcome,
    packet::{self, Ethernet, Half, Icmp, protocol},
    parse::{self, Kind, Packet},
    quote,
};

/// The packet in hand, and what else is to be known of it. Each processor has one, for the stack of a program is
/// small.
pub(crate) struct Aside {
    pub(crate) packet: Packet,
    tags: Tags,
    /// What a fragment has in common with the others.
    pub(crate) fragment: FragmentKey,
    /// What a later fragment follows.
    pub(crate) first: FirstFragment,
}

impl Aside {
    /// That of this processor.
    #[inline(always)]
    pub(crate) fn here() -> Option<*mut Self> {
        ASIDE.get_ptr_mut(0)
    }
}

/// Looks at a packet that is none of the usual ones.
#[inline(always)]
pub(crate) fn look(context: &XdpContext) -> Result<&'static Packet, Outcome> {
    let verdict = match (examine(context.ctx), Aside::here()) {
        // SAFETY: this processor's own, which has just been written, and is written no more while it is balanced.
        (EXAMINED, Some(aside)) => return Ok(unsafe { &(*aside).packet }),
        (EXAMINED, None) => Verdict::Inconsistent,
        // SAFETY: it answers with nothing else.
        (verdict, _) => unsafe { transmute::<u32, Verdict>(verdict) },
    };
    let action = if verdict == Verdict::EchoAnswered { xdp_action::XDP_TX } else { xdp_action::XDP_PASS };
    Err(Outcome::new(verdict, action))
}

/// What [`examine`] answers where the packet is to be balanced: no verdict.
const EXAMINED: u32 = Verdict::COUNT;

/// Looks at the packet in hand, and answers with [`EXAMINED`] or the number of a verdict.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn examine(context: *mut xdp_md) -> u32 {
    let Some(aside) = Aside::here() else { return Verdict::Inconsistent as u32 };
    // SAFETY: this processor's own element of the map, which nobody else has in hand.
    match examine_behind_tags(&XdpContext::new(context), unsafe { &mut *aside }) {
        Ok(()) => EXAMINED,
        Err(verdict) => verdict as u32,
    }
}

/// Looks behind VLAN tags, which are off where the packet is to be balanced.
#[inline(always)]
fn examine_behind_tags(context: &XdpContext, aside: &mut Aside) -> Result<(), Verdict> {
    let (tags, kind) = Tags::read(context)?;
    if kind != Ethernet::IPV4 && kind != Ethernet::IPV6 {
        return Err(Verdict::NotIp);
    }
    aside.tags = tags;
    if tags.count != 0 {
        tags.take_off(context, kind).ok_or(Verdict::Malformed)?;
    }
    let examined = examine_ip(context, kind, aside);
    match examined {
        Ok(()) => aside.packet.tags = aside.tags.count,
        // There is room: they were there before.
        Err(_) if aside.tags.count != 0 => drop(aside.tags.put_back(context)),
        Err(_) => {}
    }
    examined
}

/// Puts a packet into the hand.
#[inline(always)]
pub(crate) fn take(packet: &Packet) -> Option<&'static Packet> {
    let aside = Aside::here()?;
    // SAFETY: this processor's own element of the map, which nobody else has in hand.
    unsafe {
        (*aside).packet = *packet;
        Some(&(*aside).packet)
    }
}

/// Puts the tags of the packet in hand back, wherever it is sent.
#[inline(always)]
pub(crate) fn put_tags_back(context: &XdpContext) -> bool {
    put_back(context.ctx) != 0
}

/// The same; answers with 1 if they are back.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn put_back(context: *mut xdp_md) -> u32 {
    let Some(aside) = Aside::here() else { return 0 };
    // SAFETY: this processor's own element of the map, filled when the packet was looked at.
    let tags = unsafe { (*aside).tags };
    tags.put_back(&XdpContext::new(context)).is_some().into()
}

/// Looks at everything there may be, and fills `aside` where it is to be balanced.
#[inline(always)]
fn examine_ip(context: &XdpContext, kind: Half, aside: &mut Aside) -> Result<(), Verdict> {
    let datagram = if kind == Ethernet::IPV4 {
        datagram::ipv4::<true>(context)?
    } else {
        datagram::ipv6::<true>(context)?
    };
    let kind = match datagram.part {
        Part::Later => return fragments::recall(&datagram, aside),
        Part::First => Kind::FirstFragment,
        Part::Whole => Kind::Whole,
    };
    match parse::ports(context, &datagram) {
        Ok(ports) => {
            aside.packet = Packet::new(&datagram, &ports, kind);
            aside.fragment = fragments::key(&datagram);
            Ok(())
        }
        Err(Verdict::OtherProtocol) if kind == Kind::FirstFragment => Err(Verdict::Fragment),
        Err(Verdict::OtherProtocol) => icmp(context, &datagram, aside),
        Err(verdict) => Err(verdict),
    }
}

/// Looks at a message of ICMP, of either family, or finds that it is another protocol.
#[inline(always)]
fn icmp(context: &XdpContext, datagram: &Datagram, aside: &mut Aside) -> Result<(), Verdict> {
    match (datagram.family, datagram.protocol) {
        (4, protocol::ICMP) | (6, protocol::ICMPV6) => {}
        _ => return Err(Verdict::OtherProtocol),
    }
    // What fills a frame up is no message.
    if datagram.payload < size_of::<Icmp>() {
        return Err(Verdict::OtherProtocol);
    }
    // SAFETY: bytes alone.
    let message: &Icmp = unsafe { packet::at(context, datagram.offset) }.ok_or(Verdict::OtherProtocol)?;
    if quote::is_error(datagram.family, message.kind) {
        aside.packet = quote::read(context, datagram)?;
        return Ok(());
    }
    if echo::is_request(datagram.family, message.kind) && echo::answer(context, datagram).is_some() {
        return Err(Verdict::EchoAnswered);
    }
    Err(Verdict::OtherProtocol)
}
