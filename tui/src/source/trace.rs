//! The packets of a client, one by one, for as long as somebody wants to know.

use std::time::Duration;

use maglev_probe::trace::TracedPacket;

use super::SourceError;

/// The packets of one client. The monitor asks from a thread of its own; dropped, the trace ends.
pub trait Trace: Send {
    /// Begins; before that nothing is told.
    ///
    /// # Errors
    ///
    /// When the packets cannot be traced: somebody else does, or this process may not.
    fn begin(&mut self) -> Result<(), SourceError>;

    /// The next packet; `None` where none comes in that time.
    ///
    /// # Errors
    ///
    /// When the trace is over: what was traced is gone.
    fn next(&mut self, patience: Duration) -> Result<Option<TracedPacket>, SourceError>;

    /// How many packets there were that are not told.
    ///
    /// # Errors
    ///
    /// When that cannot be read.
    fn lost(&self) -> Result<u64, SourceError>;
}
