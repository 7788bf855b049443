//! Whoever changes a datapath may be killed at any instruction: packets find their backends all the same, and the next
//! change finishes or takes back what was begun, as a whole.
//!
//! A child process changes and changes, and is killed at random moments; after each kill the maps are held against
//! what must be true. `MAGLEV_KILLS` is the number of kills (400, or as many as fit in 20 seconds, unless said),
//! `MAGLEV_SEED` the seed of a run.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use maglev_core::{
    change::Change,
    config::Config,
    sample::{Sample, ServiceSample},
    service::{Backend, BackendState, Service},
    table::LookupTable,
};
use maglev_lab::{Connection, Load, TcpLoad, Traffic};
use maglev_probe::{ApplyTerms, Datapath, DatapathError, Instance, Look, Request};
use maglev_tests::{Audit, Plot, Site};

/// Names the instance that a child is to change.
const INSTANCE: &str = "MAGLEV_CHURN_INSTANCE";

/// Names the file that the child applies and changes.
const CONFIG: &str = "MAGLEV_CHURN_CONFIG";

/// The seed of what the child does.
const SEED: &str = "MAGLEV_CHURN_SEED";

/// Two weights that are always changed together, to this sum.
const WEIGHTS: u16 = 300;

fn plot() -> Plot {
    Plot { settle_time: "60s", table_size: 1021, weights: vec![150, 150, 100, 100, 100], ..Plot::default() }
}

/// `web` and `dns`, and a third service that nobody sends to, whose backends come and go.
fn with_third_service(config: &Config) -> Config {
    let mut config = config.clone();
    let mut third = config.services[0].clone();
    "third".clone_into(&mut third.name);
    third.address.set_port(81);
    for backend in &mut third.backends {
        backend.address.set_port(81);
    }
    config.services.push(third);
    config
}

/// A fourth one, which comes and goes as a whole.
fn with_fourth_service(config: &Config) -> Config {
    let mut config = config.clone();
    let mut fourth = config.services[2].clone();
    "fourth".clone_into(&mut fourth.name);
    fourth.address.set_port(82);
    fourth.table_size = 251;
    config.services.push(fourth);
    config
}

fn find<'a>(services: &'a [Service], name: &str) -> &'a Service {
    services.iter().find(|service| service.name == name).expect("the service is there")
}

fn weight(service: &Service, name: &str) -> u16 {
    service.backend(name).expect("the backend is there").weight
}

fn state(service: &Service, name: &str) -> BackendState {
    service.backend(name).expect("the backend is there").state
}

fn turn(service: &Service, name: &str) -> Change {
    match state(service, name) {
        BackendState::Active => Change::Drain(name.to_owned()),
        BackendState::Draining => Change::Undrain(name.to_owned()),
    }
}

/// One random change that keeps what [`must_hold_together`] says.
fn one_change(datapath: &Datapath, config: &Config, rng: &mut Rng) -> Result<(), DatapathError> {
    let services: Vec<Service> = datapath.services()?.into_iter().map(|(service, _)| service).collect();
    let (web, dns, third) = (find(&services, "web"), find(&services, "dns"), find(&services, "third"));
    let asked: Vec<(&str, Vec<Change>)> = match rng.u8(..6) {
        0 => {
            let first = rng.u16(50..250);
            let changes = [("b1", first), ("b2", WEIGHTS - first)];
            let changes = changes.map(|(name, weight)| Change::SetWeight(name.to_owned(), weight)).to_vec();
            if first == weight(web, "b1") {
                return Ok(());
            }
            vec![("web", changes.clone()), ("third", changes)]
        }
        1 => vec![("web", vec![turn(web, "b3"), turn(web, "b4")])],
        2 => vec![
            ("dns", vec![turn(dns, "b5")]),
            ("web", vec![turn(web, "b5")]),
            ("third", vec![turn(third, "b5")]),
        ],
        3 => {
            // The same name at another address: one leaves, one comes.
            let old = third.backend("b3").expect("the backend is there");
            let mut address = old.address;
            address.set_port(if address.port() == 81 { 83 } else { 81 });
            vec![(
                "third",
                vec![Change::Remove("b3".into()), Change::Add(Backend { address, ..old.clone() })],
            )]
        }
        4 if third.backend("b4").is_some() => vec![("third", vec![Change::Remove("b4".into())])],
        4 => {
            let mut spare = find(&config.services, "third").backend("b4").expect("b4").clone();
            spare.weight = rng.u16(50..250);
            vec![("third", vec![Change::Add(spare)])]
        }
        _ => {
            let there = services.iter().any(|service| service.name == "fourth");
            let config = if there { config.clone() } else { with_fourth_service(config) };
            let terms = ApplyTerms { break_connections: true, ..ApplyTerms::default() };
            return datapath.apply(&config, terms).map(drop);
        }
    };
    let services = asked.iter().map(|(service, changes)| (*service, changes.as_slice())).collect();
    datapath.change(&Request { services, ..Request::default() }).map(drop)
}

