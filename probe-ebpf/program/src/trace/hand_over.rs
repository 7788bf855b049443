//! Without tracing: nothing, but that a packet is handed over to whoever traces.

use aya_ebpf::{btf_maps::ProgramArray, macros::btf_map, programs::XdpContext};

use crate::{balance::Flow, outcome::Outcome, packet::Hardware};

/// The balancer that traces, if there is one.
#[btf_map(name = "tracers")]
static TRACERS: ProgramArray<1> = ProgramArray::new();

/// Does not come back while somebody traces.
#[inline(always)]
pub(crate) fn begin(context: &XdpContext) {
    // SAFETY: nothing is held that would have to be let go.
    unsafe { TRACERS.tail_call(context, 0) }
}

#[inline(always)]
pub(crate) fn slot(_: &Flow) {}

#[inline(always)]
pub(crate) fn remembered(_: u32) {}

#[inline(always)]
pub(crate) fn chosen(_: u32) {}

#[inline(always)]
pub(crate) fn leaves(_: Hardware, _: Option<u32>) {}

#[inline(always)]
pub(crate) fn end(_: &Outcome) {}
