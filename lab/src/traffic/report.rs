//! What came of a load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::outcome::BreakCause;

/// How many broken connections are told of one by one.
const MOST_TOLD: usize = 32;

/// What has happened since a load began.
///
/// Of connections, `opened` is always `completed` + `broken.total()` + `open`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Since the load began.
    pub elapsed: Duration,
    /// Connections made.
    pub opened: u64,
    /// Connections closed in good order, every answer right.
    pub completed: u64,
    /// Connections that broke after they were made.
    pub broken: BreakCounts,
    /// Attempts that were refused or that nobody answered: never a connection.
    pub failed_to_connect: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests answered rightly.
    pub requests: u64,
    /// By the name of the backend that greeted, or that answered datagrams.
    pub backends: BTreeMap<String, BackendReport>,
    /// Datagrams, apart.
    pub udp: UdpReport,
    /// The first broken connections, at most 32.
    pub first_broken: Vec<BrokenConnection>,
    /// Why the last attempt to connect failed, if one did.
    pub last_failure: Option<String>,
}

impl Report {
    fn part_of(&mut self, backend: &str) -> &mut BackendReport {
        self.backends.entry(backend.to_owned()).or_default()
    }
}

/// Broken connections by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakCounts {
    /// The other side answered with a reset.
    pub reset: u64,
    /// No answer came in time.
    pub timed_out: u64,
    /// Another backend answered than the one that greeted.
    pub answered_by_another: u64,
    /// The server closed it, unasked.
    pub closed_by_server: u64,
    /// Anything else, an answer that made no sense among it.
    pub other: u64,
}

impl BreakCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.reset + self.timed_out + self.answered_by_another + self.closed_by_server + self.other
    }

    fn count(&mut self, cause: &BreakCause) {
        *match cause {
            BreakCause::Reset => &mut self.reset,
            BreakCause::TimedOut => &mut self.timed_out,
            BreakCause::AnsweredByAnother { .. } => &mut self.answered_by_another,
            BreakCause::ClosedByServer => &mut self.closed_by_server,
            BreakCause::Garbled { .. } | BreakCause::Other { .. } => &mut self.other,
        } += 1;
    }
}

/// One backend's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendReport {
    /// Connections that it greeted.
    pub connections: u64,
    /// Of these, open now.
    pub open: u64,
    /// Requests that it answered.
    pub requests: u64,
    /// Datagrams that it answered.
    pub datagrams: u64,
}

/// Datagrams and their answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpReport {
    /// Flows begun.
    pub flows: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams answered in time.
    pub answered: u64,
    /// Datagrams not answered in time.
    pub lost: u64,
    /// Answers from another backend than the flow's last one.
    pub switches: u64,
}

/// A connection that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenConnection {
    /// Since the load began.
    pub at: Duration,
    /// The client's address and port.
    pub source: SocketAddr,
    /// The service's.
    pub target: SocketAddr,
    /// The backend that had greeted, if one had.
    pub backend: Option<String>,
    /// Requests answered before.
    pub requests: u64,
    /// Why it broke; it displays as words.
    pub cause: BreakCause,
}

/// Where flows note what happens to them.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    attempts: AtomicU64,
    report: Mutex<Report>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), attempts: AtomicU64::new(0), report: Mutex::default() }
    }

    pub(super) fn report(&self) -> Report {
        Report { elapsed: self.start.elapsed(), ..self.lock().clone() }
    }

    /// Whether another attempt to connect is within `limit`; if so it is counted.
    pub(super) fn may_connect(&self, limit: Option<u64>) -> bool {
        let count = |attempts: u64| Some(attempts + 1).filter(|_| limit.is_none_or(|limit| attempts < limit));
        self.attempts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }

    pub(super) fn opened(&self) {
        let mut report = self.lock();
        report.opened += 1;
        report.open += 1;
    }

    pub(super) fn failed_to_connect(&self, target: SocketAddr, words: &str) {
        let mut report = self.lock();
        report.failed_to_connect += 1;
        report.last_failure = Some(format!("{target}: {words}"));
    }

    pub(super) fn greeted(&self, backend: &str) {
        let mut report = self.lock();
        let part = report.part_of(backend);
        part.connections += 1;
        part.open += 1;
    }

    pub(super) fn answered(&self, backend: &str) {
        let mut report = self.lock();
        report.requests += 1;
        report.part_of(backend).requests += 1;
    }

    pub(super) fn completed(&self, backend: &str) {
        let mut report = self.lock();
        report.open -= 1;
        report.completed += 1;
        report.part_of(backend).open -= 1;
    }

    pub(super) fn broken(
        &self,
        (source, target): (SocketAddr, SocketAddr),
        backend: Option<&str>,
        requests: u64,
        cause: BreakCause,
    ) {
        let at = self.start.elapsed();
        let mut report = self.lock();
        report.open -= 1;
        report.broken.count(&cause);
        if let Some(backend) = backend {
            report.part_of(backend).open -= 1;
        }
        if report.first_broken.len() < MOST_TOLD {
            let backend = backend.map(str::to_owned);
            report.first_broken.push(BrokenConnection { at, source, target, backend, requests, cause });
        }
    }

    pub(super) fn udp(&self, note: impl FnOnce(&mut UdpReport)) {
        note(&mut self.lock().udp);
    }

    pub(super) fn datagram_answered(&self, backend: &str) {
        let mut report = self.lock();
        report.udp.answered += 1;
        report.part_of(backend).datagrams += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        // Counters stay usable whatever the thread that held them came to.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