/// What every change keeps as a whole, and half of one would break.
fn must_hold_together(services: &[Service]) {
    let (web, dns, third) = (find(services, "web"), find(services, "dns"), find(services, "third"));
    for service in [web, third] {
        assert_eq!(weight(service, "b1") + weight(service, "b2"), WEIGHTS, "in service {}", service.name);
    }
    assert_eq!(
        weight(web, "b1"),
        weight(third, "b1"),
        "one service has the new weight, the other the old one"
    );
    assert_ne!(state(web, "b3"), state(web, "b4"), "half a swap of b3 and b4");
    assert_eq!(state(web, "b5"), state(dns, "b5"), "half a machine drains");
    assert_eq!(state(web, "b5"), state(third, "b5"), "half a machine drains");
    assert!(third.backend("b3").is_some(), "b3 has left, and has not come back with its new address");
    assert!(
        services
            .iter()
            .filter(|service| service.name == "fourth")
            .all(|service| !service.backends.is_empty()),
        "half a service"
    );
}

/// What the child does: started by [`changes_killed_at_random_moments_are_whole`], and nothing by itself.
#[test]
fn churn() {
    let (Ok(instance), Ok(file), Ok(seed)) = (env::var(INSTANCE), env::var(CONFIG), env::var(SEED)) else {
        return;
    };
    let text = std::fs::read_to_string(file).expect("the configuration is read");
    let config = Config::parse("churn", &text).expect("a good configuration").config;
    let datapath = Datapath::open(&Instance::new(&instance).expect("a good name")).expect("it is running");
    let mut rng = Rng::with_seed(seed.parse().expect("a number"));
    println!("\nchanging");
    loop {
        one_change(&datapath, &config, &mut rng).unwrap_or_else(|error| panic!("{error:?}"));
    }
}

