//! Two thousand connections at once through two hundred random changes: none breaks. The same without tracking breaks
//! many, so the test can fail.
//!
//! `MAGLEV_SEED` is the seed of a run; a run prints its own.

use std::{collections::BTreeSet, env, thread, time::Duration};

use fastrand::Rng;
use maglev_core::{
    change::Change,
    sample::{BackendSample, ServiceSample},
    service::BackendState,
};
use maglev_lab::{Report, TcpLoad, Traffic};
use maglev_tests::{Plot, Site, eventually};

const CONNECTIONS: u32 = 2000;
const CHANGES: usize = 200;

/// No connection is silent for nearly as long.
const SETTLE_TIME: Duration = Duration::from_secs(6);

/// As many active backends are always left.
const FEWEST: usize = 4;

fn site(tracking: &'static str) -> Option<Site> {
    Site::start(&Plot { tracking, settle_time: "6s", weights: vec![100; 8], ..Plot::default() })
}

fn traffic(site: &Site) -> Traffic {
    let traffic = site.traffic(TcpLoad {
        connections: CONNECTIONS,
        lifetime: Duration::from_millis(500)..=Duration::from_secs(10),
        requests_per_second: 0.8,
        ramp: Duration::from_secs(4),
        // Two processors, and others at work on them: what counts is that the right one answers.
        answer_timeout: Duration::from_secs(20),
        ..TcpLoad::default()
    });
    eventually("as many connections as are to be", || {
        traffic.report().open >= u64::from(CONNECTIONS) * 9 / 10
    });
    traffic
}

/// Changes at random, of which each keeps what is established.
struct Churn {
    rng: Rng,
    /// Every host that can be a backend.
    hosts: Vec<String>,
    made: [usize; 5],
}

impl Churn {
    fn new(site: &Site, seed: u64) -> Self {
        let hosts = site.topology.backends().iter().map(|host| host.name().to_owned()).collect();
        Self { rng: Rng::with_seed(seed), hosts, made: [0; 5] }
    }

    /// A change that can be made to the service as it is.
    fn next(&mut self, site: &Site, service: &ServiceSample) -> Change {
        let in_state = |state| -> Vec<&BackendSample> {
            service.backends.iter().filter(|backend| backend.state == state).collect()
        };
        let (active, draining) = (in_state(BackendState::Active), in_state(BackendState::Draining));
        let members: BTreeSet<&str> = service.backends.iter().map(|backend| backend.name.as_str()).collect();
        let spares: Vec<&String> =
            self.hosts.iter().filter(|host| !members.contains(host.as_str())).collect();
        // Safe to remove: nobody has sent it anything for a whole settle time.
        let quiet: Vec<&&BackendSample> = draining
            .iter()
            .filter(|backend| backend.quiet.is_none_or(|quiet| quiet > SETTLE_TIME + Duration::from_secs(1)))
            .collect();
        let rng = &mut self.rng;
        loop {
            // Many drains to few that are taken back, so that some get as far as to be removed.
            let kind = [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4][rng.usize(..13)];
            let change = match kind {
                0 => rng.choice(&spares).map(|host| Change::Add(site.spare(host))),
                1 if active.len() > FEWEST => rng.choice(&active).map(|one| Change::Drain(one.name.clone())),
                2 => rng.choice(&draining).map(|one| Change::Undrain(one.name.clone())),
                3 => rng.choice(&service.backends).map(|one| {
                    // Another one than it has.
                    let step = (one.weight / 25 - 2 + rng.u16(1..8)) % 8;
                    let weight = 50 + 25 * step;
                    Change::SetWeight(one.name.clone(), weight)
                }),
                4 => rng.choice(&quiet).map(|one| Change::Remove(one.name.clone())),
                _ => None,
            };
            if let Some(change) = change {
                self.made[kind] += 1;
                return change;
            }
        }
    }

    fn told(&self) -> String {
        let [added, drained, undrained, weighed, removed] = self.made;
        format!(
            "{added} added, {drained} drained, {undrained} undrained, {weighed} weighed, {removed} removed"
        )
    }
}

/// Runs the churn, and returns what came of the connections.
fn churn(site: &Site) -> Report {
    let seed =
        env::var("MAGLEV_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("MAGLEV_SEED={seed}");
    let traffic = traffic(site);
    let mut churn = Churn::new(site, seed);
    let mut moved = 0_u64;
    for _ in 0..CHANGES {
        let change = churn.next(site, &site.service("web"));
        let made = site.change(std::slice::from_ref(&change));
        let made = made.unwrap_or_else(|error| panic!("{change:?} is refused: {error:?}"));
        moved += made.plans.iter().map(|plan| u64::from(plan.moved)).sum::<u64>();
        thread::sleep(Duration::from_millis(100));
    }
    let report = traffic.stop();
    println!(
        "{CHANGES} changes ({}), {moved} slots moved; of {} connections {} broke; {} never came about",
        churn.told(),
        report.opened,
        report.broken.total(),
        report.failed_to_connect,
    );
    report
}

#[test]
fn two_hundred_changes_break_none_of_two_thousand_connections() {
    let Some(site) = site("settling") else { return };
    let report = churn(&site);
    let service = site.service("web");
    assert_eq!(
        report.broken.total(),
        0,
        "{:?}, the first ones {:#?}; {} SYNs were not remembered",
        report.broken,
        report.first_broken,
        service.unremembered
    );
    assert!(report.opened > u64::from(CONNECTIONS), "{report:?}");
    assert!(service.counters.held_packets > 1000, "hardly anything was held: {:?}", service.counters);
}

#[test]
fn without_tracking_the_same_changes_break_many() {
    let Some(site) = site("never") else { return };
    for server in &site.servers {
        server.limit_idleness(Duration::from_secs(10));
    }
    let report = churn(&site);
    assert!(report.broken.total() > 500, "only {:?} of {} connections", report.broken, report.opened);
}
