//! Errors to who sent what cannot be sent on: its time to live has ended, or it is larger than the way takes. The packet
//! itself becomes the quote in them.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};

use crate::{
    allowance, checksum,
    datagram::Wide,
    icmp::{self, Message, TIME_TO_LIVE},
    packet::{self, Ethernet, Half, Icmp, Ipv4, Ipv6, protocol},
};

/// How long an error is at most: of IPv4 what every host takes (RFC 1812), of IPv6 what every link takes (RFC 4443).
const MOST_V4: usize = 576;
const MOST_V6: usize = 1280;

/// What a way may be said to take at least: RFC 791, RFC 8200.
const LEAST_V4: u16 = 68;
const LEAST_V6: u16 = 1280;

/// The types of errors, and a code: unreachable, as it would have to be fragmented; time exceeded, in transit.
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const TIME_EXCEEDED: u8 = 11;
/// Those of `ICMPv6`.
const PACKET_TOO_BIG_V6: u8 = 2;
const TIME_EXCEEDED_V6: u8 = 3;

/// Internetwork control, as routers send errors (RFC 1812).
const TYPE_OF_SERVICE: u8 = 0xc0;

/// Why a packet is not sent on.
#[derive(Clone, Copy)]
enum Reason {
    TimeExceeded,
    /// The way takes packets of so many bytes.
    TooBig(u16),
}

impl Reason {
    /// Of what the way takes, or 0.
    #[inline(always)]
    fn of(most: u32) -> Self {
        if most == 0 { Self::TimeExceeded } else { Self::TooBig(most as u16) }
    }
}

/// Turns the packet into an error to its sender, from the address that it was sent to; `false` where there is none to be
/// sent, and the packet is as it was.
#[inline(always)]
pub(crate) fn answer(context: &XdpContext, family: u8, most: u16) -> bool {
    let answered = if family == 6 {
        answer_ipv6_with_error(context.ctx, most.into())
    } else {
        answer_ipv4_with_error(context.ctx, most.into())
    };
    answered != 0
}

/// The same of IPv4; answers with 1 if there is an error to be sent. A global function, which the verifier looks at once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer_ipv4_with_error(context: *mut xdp_md, most: u32) -> u32 {
    answer_ipv4(&XdpContext::new(context), Reason::of(most)).is_some().into()
}

/// The same of IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer_ipv6_with_error(context: *mut xdp_md, most: u32) -> u32 {
    answer_ipv6(&XdpContext::new(context), Reason::of(most)).is_some().into()
}

#[inline(always)]
fn answer_ipv4(context: &XdpContext, reason: Reason) -> Option<()> {
    // SAFETY: bytes alone.
    let ethernet: Ethernet = *unsafe { packet::at(context, 0) }?;
    // SAFETY: bytes alone.
    let packet: Ipv4 = *unsafe { packet::at(context, Ethernet::LENGTH) }?;
    let length = packet.packet_length();
    let message = match reason {
        Reason::TimeExceeded => Icmp { kind: TIME_EXCEEDED, code: 0, checksum: 0, rest: [0; 2] },
        Reason::TooBig(most) if (LEAST_V4..length).contains(&most) => {
            Icmp { kind: UNREACHABLE, code: FRAGMENTATION_NEEDED, checksum: 0, rest: [0, most.to_be()] }
        }
        Reason::TooBig(_) => return None,
    };
    let client: Wide = [packet.source.word(), 0, 0, 0];
    if !icmp::may_be_answered(&ethernet, 4, &client) || !allowance::take() {
        return None;
    }
    let quoted = grow::<Message<Ipv4>, { MOST_V4 }>(context, length.into())?;
    let mut header = Ipv4 {
        version_and_length: Ipv4::WITHOUT_OPTIONS,
        type_of_service: TYPE_OF_SERVICE,
        total_length: ((size_of::<Message<Ipv4>>() + quoted.length()) as u16).to_be(),
        identification: 0,
        fragment: Ipv4::DO_NOT_FRAGMENT,
        time_to_live: TIME_TO_LIVE,
        protocol: protocol::ICMP,
        checksum: 0,
        source: packet.destination,
        destination: packet.source,
    };
    header.checksum = header.right_checksum();
    let checksum = checksum::folded(quoted.sum() + message.sum());
    put(context, ethernet, Message { header, message: Icmp { checksum, ..message } })
}