fn start_child(site: &Site, file: &str, seed: u64) -> Child {
    let mut child = site
        .topology
        .balancer()
        .run(|| {
            Command::new(env::current_exe().expect("this test has a path"))
                .args(["churn", "--exact", "--nocapture", "--test-threads=1"])
                .env(INSTANCE, site.datapath.instance().name())
                .env(CONFIG, file)
                .env(SEED, seed.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
        })
        .expect("a thread gets in")
        .expect("a child starts");
    let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    let ready = output.lines().map_while(Result::ok).any(|line| line == "changing");
    assert!(ready, "the child ended before it changed anything");
    child
}

/// What a round is held against: what was there before it.
struct Before {
    version: u64,
    events: u64,
    backends: BTreeMap<u32, [u64; 4]>,
    services: BTreeMap<String, u64>,
}

impl Before {
    fn of(audit: &Audit, sample: &Sample) -> Self {
        let meta = audit.meta();
        let numbers = || sample.services.iter().flat_map(|service| &service.backends);
        Self {
            version: meta.state_version,
            events: meta.events,
            backends: numbers().map(|backend| (backend.id.0, audit.counters(backend.id.0))).collect(),
            services: sample
                .services
                .iter()
                .filter(|service| service.name != "fourth")
                .map(|service| (service.name.clone(), service.counters.packets))
                .collect(),
        }
    }

    fn must_not_go_back(&self, audit: &Audit, sample: &Sample) {
        let meta = audit.meta();
        assert!(meta.state_version > self.version, "version {} after {}", meta.state_version, self.version);
        assert!(meta.events > self.events, "events {} after {}", meta.events, self.events);
        for service in &sample.services {
            let before = self.services.get(&service.name).copied().unwrap_or(0);
            assert!(service.counters.packets >= before, "{}'s packets went back", service.name);
            for backend in &service.backends {
                let before = self.backends.get(&backend.id.0).copied().unwrap_or_default();
                let now = audit.counters(backend.id.0);
                let ahead = now.iter().zip(before).all(|(now, before)| *now >= before);
                assert!(ahead, "{}'s counters went back from {before:?} to {now:?}", backend.name);
            }
        }
    }
}

/// The kernel's tables are those that the backends call for.
fn tables_must_match(look: &Look) {
    let sampled: BTreeMap<&str, &ServiceSample> =
        look.sample.services.iter().map(|service| (service.name.as_str(), service)).collect();
    for (service, seed) in &look.services {
        let table = LookupTable::of_service(service, seed).expect("a table");
        let sample = sampled[service.name.as_str()];
        for (slot, (&index, owner)) in table.slots().iter().zip(sample.slots.owner.iter()).enumerate() {
            let expected = &service.backends[index as usize];
            let found = sample.backends.iter().find(|backend| backend.id == *owner).expect("an owner");
            let same = found.name == expected.name && found.address == expected.address;
            assert!(same, "slot {slot} of {}: {} and not {}", service.name, found.name, expected.name);
        }
    }
}

#[test]
fn a_change_is_taken_back_before_it_is_decided_and_finished_after() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 3], ..Plot::default() }) else { return };
    let mut audit = Audit::open(&site.datapath.pins());
    let weights = || -> Vec<u16> { site.service("web").backends.iter().map(|one| one.weight).collect() };
    // What the events say of it besides the change that comes upon it.
    let repair = || {
        let events = site.sample().events;
        let [.., repair, change] = &events[..] else { panic!("{events:?}") };
        assert_eq!((repair.action.as_str(), change.action.as_str()), ("repair", "weight"));
        repair.detail.clone()
    };

    // Two of three entries were written.
    audit.begin_change(false, &|identity| identity.weight += 11, 2);
    audit.at_any_instant();
    assert_eq!(weights(), [100, 100, 100], "what is not decided is in force");
    site.change(&[Change::SetWeight("b3".to_owned(), 50)]).unwrap();
    audit.between_changes();
    assert_eq!(weights(), [100, 100, 50]);
    assert!(repair().contains("taken back"), "{}", repair());

    // All were written, it was decided, and nothing of it was done.
    audit.begin_change(true, &|identity| identity.weight += 11, usize::MAX);
    site.change(&[Change::SetWeight("b3".to_owned(), 70)]).unwrap();
    audit.between_changes();
    assert_eq!(weights(), [111, 111, 70]);
    assert!(repair().contains("finished"), "{}", repair());
    tables_must_match(&site.datapath.look().unwrap());

    // A change that was planned before it is refused: it was planned on another state.
    let version = site.sample().state_version;
    audit.begin_change(true, &|identity| identity.weight += 1, usize::MAX);
    let changes = [Change::SetWeight("b1".to_owned(), 50)];
    let request = Request { state_version: Some(version), ..Request::of("web", &changes) };
    let refused = site.topology.balancer().run(|| site.datapath.change(&request)).unwrap();
    assert!(matches!(refused, Err(DatapathError::Stale { .. })), "{refused:?}");
    audit.between_changes();
    assert_eq!(weights(), [112, 112, 71]);
}

