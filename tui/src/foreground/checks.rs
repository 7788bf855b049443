//! The checks under way: a task a backend, so that one is never checked twice at a time.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use maglev_core::{
    health::{Health, HealthCheck, Streak, Verdict},
    service::Service,
};
use maglev_probe::{Checked, Connections, Found};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::check::{Tunnel, check};

/// So many checks are under way at most; others wait.
const AT_ONCE: usize = 512;

/// What is checked: a backend of a service, by name and address.
type Key = (String, String, SocketAddr);

/// What a check found.
struct Outcome {
    key: Key,
    /// What it was asked to check: what one of other terms finds late does not count.
    check: HealthCheck,
    result: Result<(), String>,
    at: Instant,
}

/// All checks of an instance.
pub(super) struct Checks {
    runtime: Runtime,
    tasks: BTreeMap<Key, Task>,
    permits: Arc<Semaphore>,
    sender: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    begun: Instant,
}

/// The checks of one backend.
struct Task {
    check: HealthCheck,
    tunnel: Option<Tunnel>,
    handle: JoinHandle<()>,
    streak: Streak,
    /// What the last one that failed met with.
    failure: String,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Checks {
    /// No checks as yet. They are made in the network namespace that the calling thread is in.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("checks")
            .enable_io()
            .enable_time()
            .build()?;
        let (sender, outcomes) = channel();
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { runtime, tasks: BTreeMap::new(), permits, sender, outcomes, begun: Instant::now() })
    }

    /// How many backends are checked.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Checks what is `wanted` from now on, and nothing else; through tunnels only where there are `connections` that are
    /// led. What goes on as before keeps its count.
    pub(super) fn follow(&mut self, wanted: &[Checked], connections: Option<&Arc<Connections>>) {
        let mut keys: BTreeMap<Key, (&HealthCheck, Option<Tunnel>)> = BTreeMap::new();
        for Checked { service, tunnel, .. } in wanted {
            let Service { name, health: Some(health), backends, .. } = service else { continue };
            let tunnel = match (tunnel, connections) {
                (None, _) => None,
                (Some(terms), Some(connections)) => {
                    Some(Tunnel { terms: terms.clone(), connections: Arc::clone(connections) })
                }
                (Some(_), None) => continue,
            };
            keys.extend(
                backends
                    .iter()
                    .map(|one| ((name.clone(), one.name.clone(), one.address), (health, tunnel.clone()))),
            );
        }
        self.tasks.retain(|key, task| {
            keys.get(key).is_some_and(|(check, tunnel)| **check == task.check && *tunnel == task.tunnel)
        });
        for (key, (check, tunnel)) in keys {
            if !self.tasks.contains_key(&key) {
                let task = self.begin(key.clone(), check.clone(), tunnel);
                self.tasks.insert(key, task);
            }
        }
    }

    fn begin(&self, key: Key, check: HealthCheck, tunnel: Option<Tunnel>) -> Task {
        let (permits, sender) = (Arc::clone(&self.permits), self.sender.clone());
        let (terms, way) = (check.clone(), tunnel.clone());
        let handle = self.runtime.spawn(async move { repeat(key, terms, way, permits, sender).await });
        Task { check, tunnel, handle, streak: Streak::default(), failure: String::new() }
    }

    /// Counts what was found since it was last asked.
    pub(super) fn count_outcomes(&mut self) {
        let begun = self.begun;
        for Outcome { key, check, result, at } in self.outcomes.try_iter() {
            let Some(task) = self.tasks.get_mut(&key).filter(|task| task.check == check) else { continue };
            task.streak.count(result.is_ok(), at.duration_since(begun));
            if let Err(failure) = result {
                task.failure = failure;
            }
        }
    }

    /// The backends of a service that are to be something else than they are.
    pub(super) fn found(&self, checked: &Checked) -> Vec<Found> {
        let Some(check) = &checked.service.health else { return Vec::new() };
        let now = self.begun.elapsed();
        let backends = checked.service.backends.iter().zip(&checked.failures);
        backends
            .filter_map(|(backend, &failures)| {
                let key = (checked.service.name.clone(), backend.name.clone(), backend.address);
                let task = self.tasks.get(&key)?;
                let healthy = task.streak.verdict(check, backend.health, failures, now)? == Health::Healthy;
                let detail = if healthy {
                    format!("{} checks in a row succeeded", check.rise)
                } else {
                    format!("{} checks in a row failed: {}", check.fall, task.failure)
                };
                let (backend, address) = (backend.name.clone(), backend.address);
                Some(Found { verdict: Verdict { backend, address, healthy }, detail })
            })
            .collect()
    }
}

/// Checks one backend over and over, until its task is ended.
async fn repeat(
    key: Key,
    terms: HealthCheck,
    tunnel: Option<Tunnel>,
    permits: Arc<Semaphore>,
    sender: Sender<Outcome>,
) {
    // Not all of them at once: each has its own place in the interval.
    let mut due = Instant::now() + jitter(terms.interval);
    loop {
        sleep_until(due).await;
        let Ok(permit) = permits.acquire().await else { return };
        let result = check(&terms, key.2, tunnel.as_ref()).await;
        drop(permit);
        let outcome = Outcome { key: key.clone(), check: terms.clone(), result, at: Instant::now() };
        if sender.send(outcome).is_err() {
            return;
        }
        // One that is late is made at once, and those that were missed are not made up for.
        due = (due + terms.interval).max(Instant::now());
    }
}

fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(fastrand::f64())
}
