//! The trace's own thread: however long the kernel takes to load what traces, and whatever comes in, neither the screen
//! nor the samples wait.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use maglev_probe::trace::TracedPacket;

use super::{KEPT, LIMIT, TraceNews};
use crate::source::{SourceError, Trace};

/// How often there is news at most.
const STEP: Duration = Duration::from_millis(200);

/// A trace that is under way. It is over a moment after [`TraceThread::end`], and when this is dropped.
#[derive(Debug)]
pub struct TraceThread {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TraceThread {
    /// Begins to trace, once the trace `before` is over: there is one at a time. `tell` is called from the thread.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(
        mut trace: Box<dyn Trace>,
        before: Option<Self>,
        mut tell: impl FnMut(TraceNews) + Send + 'static,
    ) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ended);
        let work = move || {
            drop(before);
            if let Err(error) = follow(trace.as_mut(), &asked, &mut tell) {
                tell(TraceNews::Failed(error));
            }
        };
        let thread = thread::Builder::new().name("trace".to_owned()).spawn(work)?;
        Ok(Self { ended, thread: Some(thread) })
    }

    /// Has it end, and does not wait for that.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for TraceThread {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Tells what comes until it has to end.
fn follow(
    trace: &mut dyn Trace,
    ended: &AtomicBool,
    tell: &mut impl FnMut(TraceNews),
) -> Result<(), SourceError> {
    let is_asked_to_end = || ended.load(Ordering::Relaxed);
    if is_asked_to_end() {
        return Ok(());
    }
    trace.begin()?;
    tell(TraceNews::Begun);
    let begun = Instant::now();
    let mut lost = 0;
    while !is_asked_to_end() {
        if begun.elapsed() >= LIMIT {
            tell(TraceNews::OutOfTime);
            return Ok(());
        }
        let packets = collect(trace, STEP)?;
        let lost_before = mem::replace(&mut lost, trace.lost()?);
        if !packets.is_empty() || lost != lost_before {
            tell(TraceNews::Packets { packets, lost });
        }
    }
    Ok(())
}

/// The packets of that time, the last [`KEPT`] of them.
fn collect(trace: &mut dyn Trace, time: Duration) -> Result<Vec<TracedPacket>, SourceError> {
    let end = Instant::now() + time;
    let mut packets = VecDeque::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        packets.extend(trace.next(left)?);
        if packets.len() > KEPT {
            packets.pop_front();
        }
        if left.is_zero() {
            return Ok(packets.into());
        }
    }
}