#[inline(always)]
fn answer_ipv6(context: &XdpContext, reason: Reason) -> Option<()> {
    // SAFETY: bytes alone.
    let ethernet: Ethernet = *unsafe { packet::at(context, 0) }?;
    // SAFETY: bytes alone.
    let packet: Ipv6 = *unsafe { packet::at(context, Ethernet::LENGTH) }?;
    let length = Ipv6::LENGTH + packet.payload();
    let message = match reason {
        Reason::TimeExceeded => Icmp { kind: TIME_EXCEEDED_V6, code: 0, checksum: 0, rest: [0; 2] },
        Reason::TooBig(most) => {
            // To say less is no use: nobody sends smaller packets for it.
            let most = most.max(LEAST_V6);
            if length <= usize::from(most) {
                return None;
            }
            Icmp { kind: PACKET_TOO_BIG_V6, code: 0, checksum: 0, rest: [0, most.to_be()] }
        }
    };
    if !icmp::may_be_answered(&ethernet, 6, &packet.source.words()) || !allowance::take() {
        return None;
    }
    let quoted = grow::<Message<Ipv6>, { MOST_V6 }>(context, length)?;
    let payload = ((size_of::<Icmp>() + quoted.length()) as u16).to_be();
    let header = Ipv6 {
        version_and_class: 0x60,
        class_and_label: 0,
        label: 0,
        payload_length: payload,
        next_header: protocol::ICMPV6,
        hop_limit: TIME_TO_LIVE,
        source: packet.destination,
        destination: packet.source,
    };
    let pseudo_header = header.source.sum()
        + header.destination.sum()
        + u32::from(payload)
        + u32::from(u16::from(protocol::ICMPV6).to_be());
    let checksum = checksum::folded(quoted.sum() + message.sum() + pseudo_header);
    put(context, ethernet, Message { header, message: Icmp { checksum, ..message } })
}

/// How much of the packet is quoted, in whole units of two bytes, and the sum of those: in the upper and the lower half.
struct Quoted(u64);

impl Quoted {
    #[inline(always)]
    fn length(&self) -> usize {
        (self.0 >> u32::BITS) as usize
    }

    #[inline(always)]
    fn sum(&self) -> u32 {
        self.0 as u32
    }
}

/// Sums up the units of two bytes from `start` on, up to so many bytes, and up to where the first piece of memory ends.
/// It answers as [`Quoted`] has it. A global function, which the verifier goes round in once, and not once for every
/// length.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_up(context: *mut xdp_md, start: u32, most: u32) -> u64 {
    let context = XdpContext::new(context);
    // Less than 256, as the verifier has to know.
    let start = usize::from(start as u8);
    let (mut sum, mut length) = (0, 0);
    for _ in 0..MOST_V6 / 2 {
        if length + 2 > most as usize {
            break;
        }
        // SAFETY: bytes alone.
        let half: Option<&Half> = unsafe { packet::at(&context, start + length) };
        let Some(half) = half else { break };
        sum += u64::from(*half);
        length += 2;
    }
    (length as u64) << u32::BITS | sum
}

/// Makes room for `Front` in front of a packet so long, and cuts that off where the error would be longer than `MOST`, or
/// where the packet is no more in one piece of memory.
#[inline(always)]
fn grow<Front, const MOST: usize>(context: &XdpContext, length: usize) -> Option<Quoted> {
    let front = size_of::<Front>();
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    if unsafe { bpf_xdp_adjust_head(context.ctx, -(front as i32)) } != 0 {
        return None;
    }
    let start = Ethernet::LENGTH + front;
    let quoted = Quoted(sum_up(context.ctx, start as u32, length.min(MOST - front) as u32));
    let wanted = (start + quoted.length()) as i64;
    // SAFETY: the context is the program's.
    let present = unsafe { bpf_xdp_get_buff_len(context.ctx) } as i64;
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    let cut =
        present <= wanted || unsafe { bpf_xdp_adjust_tail(context.ctx, (wanted - present) as i32) } == 0;
    cut.then_some(quoted)
}

/// Writes the headers of the error in front of the quote, back to where the packet came from.
#[inline(always)]
fn put<Header>(context: &XdpContext, ethernet: Ethernet, message: Message<Header>) -> Option<()> {
    let Ethernet { destination, source, kind } = ethernet;
    // SAFETY: bytes alone.
    *unsafe { packet::at_mut(context, 0) }? = Ethernet { destination: source, source: destination, kind };
    // SAFETY: bytes alone.
    *unsafe { packet::at_mut(context, Ethernet::LENGTH) }? = message;
    Some(())
}

impl Icmp {
    /// The sum of its halves but the checksum.
    #[inline(always)]
    fn sum(self) -> u32 {
        u32::from(Half::from_ne_bytes([self.kind, self.code]))
            + u32::from(self.rest[0])
            + u32::from(self.rest[1])
    }
}
