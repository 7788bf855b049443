//! The real binary in a real terminal, on a running datapath: what it shows, what it does, and what survives it.

use std::{net::SocketAddr, num::NonZeroU16, process::Command, time::Duration};

use maglev_core::{change::Change, service::BackendState};
use maglev_lab::Connection;
use maglev_probe::{
    survey::{Pins, Traced},
    trace::{TraceTerms, Tracer},
};
use maglev_tests::{Plot, Site, Terminal, eventually, maglev_top};

const COLUMNS: NonZeroU16 = NonZeroU16::new(110).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(32).unwrap();

/// The monitor on a site's datapath.
fn open(site: &Site) -> Terminal {
    let instance = site.datapath.instance().name();
    Terminal::start(maglev_top(), &["--instance", instance], COLUMNS, ROWS)
}

/// To the backends of `web`, which may not be the first service.
fn go_to_web(monitor: &mut Terminal) {
    monitor.wait_for("b1");
    for _ in 0..2 {
        if monitor.text().contains("web 192.0.2.10:80") {
            return;
        }
        monitor.press("]");
        monitor.watch(Duration::from_millis(300));
    }
    assert!(monitor.text().contains("web 192.0.2.10:80"), "{}", monitor.text());
}

#[test]
fn a_backend_drains_from_the_keyboard_with_cancel_in_the_way() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections = site.connect_to("b1", 3);
    let mut monitor = open(&site);
    go_to_web(&mut monitor);

    // Enter alone cancels: that is where the focus is.
    monitor.press("d");
    monitor.wait_for("Cancel");
    monitor.press("\r");
    monitor.wait_until("the dialog is gone", |screen| !screen.contains("Cancel"));
    assert_eq!(site.backend("b1").state, BackendState::Active);

    monitor.press("d");
    monitor.wait_for("Cancel");
    monitor.press("\t\r");
    monitor.wait_for("DRAINING");
    assert_eq!(site.backend("b1").state, BackendState::Draining);
    for connection in &mut connections {
        connection.request().unwrap();
    }
    assert!((0..50).all(|_| site.connect().backend() != "b1"), "a draining backend got a connection");

    monitor.press("u");
    monitor.wait_for("Cancel");
    monitor.press("\t\r");
    // The dialog may hide the word.
    monitor.wait_until("it is active again", |screen| {
        !screen.contains("Cancel") && !screen.contains("DRAINING")
    });
    assert_eq!(site.backend("b1").state, BackendState::Active);
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
    for connection in &mut connections {
        connection.request().unwrap();
    }
}

#[test]
fn a_machine_drains_everywhere_from_the_keyboard_until_it_is_safe_to_remove() {
    let Some(site) = Site::start(&Plot { settle_time: "2s", ..Plot::default() }) else { return };
    let mut connections = site.connect_to("b1", 3);
    let states = || ["web", "dns"].map(|service| site.service(service).backends[0].state);
    let mut monitor = open(&site);
    go_to_web(&mut monitor);
    let address = site.spare("b1").address.ip().to_string();

    monitor.press("D");
    monitor.wait_for(&format!("drain {address} in 2 services"));
    monitor.wait_for("[>Cancel<]");
    monitor.press("\t\r");
    monitor.wait_for("DRAINING");
    monitor.wait_for("By hand since the last apply: b1 drained");
    assert_eq!(states(), [BackendState::Draining; 2]);
    let events = site.sample().events;
    assert_eq!(events[events.len() - 2].at, events[events.len() - 1].at, "it was not one change");
    for _ in 0..10 {
        for connection in &mut connections {
            connection.request().unwrap();
        }
        monitor.watch(Duration::from_millis(300));
        let text = monitor.text();
        assert!(!text.contains("b1 drains: quiet for 2 s"), "it is called quiet under load:\n{text}");
    }
    monitor.wait_until("it is quiet", |screen| {
        screen.lines().any(|line| line.contains("b1 drains: quiet for") && line.contains(": safe to remove"))
    });
    monitor.press("u");
    monitor.wait_for(&format!("Undo: enable {address} in 2 services"));
    monitor.press("\t\r");
    monitor.wait_until("it is active again", |screen| !screen.contains("DRAINING"));
    assert!(!monitor.text().contains("By hand"), "{}", monitor.text());
    assert_eq!(states(), [BackendState::Active; 2]);
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
}

#[test]
fn a_flow_is_traced_from_the_keyboard_and_no_longer_than_it_is_shown() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    let client = SocketAddr::new(site.client_addresses()[0], 40_007);
    let instance = site.datapath.instance();
    let is_traced = || Pins::look(instance).unwrap().traced != Traced::ByNobody;
    let mut monitor = open(&site);
    go_to_web(&mut monitor);
    monitor.press("3t");
    monitor.wait_for("Trace a flow to web");
    assert!(!is_traced());
    monitor.press(&format!("{client}\r"));
    monitor.wait_for(&format!("trace of {client}"));
    monitor.wait_for("at most 1 min");
    assert!(is_traced());

    let mut connection = Connection::open(site.topology.client().namespace(), client, site.web()).unwrap();
    let words = format!("redirected: sent to {}", connection.backend());
    monitor.wait_for(&words);
    monitor.wait_for("its slot's owner");
    site.change(&[Change::Drain(connection.backend().to_owned())]).unwrap();
    connection.request().unwrap();
    monitor.wait_for("its slot's previous owner");

    // Somebody else does not get in between.
    let terms = TraceTerms { client, rate: 1 };
    let refused = Tracer::begin(&site.datapath, terms).err().expect("one at a time").to_string();
    let process = monitor.process().expect("it runs");
    assert!(refused.contains(&format!("process {process} is tracing")), "{refused}");

    monitor.press("2");
    eventually("the trace ends with its view", || !is_traced());
    let tracer = Tracer::begin(&site.datapath, terms).unwrap();
    monitor.press("3t");
    monitor.wait_for(&format!("process {} is tracing this instance", std::process::id()));
    drop(tracer);
    monitor.press("t");
    monitor.wait_for("at most 1 min");
    assert!(is_traced());
    monitor.kill();
    eventually("the trace ends with its process", || !is_traced());
}

#[test]
fn a_killed_monitor_leaves_traffic_flowing_and_the_next_one_adopts_it() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections: Vec<_> = (0..20).map(|_| site.connect()).collect();
    let mut monitor = open(&site);
    go_to_web(&mut monitor);
    monitor.press("d");
    monitor.wait_for("Cancel");
    monitor.press("\t\r");
    monitor.wait_for("DRAINING");
    monitor.kill();
    drop(monitor);

    for connection in &mut connections {
        connection.request().unwrap();
    }
    site.connect().request().unwrap();
    let mut next = open(&site);
    go_to_web(&mut next);
    next.wait_for("DRAINING");
    next.press("q");
    assert_eq!(next.end(), 0);
}

#[test]
fn a_monitor_that_is_told_to_end_says_so_and_changes_nothing() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    let before = site.sample().state_version;
    let mut monitor = open(&site);
    monitor.wait_for("b1");
    let process = monitor.process().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    assert_eq!(monitor.end(), 128 + 15);
    assert_eq!(site.sample().state_version, before);
    eventually("connections are still made", || site.connect().request().is_ok());
}

#[test]
fn without_a_datapath_it_says_what_to_run() {
    let monitor = Terminal::start(maglev_top(), &["--instance", "nobody-has-this-name"], COLUMNS, ROWS);
    assert_eq!(monitor.end(), 1);
}
