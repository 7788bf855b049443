//! What became of a packet, in a number: the functions that the verifier looks at one by one can answer with nothing else.

use core::mem::transmute;

use maglev_probe_abi::Verdict;

/// From the lowest byte on: the verdict; what the kernel is to do; how many VLAN tags are to be put back; the family, if
/// the sender is to be told why its packet is not sent. In the upper half: what the way takes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Outcome(pub(crate) u64);

const ACTION: u32 = 8;
const TAGS: u32 = 16;
const FAMILY: u32 = 24;
const MOST: u32 = 32;

impl Outcome {
    #[inline(always)]
    pub(crate) fn new(verdict: Verdict, action: u32) -> Self {
        Self(verdict as u64 | u64::from(action) << ACTION)
    }

    /// The same of a packet that had so many VLAN tags.
    #[inline(always)]
    pub(crate) fn tagged(self, tags: u8) -> Self {
        Self(self.0 | u64::from(tags) << TAGS)
    }

    /// The same, and the sender is to be told; `most` is how long a packet the way takes, or 0 where that is not why.
    #[inline(always)]
    pub(crate) fn to_be_told(self, family: u8, most: u16) -> Self {
        Self(self.0 | u64::from(family) << FAMILY | u64::from(most) << MOST)
    }

    #[inline(always)]
    pub(crate) fn verdict(self) -> Verdict {
        // SAFETY: it was made of one.
        unsafe { transmute::<u32, Verdict>(u32::from(self.0 as u8)) }
    }

    /// `XDP_…`.
    #[inline(always)]
    pub(crate) fn action(self) -> u32 {
        u32::from((self.0 >> ACTION) as u8)
    }

    #[inline(always)]
    pub(crate) fn tags(self) -> u8 {
        (self.0 >> TAGS) as u8
    }

    /// 4 or 6 if the sender is to be told, else 0.
    #[inline(always)]
    pub(crate) fn family(self) -> u8 {
        (self.0 >> FAMILY) as u8
    }

    #[inline(always)]
    pub(crate) fn most(self) -> u16 {
        (self.0 >> MOST) as u16
    }

    /// Whether nothing is left to be done.
    #[inline(always)]
    pub(crate) fn is_final(self) -> bool {
        self.0 >> TAGS == 0
    }
}
