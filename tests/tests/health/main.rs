//! `up --foreground`: a backend that dies loses its slots and its flows, one that is well again gets them back, and the
//! last one is never taken out.

mod foreground;
mod tunnel;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    config::Config,
    health::{CheckKind, Health, HealthCheck, HttpCheck},
};
use maglev_lab::{Connection, Namespace};
use maglev_tests::{Site, eventually};
use serde_json::{Value, json};

use foreground::{File, Foreground, apply, done, is, plot, run, status, tcp};

/// Where the slots name a backend: as their owner, and as the one that holds flows of theirs.
fn named(site: &Site, backend: &str) -> (usize, usize) {
    let id = site.backend(backend).id;
    let slots = site.service("web").slots;
    let count =
        |owners: &[maglev_core::sample::BackendId]| owners.iter().filter(|&&owner| owner == id).count();
    (count(&slots.owner), count(&slots.previous))
}

fn all_answer(connections: &mut [Connection], but: &str) {
    for connection in connections {
        if connection.backend() != but {
            connection.request().unwrap_or_else(|cause| panic!("{}: {cause:?}", connection.backend()));
        }
    }
}

#[test]
fn a_backend_that_dies_loses_its_slots_and_flows_and_gets_slots_again() {
    let Some(mut site) = Site::start(&plot(3)) else { return };
    let file = File::new(&site, Some(tcp()));
    assert!(apply(&site, &file).contains("health none → tcp every 300ms within 300ms, rise 2, fall 3"));
    assert_eq!(status(&site)["health-checks"], json!({ "running": false, "process": null }));
    assert!(done(&run(&site, &["status"])).contains("HEALTH CHECKS ARE NOT RUNNING"));
    let shown = Config::parse("shown", &done(&run(&site, &["config", "show"]))).unwrap().config;
    assert_eq!(shown.services.iter().find(|service| service.name == "web").unwrap().health, Some(tcp()));

    let foreground = Foreground::start(&site, &file);
    let process = foreground.process.id();
    eventually("all are known to be healthy", || {
        ["b1", "b2", "b3"].into_iter().all(|name| is(&site, name, Health::Healthy))
    });
    assert_eq!(status(&site)["health-checks"], json!({ "running": true, "process": process }));
    let second = run(&site, &["up", "--foreground", "--config", &file.0]);
    assert_eq!(second.status.code(), Some(1));
    let refusal = format!("has a process in the foreground already, process {process}");
    assert!(String::from_utf8_lossy(&second.stderr).contains(&refusal), "{second:?}");

    // It drains first: connections of its are held, and are not to be held any longer than it lives.
    let mut connections = site.connect_to("b2", 5);
    assert!(run(&site, &["backend", "drain", "--service", "web", "b2"]).status.success());
    assert_eq!(named(&site, "b2").0, 0);
    assert!(named(&site, "b2").1 > 0);
    assert!(run(&site, &["backend", "undrain", "--service", "web", "b2"]).status.success());
    connections.extend(site.connect_to("b2", 5));
    all_answer(&mut connections, "");

    let events = site.sample().events.len();
    site.stop_server("b2");
    let begun = Instant::now();
    eventually("b2 is unhealthy", || is(&site, "b2", Health::Unhealthy));
    // 1.2 s at most, and what a busy machine adds to that.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(named(&site, "b2"), (0, 0));
    all_answer(&mut connections, "b2");
    for _ in 0..50 {
        let connection = site.connect();
        assert_ne!(connection.backend(), "b2");
        connections.push(connection);
    }
    // Nobody is reached through what was remembered: who had a connection to it is told that it is gone.
    let mut dead = connections.iter_mut().filter(|one| one.backend() == "b2");
    assert!(!dead.any(|one| one.request().is_ok()), "a connection to a dead backend was answered");
    let sample = site.sample();
    assert_eq!(sample.events.len(), events + 1);
    let event = sample.events.last().unwrap();
    assert_eq!((event.action.as_str(), event.backend.as_str()), ("unhealthy", "b2"));
    assert!(event.actor.starts_with("health check, process "), "{}", event.actor);
    assert!(event.detail.starts_with("3 checks in a row failed: connection refused"), "{}", event.detail);
    assert!(event.moved > 0 && event.minimum > 0);
    assert!(foreground.line().starts_with("web: b2 is unhealthy: 3 checks in a row failed"));
    assert_eq!(run(&site, &["table", "verify", "--service", "web"]).status.code(), Some(0));
    let document = status(&site);
    let b2 = &document["services"].as_array().unwrap().iter().find(|one| one["name"] == "web").unwrap()["backends"]
        [1];
    assert_eq!(
        (&b2["state"], &b2["health"], &b2["slots"]),
        (&json!("active"), &json!("unhealthy"), &json!(0))
    );
    assert!(done(&run(&site, &["status"])).contains("DOWN"));

    // What the operator wants of it meanwhile is kept apart; and applying the file does not put it in again.
    assert!(run(&site, &["backend", "drain", "--service", "web", "b2"]).status.success());
    assert!(apply(&site, &file).contains("nothing to do"));
    assert!(is(&site, "b2", Health::Unhealthy));
    assert!(run(&site, &["backend", "undrain", "--service", "web", "b2"]).status.success());
    assert_eq!(named(&site, "b2"), (0, 0));

    // Whoever watches is killed; what it did stands, and the next one goes on.
    foreground.kill();
    assert_eq!(status(&site)["health-checks"]["running"], json!(false));
    site.start_server("b2");
    assert_eq!(named(&site, "b2"), (0, 0));
    let foreground = Foreground::start(&site, &file);
    let connections: &mut Vec<_> = &mut connections.into_iter().filter(|one| one.backend() != "b2").collect();
    eventually("b2 is put in again", || is(&site, "b2", Health::Healthy));
    assert!(named(&site, "b2").0 > 0);
    assert!(foreground.line().starts_with("web: b2 is healthy: 2 checks in a row succeeded"));
    all_answer(connections, "");
    drop(site.connect_to("b2", 3));

    // It fails again so soon that it has to be well for ten seconds.
    site.stop_server("b2");
    eventually("b2 is unhealthy again", || is(&site, "b2", Health::Unhealthy));
    site.start_server("b2");
    thread::sleep(Duration::from_secs(4));
    assert!(is(&site, "b2", Health::Unhealthy), "it came back without a hold-down");

    // What is checked no more cannot be unhealthy; who stays in the foreground follows the file.
    file.write(&site, None);
    assert!(apply(&site, &file).contains("unchecked b2"));
    assert!(is(&site, "b2", Health::Unknown));
    assert!(named(&site, "b2").0 > 0);
    assert_eq!(status(&site)["health-checks"], Value::Null);
    drop(foreground);
}