#[test]
fn a_backend_that_leaves_can_be_sent_to_until_no_slot_names_it() {
    let Some(site) = Site::start(&Plot { settle_time: "2s", ..plot() }) else { return };
    let audit = Audit::open(&site.datapath.pins());
    site.change(&[Change::Drain("b1".to_owned())]).unwrap();
    // The deadlines of its slots are less than a second away: they cannot be changed before those have passed.
    thread::sleep(Duration::from_millis(1400));
    let begun = Instant::now();
    thread::scope(|scope| {
        let removal = scope.spawn(|| site.change(&[Change::Remove("b1".to_owned())]).unwrap());
        while !removal.is_finished() {
            audit.at_any_instant();
        }
    });
    assert!(begun.elapsed() > Duration::from_millis(300), "nothing had to wait: the moment was badly chosen");
    audit.between_changes();
}

#[test]
fn changes_killed_at_random_moments_are_whole() {
    let Some(site) = Site::start(&plot()) else { return };
    let seed = env::var("MAGLEV_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("MAGLEV_SEED={seed}");
    let asked: Option<usize> = env::var("MAGLEV_KILLS").ok().map(|text| text.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);

    let config = with_third_service(&site.config);
    let file = env::temp_dir().join(format!("maglev-kills-{}.toml", std::process::id()));
    std::fs::write(&file, config.to_toml()).unwrap();
    let there = |work: &(dyn Fn() -> Result<(), DatapathError> + Sync)| {
        site.topology
            .balancer()
            .run(work)
            .expect("a thread gets in")
            .unwrap_or_else(|error| panic!("{error:?}"));
    };
    there(&|| site.datapath.apply(&config, ApplyTerms::default()).map(drop));
    site.change(&[Change::Drain("b4".to_owned())]).unwrap();

    let mut connections: Vec<Connection> = (0..20).map(|_| site.connect()).collect();
    let tcp = TcpLoad {
        targets: vec![site.web()],
        connections: 20,
        lifetime: Duration::from_millis(200)..=Duration::from_secs(3),
        requests_per_second: 5.0,
        ..TcpLoad::default()
    };
    let load = Load { sources: site.client_addresses(), tcp, ..Load::default() };
    let traffic = Traffic::start(site.topology.client().namespace(), load).unwrap();

    let audit = Audit::open(&site.datapath.pins());
    let begun = Instant::now();
    let (mut kills, mut cut_short, mut decided) = (0, 0, 0);
    while asked.map_or(kills < 400 && begun.elapsed() < Duration::from_secs(20), |asked| kills < asked) {
        let before = Before::of(&audit, &site.sample());
        let mut child = start_child(&site, &file.display().to_string(), rng.u64(..));
        thread::sleep(Duration::from_micros(rng.u64(..30_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended: {status}");
        kills += 1;

        audit.at_any_instant();
        let meta = audit.meta();
        cut_short += usize::from(!meta.state_version.is_multiple_of(2));
        decided += usize::from(meta.decided != 0);
        // The next one who comes changes something, and so puts right what was left.
        let services: Vec<Service> =
            site.datapath.services().unwrap().into_iter().map(|(one, _)| one).collect();
        let other = if weight(find(&services, "dns"), "b1") == 150 { 151 } else { 150 };
        site.change_service("dns", &[Change::SetWeight("b1".to_owned(), other)]).unwrap();
        audit.between_changes();
        let look = site.datapath.look().unwrap();
        let services: Vec<Service> = look.services.iter().map(|(service, _)| service.clone()).collect();
        must_hold_together(&services);
        tables_must_match(&look);
        before.must_not_go_back(&audit, &look.sample);
        if kills % 20 == 0 {
            for connection in &mut connections {
                let backend = connection.backend().to_owned();
                connection.request().unwrap_or_else(|cause| panic!("a connection to {backend}: {cause}"));
            }
        }
    }
    for connection in &mut connections {
        connection.request().unwrap();
    }
    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
    println!(
        "{kills} kills, {cut_short} in a change, {decided} of them in a decided one; {} connections, none broken",
        report.opened
    );
    assert!(report.opened > 20, "hardly any traffic: {report:?}");
    // Else the moments are badly chosen, and the test is none.
    assert!(cut_short * 4 > kills, "only {cut_short} of {kills} kills came in a change");
    assert!(decided > 0, "none of {cut_short} was decided");
    let _ = std::fs::remove_file(file);
}
