//! The checksum of the Internet (RFC 1071), over halves as they lie in memory: it comes out in the same order.

use crate::packet::Half;

/// A checksum after one of the halves that it sums up has changed (RFC 1624).
#[inline(always)]
pub(crate) fn changed(checksum: Half, before: Half, after: Half) -> Half {
    folded(u32::from(!checksum) + u32::from(!before) + u32::from(after))
}

/// The checksum of what has that sum.
#[inline(always)]
pub(crate) fn folded(sum: u32) -> Half {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as Half)
}