#[test]
fn the_last_one_keeps_its_slots_however_it_fails() {
    let Some(mut site) = Site::start(&plot(2)) else { return };
    let file = File::new(&site, Some(tcp()));
    apply(&site, &file);
    let foreground = Foreground::start(&site, &file);
    eventually("both are healthy", || ["b1", "b2"].into_iter().all(|name| is(&site, name, Health::Healthy)));

    // What is sent to b1 is lost: checks run into their timeout.
    let gateway = site.topology.backend("b1").unwrap().balancer_side().name().to_owned();
    assert_eq!(gateway, "b1");
    let lose = |what: &str| {
        let words = ["route", what, "blackhole", "10.82.1.1/32"];
        let host = site.topology.backend("b1").unwrap().namespace();
        let output = host.run(|| Command::new("ip").args(words).output()).unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    lose("add");
    eventually("b1 is unhealthy", || is(&site, "b1", Health::Unhealthy));
    let detail = site.sample().events.last().unwrap().detail.clone();
    assert!(detail.contains("no answer within 300ms"), "{detail}");
    assert_eq!(named(&site, "b2").0, 251);
    assert!(foreground.line().starts_with("web: b1 is unhealthy"));

    site.stop_server("b2");
    eventually("b2 is kept", || is(&site, "b2", Health::Kept));
    assert_eq!((named(&site, "b1").0, named(&site, "b2").0), (0, 251));
    assert!(
        foreground
            .line()
            .starts_with("web: b2 is kept: the last one, it keeps its slots: 3 checks in a row failed")
    );
    let last = site.sample().events.last().unwrap().clone();
    assert_eq!((last.action.as_str(), last.moved), ("kept", 0));
    let refused = run(&site, &["backend", "drain", "--service", "web", "b2"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the last active backend"), "{refused:?}");
    let version = site.sample().state_version;
    thread::sleep(Duration::from_secs(1));
    assert_eq!(site.sample().state_version, version, "it is said over and over");

    let host = site.topology.backend("b1").unwrap().namespace();
    let words = ["route", "del", "blackhole", "10.82.1.1/32"];
    assert!(host.run(|| Command::new("ip").args(words).status()).unwrap().unwrap().success());
    eventually("b1 is in again, and b2 out", || {
        is(&site, "b1", Health::Healthy) && is(&site, "b2", Health::Unhealthy)
    });
    assert_eq!((named(&site, "b1").0, named(&site, "b2")), (251, (0, 0)));

    // It ends on a signal, and leaves the datapath; taken down, it ends by itself.
    let foreground = {
        let mut ended = foreground;
        let process = i32::try_from(ended.process.id()).unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        assert!(ended.process.wait().unwrap().success());
        assert!(site.datapath.is_pinned());
        Foreground::start(&site, &file)
    };
    assert!(run(&site, &["down"]).status.success());
    let mut foreground = foreground;
    let begun = Instant::now();
    while foreground.process.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it stays beside a datapath that is gone");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(foreground.process.wait().unwrap().success());
}

/// Answers every request at `address` with the status of the moment.
fn serve(namespace: &Namespace, address: SocketAddr) -> Arc<AtomicU16> {
    let status = Arc::new(AtomicU16::new(200));
    let listener = namespace.run(|| TcpListener::bind(address)).unwrap().unwrap();
    let told = Arc::clone(&status);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let fits =
                text.starts_with("GET /ready HTTP/1.1\r\n") && text.contains("\r\nHost: web.example\r\n");
            let status = if fits { told.load(Ordering::Relaxed) } else { 400 };
            let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        }
    });
    status
}

