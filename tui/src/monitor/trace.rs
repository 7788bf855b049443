//! Packets of one client in the monitor: a thread that reads them, and a pane that shows the last ones.

mod pane;
mod thread;

use std::time::Duration;

use maglev_probe::trace::TracedPacket;

pub use pane::TracePane;
pub use thread::TraceThread;

use crate::source::SourceError;

/// How long a trace goes on where nobody ends it: what is forgotten costs packets time.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How many packets are kept: more than a screen shows.
pub const KEPT: usize = 200;

/// What there is to tell of a trace.
#[derive(Debug)]
pub enum TraceNews {
    /// Packets are traced from now on.
    Begun,
    /// What came since.
    Packets {
        /// The packets, the latest last; at most [`KEPT`].
        packets: Vec<TracedPacket>,
        /// How many of this trace's packets are not told, all in all.
        lost: u64,
    },
    /// It is over, as long as it may be.
    OutOfTime,
    /// It did not begin, or is over; why.
    Failed(SourceError),
}
