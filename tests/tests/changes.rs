//! Drains keep what is established, removals re-route at once, and what is added gets its share.

use std::{collections::BTreeSet, time::Duration};

use maglev_core::change::Change;
use maglev_lab::{Connection, TcpLoad};
use maglev_tests::{Plot, Site, eventually};

fn drain(name: &str) -> [Change; 1] {
    [Change::Drain(name.to_owned())]
}

fn undrain(name: &str) -> [Change; 1] {
    [Change::Undrain(name.to_owned())]
}

fn all_answer(connections: &mut [Connection]) {
    for connection in connections {
        let backend = connection.backend().to_owned();
        if let Err(cause) = connection.request() {
            panic!("a connection to {backend} broke: {cause}");
        }
    }
}

#[test]
fn a_drain_keeps_established_connections_and_gives_it_no_new_ones() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections = site.connect_to("b2", 10);
    let before = site.backend("b2");
    let changed = site.change(&drain("b2")).unwrap();
    assert_eq!(changed.plans[0].minimum, before.slots);
    assert!(changed.plans[0].moved >= changed.plans[0].minimum);

    all_answer(&mut connections);
    let mut fresh: Vec<_> = (0..200).map(|_| site.connect()).collect();
    assert!(
        fresh.iter().all(|connection| connection.backend() != "b2"),
        "a draining backend got a connection"
    );
    all_answer(&mut fresh);
    all_answer(&mut connections);

    let after = site.backend("b2");
    assert_eq!(after.slots, 0);
    assert_eq!(after.counters.new_connections, before.counters.new_connections);
    assert!(after.counters.held_packets > 0, "nothing was held, yet its connections answer");
}

#[test]
fn a_drain_is_over_when_its_connections_have_been_silent_for_the_settle_time() {
    let Some(site) = Site::start(&Plot { settle_time: "2s", ..Plot::default() }) else { return };
    let mut connections = site.connect_to("b1", 3);
    site.change(&drain("b1")).unwrap();
    // Never silent for two seconds: they live for longer than that.
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(600));
        all_answer(&mut connections);
    }
    assert!(site.service("web").slots.settling() > 0, "slots with busy connections have settled");
    drop(connections);
    eventually("all slots settle", || site.service("web").slots.settling() == 0);
}

#[test]
fn changes_on_changes_break_nothing() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections = site.connect_to("b3", 5);
    for round in 0..3 {
        site.change(&drain("b3")).unwrap();
        connections.extend((0..20).map(|_| site.connect()));
        site.change(&drain("b4")).unwrap();
        connections.extend((0..20).map(|_| site.connect()));
        all_answer(&mut connections);
        site.change(&undrain("b3")).unwrap();
        connections.extend((0..20).map(|_| site.connect()));
        site.change(&[Change::SetWeight("b5".into(), 50 + round)]).unwrap();
        site.change(&undrain("b4")).unwrap();
        all_answer(&mut connections);
    }
    all_answer(&mut connections);
}

#[test]
fn many_connections_live_through_drains_that_break_them_without_tracking() {
    let broken_with = |tracking| -> Option<u64> {
        let site = Site::start(&Plot { tracking, ..Plot::default() })?;
        let traffic = site.traffic(TcpLoad {
            connections: 200,
            lifetime: Duration::from_secs(1)..=Duration::from_secs(6),
            requests_per_second: 10.0,
            ramp: Duration::from_millis(500),
            ..TcpLoad::default()
        });
        eventually("all connections are open", || traffic.report().open >= 190);
        for backend in ["b1", "b2", "b3", "b4"] {
            site.change(&drain(backend)).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            site.change(&undrain(backend)).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        let report = traffic.stop();
        assert!(report.opened > 200, "only {} connections were made", report.opened);
        assert_eq!(report.failed_to_connect, 0, "{:?}", report.last_failure);
        if tracking == "settling" {
            assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
        }
        Some(report.broken.total())
    };
    let (Some(settling), Some(never)) = (broken_with("settling"), broken_with("never")) else { return };
    assert_eq!(settling, 0);
    assert!(never > 0, "nothing broke without tracking either: the check is none");
}

#[test]
fn a_removal_re_routes_at_once() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections = site.connect_to("b2", 3);
    site.change(&[Change::Remove("b2".to_owned())]).unwrap();
    let backends: BTreeSet<_> = (0..200).map(|_| site.connect().backend().to_owned()).collect();
    assert!(!backends.contains("b2"), "a removed backend got a connection");
    assert_eq!(backends.len(), 4, "of four backends only {backends:?} get connections");
    // Its connections end with it, and others' do not.
    for connection in &mut connections {
        let outcome = connection.request();
        assert_eq!(outcome.is_err(), connection.backend() == "b2", "{}: {outcome:?}", connection.backend());
    }
}

#[test]
fn removing_a_drained_backend_ends_what_it_held() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections = site.connect_to("b2", 3);
    site.change(&drain("b2")).unwrap();
    connections.extend((0..50).map(|_| site.connect()));
    all_answer(&mut connections);
    site.change(&[Change::Remove("b2".to_owned())]).unwrap();
    for connection in &mut connections {
        let outcome = connection.request();
        assert_eq!(outcome.is_err(), connection.backend() == "b2", "{}: {outcome:?}", connection.backend());
    }
    assert!(site.service("web").backends.iter().all(|backend| backend.name != "b2"));
}

#[test]
fn an_added_backend_gets_its_share_and_takes_nobodys_connections() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let mut connections: Vec<_> = (0..100).map(|_| site.connect()).collect();
    let changed = site.change(&[Change::Add(site.spare("b6"))]).unwrap();
    assert!(changed.warnings.is_empty(), "{:?}", changed.warnings);
    all_answer(&mut connections);
    eventually("the new backend gets connections", || {
        // Its next hop is resolved a moment later; until then a SYN to it is lost, and sent again.
        (0..20).any(|_| site.connect().backend() == "b6")
    });
    all_answer(&mut connections);
    let slots = site.backend("b6").slots;
    assert!((4093 / 6..=4093 / 6 + 1).contains(&slots), "{slots} of 4093 slots for one of six");
}

#[test]
fn the_last_active_backend_is_not_drained_unasked() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    site.change(&drain("b1")).unwrap();
    let before = site.sample().state_version;
    let error = site.change(&drain("b2")).unwrap_err();
    assert!(error.to_string().contains("last active backend"), "{error}");
    assert_eq!(site.sample().state_version, before, "a refused change has changed something");
}