#[test]
fn a_status_that_is_not_good_takes_a_backend_out() {
    let Some(site) = Site::start(&plot(2)) else { return };
    let statuses: Vec<_> = site
        .topology
        .backends()
        .iter()
        .map(|host| serve(host.namespace(), SocketAddr::new(host.address().into(), 8081)))
        .collect();
    let http = HttpCheck {
        path: "/ready".to_owned(),
        host: Some("web.example".to_owned()),
        status: "200-299".parse().unwrap(),
    };
    let check = HealthCheck { kind: CheckKind::Http(http), port: Some(8081), ..tcp() };
    let file = File::new(&site, Some(check.clone()));
    apply(&site, &file);
    let foreground = Foreground::start(&site, &file);
    eventually("both are healthy", || ["b1", "b2"].into_iter().all(|name| is(&site, name, Health::Healthy)));
    statuses[0].store(503, Ordering::Relaxed);
    eventually("b1 is unhealthy", || is(&site, "b1", Health::Unhealthy));
    let detail = site.sample().events.last().unwrap().detail.clone();
    assert!(detail.contains("HTTP status 503, not 200-299"), "{detail}");
    // The running process takes up other terms from whoever applies them.
    let CheckKind::Http(http) = check.kind.clone() else { unreachable!() };
    let http = HttpCheck { status: "200-599".parse().unwrap(), ..http };
    file.write(&site, Some(HealthCheck { kind: CheckKind::Http(http), ..check }));
    apply(&site, &file);
    eventually("b1 is well by the new terms", || is(&site, "b1", Health::Healthy));
    drop(foreground);
}

#[test]
fn next_hops_that_are_lost_are_kept_again() {
    let Some(site) = Site::start(&plot(2)) else { return };
    let file = File::new(&site, None);
    let ip = |words: &str| {
        let output = site.topology.balancer().run(|| Command::new("ip").args(words.split(' ')).output());
        let output = output.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let managed = || ip("neigh show").lines().filter(|line| line.contains("managed")).count();
    assert_eq!(managed(), 2);
    let _foreground = Foreground::start(&site, &file);
    ip("link set b1 down");
    assert_eq!(managed(), 1, "the kernel kept what this is about");
    ip("link set b1 up");
    eventually("the next hop is kept again", || managed() == 2);
    // Another way to b2: the neighbour on it is kept instead.
    ip("route add 10.82.2.2/32 via 10.82.1.2");
    eventually("the old way is given up", || {
        let kept = ip("neigh show");
        !kept.lines().any(|line| line.starts_with("10.82.2.2 ") && line.contains("managed"))
    });
    assert!(ip("neigh show").lines().any(|line| line.starts_with("10.82.1.2 ") && line.contains("managed")));
}

#[test]
fn a_full_log_ends_no_checks() {
    let Some(mut site) = Site::start(&plot(3)) else { return };
    let file = File::new(&site, Some(tcp()));
    apply(&site, &file);
    let mut command = Command::new(maglev_tests::maglev_top());
    command.args(["up", "--foreground", "--config", &file.0, "--instance", site.datapath.instance().name()]);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    command.stdout(full()).stderr(full());
    let foreground = Foreground {
        process: site.topology.balancer().run(|| command.spawn()).unwrap().unwrap(),
        lines: std::sync::mpsc::channel().1,
    };
    site.stop_server("b2");
    eventually("b2 is unhealthy", || is(&site, "b2", Health::Unhealthy));
    site.start_server("b2");
    eventually("b2 is healthy again", || is(&site, "b2", Health::Healthy));
    drop(foreground);
}
