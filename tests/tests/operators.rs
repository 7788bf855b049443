//! Several who change one datapath at once, and several datapaths on one host.

use std::{
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use maglev_lab::TcpLoad;
use maglev_probe::Instance;
use maglev_tests::{Audit, Plot, Site, maglev_top, run_in};

fn run(site: &Site, words: &[&str]) -> Output {
    let mut all = words.to_vec();
    all.extend(["--instance", site.datapath.instance().name()]);
    run_in(site.topology.balancer(), &all)
}

/// What one operator's commands came to.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    refused: u64,
}

impl Tally {
    /// Counts a command, whose refusal has to be one of those that others' changes bring about.
    fn count(&mut self, output: &Output) {
        if output.status.success() {
            self.done += 1;
            return;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        let known = ["already", "has changed since this was planned", "last active backend"];
        assert!(known.iter().any(|words| error.contains(words)), "{error}");
        assert_eq!(output.status.code(), Some(1), "{error}");
        self.refused += 1;
    }
}

#[test]
fn two_operators_at_once_get_in_each_others_way_and_nothing_breaks() {
    let Some(site) = Site::start(&Plot { table_size: 1021, settle_time: "60s", ..Plot::default() }) else {
        return;
    };
    let site = &site;
    let _ = maglev_top();
    let file = std::env::temp_dir().join(format!("maglev-operators-{}.toml", std::process::id()));
    std::fs::write(&file, site.config.to_toml()).unwrap();
    let file_name = file.display().to_string();
    let address = site.spare("b2").address.ip().to_string();
    let mut connections: Vec<_> = (0..20).map(|_| site.connect()).collect();
    let traffic = site.traffic(TcpLoad {
        connections: 30,
        lifetime: Duration::from_millis(200)..=Duration::from_secs(2),
        requests_per_second: 10.0,
        ..TcpLoad::default()
    });
    let audit = Audit::open(&site.datapath.pins());
    let before = audit.meta();

    let by_hand: [&[&str]; 5] = [
        &["backend", "drain", "--service", "web", "b1"],
        &["backend", "weight", "--service", "web", "b3", "70"],
        &["backend", "drain", "--address", &address],
        &["backend", "undrain", "--service", "web", "b1"],
        &["backend", "undrain", "--address", &address],
    ];
    let by_file: [&[&str]; 3] = [
        &["apply", "--config", &file_name, "--override"],
        &["backend", "drain", "--address", &address],
        &["backend", "weight", "--service", "web", "b3", "130"],
    ];
    let stop = AtomicBool::new(false);
    let operator = |commands: &[&[&str]]| {
        let mut tally = Tally::default();
        while !stop.load(Ordering::Relaxed) {
            for words in commands {
                tally.count(&run(site, words));
            }
        }
        tally
    };
    let (one, two, looks) = thread::scope(|scope| {
        let one = scope.spawn(|| operator(&by_hand));
        let two = scope.spawn(|| operator(&by_file));
        let begun = Instant::now();
        let mut looks = 0;
        while begun.elapsed() < Duration::from_secs(8) {
            audit.at_any_instant();
            looks += 1;
            if looks % 50 == 0 {
                for connection in &mut connections {
                    connection.request().unwrap();
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        (one.join().unwrap(), two.join().unwrap(), looks)
    });
    audit.between_changes();
    for connection in &mut connections {
        connection.request().unwrap();
    }
    let report = traffic.stop();
    println!("{one:?} and {two:?}, {looks} looks, {} connections", report.opened);
    assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
    assert!(one.done > 10 && two.done > 10, "hardly anything was done: {one:?}, {two:?}");
    assert!(one.refused + two.refused > 0, "they never met: {one:?}, {two:?}");
    let after = audit.meta();
    assert!(after.state_version > before.state_version && after.events > before.events);
    for service in ["web", "dns"] {
        assert_eq!(run(site, &["table", "verify", "--service", service]).status.code(), Some(0));
    }
    let _ = std::fs::remove_file(file);
}

#[test]
fn an_instance_on_anothers_interface_is_refused_with_who_holds_it() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let first = site.datapath.instance().name();
    let second = Instance::new(&format!("{first}-b")).unwrap();
    let up = |config: &maglev_core::config::Config| {
        site.topology.balancer().run(|| maglev_probe::up(&second, config)).unwrap()
    };
    let refused = up(&site.config).unwrap_err().to_string();
    let interface = site.topology.client_side().name();
    for words in
        [interface, "maglev (id", &format!("of instance {first}"), &format!("down --instance {first}")]
    {
        assert!(refused.contains(words), "no {words:?} in {refused}");
    }
    assert!(!second.exists(), "something is left of what was refused");

    // One interface of two is taken: none is attached to.
    let mut config = site.config.clone();
    let free = site.topology.backends()[4].balancer_side().name().to_owned();
    config.datapath.interfaces = vec![free.clone(), interface.to_owned()];
    assert!(up(&config).is_err());
    let found = site.topology.balancer().run(|| maglev_probe::Interface::by_name(&free)).unwrap();
    assert!(found.unwrap().holder.is_none(), "the free interface was attached to");
    site.connect().request().unwrap();

    // Each on its own they go on side by side, and one ends without the other.
    config.datapath.interfaces = vec![free];
    up(&config).unwrap();
    let other = maglev_probe::Datapath::open(&second).unwrap();
    let drain = [maglev_core::change::Change::Drain("b1".to_owned())];
    let request = maglev_probe::Request::of("web", &drain);
    site.topology.balancer().run(|| other.change(&request)).unwrap().unwrap();
    assert_eq!(site.backend("b1").state, maglev_core::service::BackendState::Active);
    Audit::open(second.folder()).between_changes();
    Audit::open(&site.datapath.pins()).between_changes();
    site.topology.balancer().run(|| maglev_probe::down(&second)).unwrap().unwrap();
    site.connect().request().unwrap();
}
