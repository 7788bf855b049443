//! Echo requests to a service's address, which no host on the way has: they are answered here.

use core::mem::transmute;

use aya_ebpf::programs::XdpContext;
use maglev_probe_abi::ServiceKey;

use crate::{
    checksum,
    datagram::Datagram,
    icmp::{self, Message, REPLY, REPLY_V6, REQUEST, REQUEST_V6, TIME_TO_LIVE},
    maps::ADDRESSES,
    packet::{self, Ethernet, Half, Icmp, Ipv4, Ipv6},
};

/// Whether messages of that kind ask for an echo.
#[inline(always)]
pub(crate) fn is_request(family: u8, kind: u8) -> bool {
    kind == if family == 4 { REQUEST } else { REQUEST_V6 }
}

/// Answers in place. A request with options or extension headers, or whose sender cannot be answered, is left as it is.
#[inline(always)]
pub(crate) fn answer(context: &XdpContext, request: &Datagram) -> Option<()> {
    let [a, b, c, d] = request.destination;
    // SAFETY: all bytes are valid, and stand where the record has them.
    let key = unsafe { transmute::<[u32; 5], ServiceKey>([a, b, c, d, u32::from(request.family) << 24]) };
    let headers = if request.family == 4 { Ipv4::LENGTH } else { Ipv6::LENGTH };
    if request.offset != Ethernet::LENGTH + headers || request.payload < size_of::<Icmp>() {
        return None;
    }
    ADDRESSES.get_ptr(key)?;
    // SAFETY: bytes alone.
    let ethernet: &mut Ethernet = unsafe { packet::at_mut(context, 0) }?;
    if !icmp::may_be_answered(ethernet, request.family, &request.source) {
        return None;
    }
    let Ethernet { destination, source, .. } = *ethernet;
    (ethernet.destination, ethernet.source) = (source, destination);
    if request.family == 4 { answer_ipv4(context) } else { answer_ipv6(context) }
}

#[inline(always)]
fn answer_ipv4(context: &XdpContext) -> Option<()> {
    // SAFETY: bytes alone.
    let Message { header, message }: &mut Message<Ipv4> =
        unsafe { packet::at_mut(context, Ethernet::LENGTH) }?;
    (header.destination, header.source) = (header.source, header.destination);
    let before = Half::from_ne_bytes([header.time_to_live, header.protocol]);
    header.time_to_live = TIME_TO_LIVE;
    let after = Half::from_ne_bytes([header.time_to_live, header.protocol]);
    header.checksum = checksum::changed(header.checksum, before, after);
    message.become_reply(REPLY);
    Some(())
}

#[inline(always)]
fn answer_ipv6(context: &XdpContext) -> Option<()> {
    // SAFETY: bytes alone.
    let Message { header, message }: &mut Message<Ipv6> =
        unsafe { packet::at_mut(context, Ethernet::LENGTH) }?;
    (header.destination, header.source) = (header.source, header.destination);
    header.hop_limit = TIME_TO_LIVE;
    message.become_reply(REPLY_V6);
    Some(())
}

impl Icmp {
    #[inline(always)]
    fn become_reply(&mut self, kind: u8) {
        let before = Half::from_ne_bytes([self.kind, self.code]);
        self.kind = kind;
        let after = Half::from_ne_bytes([self.kind, self.code]);
        self.checksum = checksum::changed(self.checksum, before, after);
    }
}
