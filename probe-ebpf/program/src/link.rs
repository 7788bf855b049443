//! The link layer: Ethernet, and up to two VLAN tags (IEEE 802.1Q), which are taken off while a frame is looked at and put
//! back before it goes anywhere. So all else has IP at one place.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use maglev_probe_abi::Verdict;

use crate::packet::{self, Ethernet, Half, Hardware};

/// How many tags are taken off: a service's, and a customer's inside.
const MOST_TAGS: u8 = 2;

/// A VLAN tag, behind the hardware addresses or another tag.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    kind: Half,
    control: Half,
}

impl Tag {
    const LENGTH: usize = size_of::<Self>();
}

/// How long a link layer with so many tags is.
#[inline(always)]
pub(crate) fn length(tags: u8) -> usize {
    Ethernet::LENGTH + usize::from(tags) * Tag::LENGTH
}

/// The tags of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Tags {
    tags: [Tag; MOST_TAGS as usize],
    pub(crate) count: u8,
}

impl Tags {
    /// Looks at a frame of IP; answers with the type behind the tags, too.
    #[inline(always)]
    pub(crate) fn read(context: &XdpContext) -> Result<(Self, Half), Verdict> {
        let nothing = Tag { kind: 0, control: 0 };
        let mut tags = Self { tags: [nothing; MOST_TAGS as usize], count: 0 };
        // SAFETY: bytes alone.
        let ethernet: &Ethernet = unsafe { packet::at(context, 0) }.ok_or(Verdict::Malformed)?;
        let mut kind = ethernet.kind;
        for count in 0..MOST_TAGS {
            if kind != Ethernet::TAG && kind != Ethernet::SERVICE_TAG {
                break;
            }
            // What a tag says of itself stands in front of it, where the type stands without it.
            // SAFETY: bytes alone.
            let [control, next]: &[Half; 2] =
                unsafe { packet::at(context, length(count)) }.ok_or(Verdict::Malformed)?;
            tags.tags[usize::from(count)] = Tag { kind, control: *control };
            tags.count = count + 1;
            kind = *next;
        }
        Ok((tags, kind))
    }

    /// Takes them off a frame.
    #[inline(always)]
    pub(crate) fn take_off(&self, context: &XdpContext, kind: Half) -> Option<()> {
        // SAFETY: bytes alone.
        let ethernet: Ethernet = *unsafe { packet::at(context, 0) }?;
        move_head(context, (usize::from(self.count) * Tag::LENGTH) as i32)?;
        // SAFETY: bytes alone.
        *unsafe { packet::at_mut(context, 0) }? = Ethernet { kind, ..ethernet };
        Some(())
    }

    /// Puts them back onto a frame, whatever has become of it.
    #[inline(always)]
    pub(crate) fn put_back(&self, context: &XdpContext) -> Option<()> {
        // SAFETY: bytes alone.
        let Ethernet { destination, source, kind } = *unsafe { packet::at(context, 0) }?;
        let [first, second] = self.tags;
        if self.count == 1 {
            move_head(context, -(Tag::LENGTH as i32))?;
            // SAFETY: bytes alone.
            *unsafe { packet::at_mut(context, 0) }? = Tagged { destination, source, tags: [first], kind };
        } else {
            move_head(context, -2 * Tag::LENGTH as i32)?;
            // SAFETY: bytes alone.
            *unsafe { packet::at_mut(context, 0) }? =
                Tagged { destination, source, tags: [first, second], kind };
        }
        Some(())
    }
}

/// A link layer with so many tags.
#[repr(C)]
struct Tagged<const COUNT: usize> {
    destination: Hardware,
    source: Hardware,
    tags: [Tag; COUNT],
    kind: Half,
}

/// Moves the start of the frame, forwards or backwards.
#[inline(always)]
fn move_head(context: &XdpContext, by: i32) -> Option<()> {
    // SAFETY: the context is the program's; nothing that pointed into the packet is used any more.
    (unsafe { bpf_xdp_adjust_head(context.ctx, by) } == 0).then_some(())
}
