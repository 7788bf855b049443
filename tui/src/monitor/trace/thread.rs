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
use crate::{
    source::{SourceError, Trace},
    terminal::session::end_with_this_thread,
};

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
            end_with_this_thread();
            drop(before);
            if let Err(error) = follow(trace.as_mut(), &asked, LIMIT, &mut tell) {
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

/// Tells what comes until it has to end, for that long at most.
fn follow(
    trace: &mut dyn Trace,
    ended: &AtomicBool,
    limit: Duration,
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
        if begun.elapsed() >= limit {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use maglev_core::seed::HashSeed;

    use super::*;
    use crate::{
        simulation::{Simulation, demonstration},
        source::Source as _,
    };

    fn simulation() -> (Simulation, Box<dyn Trace>) {
        let mut simulation =
            Simulation::by_hand(demonstration(), Vec::new(), HashSeed::default(), 7).unwrap();
        let trace = simulation.trace("198.51.100.7:40000".parse().unwrap()).unwrap();
        (simulation, trace)
    }

    #[test]
    fn packets_are_told_until_the_trace_is_dropped_and_the_next_one_waits_for_that() {
        let (mut first, trace) = simulation();
        let (sender, news) = mpsc::channel();
        let again = sender.clone();
        let before = TraceThread::start(trace, None, move |news| sender.send((1, news)).unwrap()).unwrap();
        assert!(matches!(news.recv().unwrap(), (1, TraceNews::Begun)));
        first.advance(Duration::from_secs(2));
        let (1, TraceNews::Packets { packets, lost: 0 }) = news.recv().unwrap() else { panic!() };
        assert!(!packets.is_empty());

        let (_second, trace) = simulation();
        let after = TraceThread::start(trace, Some(before), move |news| again.send((2, news)).unwrap());
        let told = news.iter().find(|(number, _)| *number == 2);
        assert!(matches!(told, Some((2, TraceNews::Begun))));
        first.advance(Duration::from_secs(2));
        drop(after.unwrap());
        assert_eq!(news.iter().filter(|(number, _)| *number == 1).count(), 0, "the first one went on");
    }

    #[test]
    fn it_is_over_after_its_time() {
        let (_simulation, mut trace) = simulation();
        let mut told = Vec::new();
        let mut tell = |news| told.push(news);
        follow(trace.as_mut(), &AtomicBool::new(false), Duration::ZERO, &mut tell).unwrap();
        assert!(matches!(told[..], [TraceNews::Begun, TraceNews::OutOfTime]), "{told:?}");
    }
}
