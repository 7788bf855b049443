//! Where packets go: each packet of a client, what was decided of it and why.
//!
//! Nothing of it is there while nobody traces. A [`Tracer`] puts the balancer that traces, an object of its own, into
//! the slot that the running program hands packets over by (`tracers`), and its maps, the balancer's apart, are its
//! own. The slot is pinned nowhere: when the tracer is gone, however it went, the kernel empties it by itself
//! (`map_release_uref`, `kernel/bpf/arraymap.c`).

mod hand_over;
mod names;
mod tracer;

pub use hand_over::TraceHolder;
pub(crate) use hand_over::traced_by;
pub use names::{TracedBackend, TracedHop, TracedPacket};
pub use tracer::{TraceTerms, Tracer};
