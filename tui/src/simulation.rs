//! The datapath without a kernel: the same tables, the same settling rules, over generated flows.
//!
//! Time passes between samples as it does outside, or by hand in tests ([`Simulation::by_hand`]); with one seed and
//! the same steps the same happens.

mod balancer;
mod demonstration;
mod flows;
mod trace;

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use fastrand::Rng;
use maglev_core::{
    plan::Plan,
    sample::{Event, Sample},
    seed::HashSeed,
    service::{Backend, Service},
};
use maglev_probe::Verdict;

pub use self::demonstration::{demonstration, spares};
use self::{balancer::Balancer, flows::Traffic, trace::Traced};
use crate::source::{ChangeRequest, Identity, ServiceChanges, Source, SourceError, Trace};

/// How far a simulation moves at a time: an owner that changes is seen by flows that soon.
const STEP: Duration = Duration::from_millis(100);
/// What has gone on before the first sample, so that it does not show an empty datapath.
const WARM_UP: Duration = Duration::from_secs(3);
/// How many processors share the work.
const PROCESSORS: usize = 4;

/// A simulated datapath.
#[derive(Debug)]
pub struct Simulation {
    balancers: Vec<(Balancer, Traffic)>,
    spares: Vec<Backend>,
    seed: HashSeed,
    random: Rng,
    /// How much has passed, in simulated time.
    elapsed: Duration,
    clock: Clock,
    started: SystemTime,
    state_version: u64,
    next_id: u32,
    processors: [u64; PROCESSORS],
    events: Vec<Event>,
    actor: String,
    traced: Option<Traced>,
}

/// What a request makes of one service.
struct Planned {
    /// Which of the balancers it is.
    index: usize,
    plan: Plan,
    target: Service,
}

#[derive(Debug)]
enum Clock {
    /// As outside, since then.
    Outside(Instant),
    /// Only as far as it is told to.
    ByHand,
}

impl Simulation {
    /// A simulation of those services that runs as time does.
    ///
    /// `random_seed` decides on the flows; `seed` is the tables' own.
    ///
    /// # Errors
    ///
    /// When a service's table cannot be filled.
    pub fn new(
        services: Vec<Service>,
        spares: Vec<Backend>,
        seed: HashSeed,
        random_seed: u64,
    ) -> Result<Self, SourceError> {
        let mut simulation = Self {
            balancers: Vec::new(),
            spares,
            seed,
            random: Rng::with_seed(random_seed),
            elapsed: Duration::ZERO,
            clock: Clock::Outside(Instant::now()),
            started: SystemTime::now(),
            state_version: 2,
            next_id: 1,
            processors: [0; PROCESSORS],
            events: Vec::new(),
            actor: format!("simulation, process {}", std::process::id()),
            traced: None,
        };
        for service in services {
            let traffic = Traffic::of_service(&service, &mut simulation.random);
            let balancer = Balancer::new(service, &seed, &mut simulation.next_id).map_err(refused)?;
            simulation.record(
                &balancer.service().name.clone(),
                "up",
                "",
                balancer.table_size(),
                balancer.table_size(),
            );
            simulation.balancers.push((balancer, traffic));
        }
        simulation.balancers.sort_by(|a, b| a.0.service().name.cmp(&b.0.service().name));
        simulation.advance(WARM_UP);
        simulation.clock = Clock::Outside(Instant::now());
        Ok(simulation)
    }

    /// The same, but time passes only by [`Simulation::advance`], from a fixed date on.
    ///
    /// # Errors
    ///
    /// When a service's table cannot be filled.
    pub fn by_hand(
        services: Vec<Service>,
        spares: Vec<Backend>,
        seed: HashSeed,
        random_seed: u64,
    ) -> Result<Self, SourceError> {
        let mut simulation = Self::new(services, spares, seed, random_seed)?;
        simulation.clock = Clock::ByHand;
        simulation.started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        "root on pts/1, process 4711".clone_into(&mut simulation.actor);
        for event in &mut simulation.events {
            event.at = simulation.started;
            event.actor.clone_from(&simulation.actor);
        }
        Ok(simulation)
    }

