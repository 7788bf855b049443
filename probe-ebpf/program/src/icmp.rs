//! What the messages of ICMP have in common that are sent from here.

use crate::{
    datagram::Wide,
    packet::{Ethernet, Icmp},
};

/// Echo request and reply.
pub(crate) const REQUEST: u8 = 8;
pub(crate) const REPLY: u8 = 0;
/// Those of `ICMPv6`.
pub(crate) const REQUEST_V6: u8 = 128;
pub(crate) const REPLY_V6: u8 = 129;

/// How many routers an answer may come through.
pub(crate) const TIME_TO_LIVE: u8 = 64;

/// An IP header without options, and a message behind it.
#[repr(C)]
pub(crate) struct Message<Header> {
    pub(crate) header: Header,
    pub(crate) message: Icmp,
}

/// Whether there is one host that an answer would go to: RFC 1122, RFC 4443.
#[inline(always)]
pub(crate) fn may_be_answered(ethernet: &Ethernet, family: u8, source: &Wide) -> bool {
    let [first, ..] = source[0].to_ne_bytes();
    let is_host = if family == 4 {
        // No host, one's own, a group's, everybody's.
        first != 0 && first != 127 && first < 224
    } else {
        // A group's, or none.
        first != 0xff && source[0] | source[1] | source[2] | source[3] != 0
    };
    is_host && !ethernet.destination.is_group()
}
