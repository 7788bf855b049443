//! Fragments: the first one, which has the ports, is balanced, and the others of its packet follow it.

use core::mem::transmute;

use maglev_core::slot::Segment;
use maglev_probe_abi::{FirstFragment, FragmentKey, Verdict};

use crate::{
    aside::Aside,
    balance::{Backend, Choice},
    clock,
    datagram::{Datagram, Wide},
    maps::FRAGMENTS,
    parse::{Kind, Packet, Ports},
};

/// For so many milliseconds others follow a first fragment; after that its identification may be another packet's.
/// Linux puts packets together for as long.
const LIFETIME_MILLISECONDS: u64 = 30_000;

/// What a fragment has in common with the others of its packet.
#[inline(always)]
pub(crate) fn key(datagram: &Datagram) -> FragmentKey {
    // SAFETY: all bytes are valid, and stand as they lie in memory.
    let bytes = |words| unsafe { transmute::<Wide, [u8; 16]>(words) };
    FragmentKey {
        source: bytes(datagram.source),
        destination: bytes(datagram.destination),
        identification: datagram.identification,
        protocol: if datagram.family == 4 { datagram.protocol } else { 0 },
        family: datagram.family,
        padding: 0,
    }
}

/// Makes a packet of a later fragment, with what its first one said.
#[inline(always)]
pub(crate) fn recall(datagram: &Datagram, aside: &mut Aside) -> Result<(), Verdict> {
    aside.fragment = key(datagram);
    let first = FRAGMENTS.get_ptr(aside.fragment).ok_or(Verdict::FragmentWithoutFirst)?;
    // SAFETY: it points into a map's element, which lives as long as the program runs.
    let first = unsafe { *first };
    if clock::milliseconds().saturating_sub(first.at) >= LIFETIME_MILLISECONDS {
        return Err(Verdict::FragmentWithoutFirst);
    }
    aside.first = first;
    let ports = Ports { client: first.client_port, service: first.service_port, segment: Segment::Other };
    let packet = Packet::new(datagram, &ports, Kind::LaterFragment);
    aside.packet = Packet { protocol: first.protocol, ..packet };
    Ok(())
}

/// The backend that the first fragment of the packet in hand went to, if it is still there.
#[inline(always)]
pub(crate) fn follow() -> Result<Choice, Verdict> {
    let aside = Aside::here().ok_or(Verdict::Inconsistent)?;
    // SAFETY: this processor's own element of the map, filled when the packet was looked at.
    let (number, generation) = unsafe { ((*aside).first.backend, (*aside).first.generation) };
    let backend = Backend::present(number).filter(|backend| backend.record.generation == generation);
    backend.map(Choice::of).ok_or(Verdict::BackendGone)
}

/// Remembers where the first fragment in hand went.
#[inline(never)]
pub(crate) fn remember(backend: u32, generation: u32, at: u64) {
    let Some(aside) = Aside::here() else { return };
    // SAFETY: this processor's own element of the map, filled when the packet was looked at.
    let Aside { packet, fragment, .. } = unsafe { &*aside };
    let first = FirstFragment {
        at,
        backend,
        generation,
        client_port: packet.client_port,
        service_port: packet.service_port,
        protocol: packet.protocol,
        padding: [0; 3],
    };
    // Where there is no room, the others find no first one.
    let _ = FRAGMENTS.insert(fragment, first, 0);
}