    /// Lets that much time pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while self.elapsed < end {
            let step = STEP.min(end.saturating_sub(self.elapsed));
            self.elapsed += step;
            for (balancer, traffic) in &mut self.balancers {
                traffic.advance(step, self.elapsed, balancer, &mut self.random, &mut self.processors);
                balancer.settle(self.elapsed);
            }
            let balancers = self.balancers.iter_mut().map(|(balancer, _)| balancer);
            if let Some(traced) = &mut self.traced
                && !traced.advance(self.elapsed, self.started, &self.seed, balancers)
            {
                self.traced = None;
            }
        }
    }

    fn catch_up(&mut self) {
        if let Clock::Outside(since) = self.clock {
            // A process that was stopped for an hour does not have to make up for it.
            let behind = (since.elapsed() + WARM_UP).saturating_sub(self.elapsed);
            if behind > Duration::from_secs(30) {
                self.elapsed += behind;
            } else {
                self.advance(behind);
            }
        }
    }

    fn record(&mut self, service: &str, action: &str, backend: &str, moved: u32, minimum: u32) {
        self.events.push(Event {
            sequence: self.events.len() as u64 + 1,
            at: self.started + self.elapsed,
            actor: self.actor.clone(),
            action: action.to_owned(),
            service: service.to_owned(),
            backend: backend.to_owned(),
            detail: String::new(),
            moved,
            minimum,
        });
    }

    /// What a request makes of each service that it names.
    fn planned(&self, request: &ChangeRequest) -> Result<Vec<Planned>, SourceError> {
        if let Some(seen) = request.state_version.filter(|seen| *seen != self.state_version) {
            let message =
                format!("the state changed meanwhile (version {seen} is now {})", self.state_version);
            return Err(SourceError { message, stale: true });
        }
        request.services.iter().map(|one| self.planned_one(one, request.force)).collect()
    }

    fn planned_one(&self, asked: &ServiceChanges, force: bool) -> Result<Planned, SourceError> {
        let index = self
            .balancers
            .iter()
            .position(|(balancer, _)| balancer.service().name == asked.service)
            .ok_or_else(|| refused(format!("there is no service {}", asked.service)))?;
        let service = self.balancers[index].0.service();
        let (plan, target) = Plan::of_changes(service, &asked.changes, &self.seed, force).map_err(refused)?;
        Ok(Planned { index, plan, target })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn refused(error: impl ToString) -> SourceError {
    SourceError { message: error.to_string(), stale: false }
}

impl Source for Simulation {
    fn identity(&self) -> Identity {
        Identity {
            name: "simulation".to_owned(),
            attached: "no interface".to_owned(),
            simulated: true,
            read_only: None,
            pins: None,
            interval: Duration::from_secs(1),
        }
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.catch_up();
        let packets = self.processors.iter().sum();
        Ok(Sample {
            taken_at: self.elapsed,
            wall: Some(self.started + self.elapsed),
            state_version: self.state_version,
            services: self.balancers.iter().map(|(balancer, _)| balancer.sample(self.elapsed)).collect(),
            verdicts: vec![
                (Verdict::Redirected.word(), packets),
                (Verdict::NoBackend.word(), 0),
                (Verdict::NotAService.word(), packets / 997),
            ],
            processors: self.processors.to_vec(),
            events: self.events.clone(),
            cilium: None,
        })
    }

    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.planned(request).map(|planned| planned.into_iter().map(|one| one.plan).collect())
    }

    fn execute(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.catch_up();
        let planned = self.planned(request)?;
        let mut plans = Vec::with_capacity(planned.len());
        for (Planned { index, plan, target }, asked) in planned.into_iter().zip(&request.services) {
            let now = self.elapsed;
            self.balancers[index]
                .0
                .become_service(target, &self.seed, &mut self.next_id, now)
                .map_err(refused)?;
            let action = asked.changes.first().map_or("apply", |change| change.action());
            let backend = match asked.changes.as_slice() {
                [change] => change.backend().to_owned(),
                _ => String::new(),
            };
            self.record(&asked.service, action, &backend, plan.moved, plan.minimum);
            plans.push(plan);
        }
        self.state_version += 2;
        Ok(plans)
    }

    fn spares(&self) -> Vec<Backend> {
        self.spares.clone()
    }

    fn seed(&self) -> Option<HashSeed> {
        Some(self.seed)
    }

    fn trace(&mut self, client: SocketAddr) -> Result<Box<dyn Trace>, SourceError> {
        let (traced, told) = Traced::begin(client, self.elapsed);
        self.traced = Some(traced);
        Ok(Box::new(told))
    }
}

#[cfg(test)]
mod tests;
