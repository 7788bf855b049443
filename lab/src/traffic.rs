//! Many connections at once, every answer checked.

mod load;
mod report;
mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use load::{Load, TcpLoad, UdpLoad};
pub use report::{BackendReport, BreakCounts, BrokenConnection, Report, UdpReport};

use crate::descriptors::Reservation;
use crate::error::LabError;
use crate::namespace::Namespace;
use report::Tally;
use tcp::Seat;
use udp::Flow;

/// A load under way: a thread in the client's namespace that opens connections, sends requests and checks
/// the answers until it is stopped, dropped, or its time is over.
#[derive(Debug)]
pub struct Traffic {
    tally: Arc<Tally>,
    phase: Arc<watch::Sender<Phase>>,
    thread: Option<JoinHandle<()>>,
    _descriptors: Reservation,
}

/// What the flows are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Keep what is open, and be silent.
    Paused,
    /// Finish in good order.
    Stopping,
    /// Leave everything.
    Abandoned,
}

impl Traffic {
    /// Starts a load in `namespace`. Raises the process's soft limit on open files if it must.
    pub fn start(namespace: &Namespace, load: Load) -> Result<Self, LabError> {
        load.check()?;
        // Servers are mostly in the same process, so a connection counts twice.
        let flows = u64::from(load.tcp.connections) + u64::from(load.udp.flows);
        let descriptors = Reservation::new(2 * flows)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| LabError::new("run traffic", error))?;
        let tally = Arc::new(Tally::new());
        let phase = Arc::new(watch::Sender::new(Phase::Running));
        let (flows_tally, flows_phase) = (Arc::clone(&tally), Arc::clone(&phase));
        let thread = namespace.spawn("lab-traffic", move || {
            runtime.block_on(drive(load, flows_tally, &flows_phase));
        })?;
        Ok(Self { tally, phase, thread: Some(thread), _descriptors: descriptors })
    }

    /// What has happened so far. Cheap: it copies counters.
    #[must_use]
    pub fn report(&self) -> Report {
        self.tally.report()
    }

    /// Opens no connection and sends no request until [`Traffic::resume`]; what is open stays open, silent.
    pub fn pause(&self) {
        self.change(Phase::Running, Phase::Paused);
    }

    /// Goes on after [`Traffic::pause`].
    pub fn resume(&self) {
        self.change(Phase::Paused, Phase::Running);
    }

    /// Whether the load's time is over and every connection closed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets every connection make a last request and close, and returns what has happened. It takes as long
    /// as the slowest answer, at most two answer timeouts.
    ///
    /// # Panics
    ///
    /// If the thread did.
    #[must_use]
    pub fn stop(mut self) -> Report {
        self.phase.send_replace(Phase::Stopping);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        self.tally.report()
    }

    fn change(&self, from: Phase, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let changes = *phase == from;
            if changes {
                *phase = to;
            }
            changes
        });
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Abandoned);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; a destructor has no better use for it.
            let _ = thread.join();
        }
    }
}

async fn drive(load: Load, tally: Arc<Tally>, phase: &watch::Sender<Phase>) {
    let mut seeds = Rng::with_seed(load.seed);
    let sources = Arc::new(Sources::new(load.sources));
    let tcp = Arc::new(load.tcp);
    let udp = Arc::new(load.udp);
    let mut flows = JoinSet::new();
    for number in 0..tcp.connections {
        let seat = Seat {
            number,
            load: Arc::clone(&tcp),
            sources: Arc::clone(&sources),
            tally: Arc::clone(&tally),
            signal: Signal(phase.subscribe()),
            rng: seeds.fork(),
        };
        flows.spawn(seat.occupy());
    }
    for number in 0..udp.flows {
        let flow = Flow {
            number,
            load: Arc::clone(&udp),
            sources: Arc::clone(&sources),
            tally: Arc::clone(&tally),
            signal: Signal(phase.subscribe()),
            rng: seeds.fork(),
        };
        flows.spawn(flow.keep_up());
    }
    let mut abandoned = phase.subscribe();
    let all = async {
        while let Some(ended) = flows.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    };
    let time_over = async {
        tokio::time::sleep(load.limit).await;
        phase.send_if_modified(|phase| {
            let changes = matches!(phase, Phase::Running | Phase::Paused);
            if changes {
                *phase = Phase::Stopping;
            }
            changes
        });
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = all => {}
        _ = abandoned.wait_for(|phase| *phase == Phase::Abandoned) => {}
        () = time_over => {}
    }
}

/// A flow's view of what it is to do.
struct Signal(watch::Receiver<Phase>);

impl Signal {
    fn is_ending(&self) -> bool {
        matches!(*self.0.borrow(), Phase::Stopping | Phase::Abandoned)
    }

    fn is_paused(&self) -> bool {
        *self.0.borrow() == Phase::Paused
    }

    /// Waits until it is to end.
    async fn ending(&mut self) {
        // The sender outlives every flow; if it did not, that would be the end too.
        let _ = self.0.wait_for(|phase| matches!(phase, Phase::Stopping | Phase::Abandoned)).await;
    }

    /// Waits until it is not paused.
    async fn unpaused(&mut self) {
        let _ = self.0.wait_for(|phase| *phase != Phase::Paused).await;
    }

    /// Waits for `duration` to pass, or the end to come.
    async fn pass(&mut self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.ending() => {}
        }
    }
}

/// The client's addresses, given out in turn.
struct Sources {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    turn: AtomicUsize,
}

impl Sources {
    fn new(addresses: Vec<IpAddr>) -> Self {
        let (v4, v6) = addresses.into_iter().partition(IpAddr::is_ipv4);
        Self { v4, v6, turn: AtomicUsize::new(0) }
    }

    /// The next address to connect to `target` from, the port left to the kernel.
    fn next(&self, target: SocketAddr) -> SocketAddr {
        let (addresses, any) = match target {
            SocketAddr::V4(_) => (&self.v4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (&self.v6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let address = addresses.get(turn % addresses.len().max(1)).copied().unwrap_or(any);
        SocketAddr::new(address, 0)
    }
}

/// The target of the flow `number`.
fn in_turn(targets: &[SocketAddr], number: u32) -> Option<SocketAddr> {
    let turn = usize::try_from(number).ok()?.checked_rem(targets.len())?;
    targets.get(turn).copied()
}

/// A random time in `range`.
fn within(range: &std::ops::RangeInclusive<Duration>, rng: &mut Rng) -> Duration {
    range.start().saturating_add(range.end().saturating_sub(*range.start()).mul_f64(rng.f64()))
}

/// A random time around the middle distance of `per_second` events, half to one and a half times it.
fn paced(per_second: f64, rng: &mut Rng) -> Duration {
    Duration::from_secs_f64((0.5 + rng.f64()) / per_second)
}
