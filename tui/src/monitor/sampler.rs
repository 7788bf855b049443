//! The source's own thread: samples at their time, and what is asked in between. However long the kernel takes, the
//! screen does not wait.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    message::{Message, Order, Sampled},
    trace::{TraceNews, TraceThread},
};
use crate::source::{Source, SourceError};

/// How long an ending monitor waits for a call into the kernel to come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread tells.
#[derive(Debug)]
pub enum Report {
    /// There is a new sample in the slot.
    Sampled,
    /// An answer.
    Answer(Message),
    /// The thread is gone: it panicked.
    Gone,
}

/// The latest sample that nobody took yet. A screen that is slow misses some, and is never behind.
pub type Latest = Arc<Mutex<Option<Box<Sampled>>>>;

/// The source's thread. Dropped, it ends.
#[derive(Debug)]
pub struct Sampler {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    latest: Latest,
}

impl Sampler {
    /// Samples `source` each `interval`, at once for the first time. `tell` is called from the source's thread, and from
    /// the thread of a trace.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(
        source: Box<dyn Source>,
        interval: Duration,
        tell: impl FnMut(Report) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let latest = Latest::default();
        let worker = Worker {
            source,
            interval,
            in_force: interval,
            deadline: Instant::now(),
            latest: Arc::clone(&latest),
            trace: None,
            tell: GoneAtEnd { tell, ended: false },
        };
        let thread = thread::Builder::new().name("source".to_owned()).spawn(move || worker.run(&receiver))?;
        Ok(Self { orders: Some(orders), thread: Some(thread), latest })
    }

    /// Asks something of the source; what comes of it is told.
    pub fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that is gone has said so.
            let _ = orders.send(order);
        }
    }

    /// The latest sample, once.
    #[must_use]
    pub fn take(&self) -> Option<Box<Sampled>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.orders = None;
        let Some(thread) = self.thread.take() else { return };
        // The source is to be gone when its owner cleans up, but not at the price of an end that never comes.
        let since = Instant::now();
        while !thread.is_finished() && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Worker<F: FnMut(Report)> {
    source: Box<dyn Source>,
    interval: Duration,
    /// The interval that the next sample is waited for in: one that is chosen meanwhile holds from that sample on.
    in_force: Duration,
    deadline: Instant,
    latest: Latest,
    /// The latest trace, under way or over.
    trace: Option<TraceThread>,
    tell: GoneAtEnd<F>,
}

impl<F: FnMut(Report) + Clone + Send + 'static> Worker<F> {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => self.sample(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.tell.ended = true;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Plan(id, request) => {
                let result = self.source.plan(&request);
                let stale = result.as_ref().is_err_and(|error| error.stale);
                (self.tell.tell)(Report::Answer(Message::Planned(id, result)));
                if stale {
                    self.look_at_once();
                }
            }
            Order::Execute(id, request) => {
                let result = self.source.execute(&request);
                (self.tell.tell)(Report::Answer(Message::Executed(id, result)));
                self.look_at_once();
            }
            Order::Interval(interval) => {
                self.interval = interval;
                self.look_at_once();
            }
            Order::Trace(id, client) => self.trace(id, client),
            Order::EndTrace => {
                if let Some(trace) = &self.trace {
                    trace.end();
                }
            }
        }
    }

    /// Begins to trace, in place of what is traced now.
    fn trace(&mut self, id: u64, client: SocketAddr) {
        let mut tell = self.tell.tell.clone();
        let mut told = move |news| tell(Report::Answer(Message::Traced(id, news)));
        match self.source.trace(client) {
            Err(error) => told(TraceNews::Failed(error)),
            Ok(trace) => match TraceThread::start(trace, self.trace.take(), told.clone()) {
                Ok(trace) => self.trace = Some(trace),
                Err(error) => {
                    let message = format!("there is no thread for a trace: {error}");
                    told(TraceNews::Failed(SourceError { message, stale: false }));
                }
            },
        }
    }

    fn look_at_once(&mut self) {
        self.deadline = Instant::now();
    }

    fn sample(&mut self) {
        let late = self.deadline.elapsed();
        let held_against = std::mem::replace(&mut self.in_force, self.interval);
        let sampled = Box::new(Sampled::look(&mut *self.source, late, held_against));
        let before = self.latest.lock().unwrap_or_else(PoisonError::into_inner).replace(sampled);
        if before.is_none() {
            (self.tell.tell)(Report::Sampled);
        }
        // Deadlines are absolute, so that the time that sampling takes does not add up; those that were missed are
        // missed.
        self.deadline += self.interval;
        let now = Instant::now();
        if self.deadline < now {
            self.deadline = now;
        }
    }
}

/// Tells that the thread is gone where it ends in a panic.
struct GoneAtEnd<F: FnMut(Report)> {
    tell: F,
    ended: bool,
}

impl<F: FnMut(Report)> Drop for GoneAtEnd<F> {
    fn drop(&mut self) {
        if !self.ended {
            (self.tell)(Report::Gone);
        }
    }
}
