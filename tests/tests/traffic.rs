//! Packets reach backends: all of them, in proportion, whatever the way they are forwarded.

use std::{net::SocketAddr, thread, time::Duration};

use maglev_lab::{Connection, Datagrams, Route, TcpLoad};
use maglev_tests::{Plot, SERVICE_V6, Site};

/// Some hundreds of short connections, as fast as they come.
fn many() -> TcpLoad {
    TcpLoad {
        connections: 60,
        connection_limit: Some(1500),
        lifetime: Duration::from_millis(10)..=Duration::from_millis(60),
        requests_per_second: 100.0,
        ramp: Duration::from_millis(200),
        ..TcpLoad::default()
    }
}

fn shares_follow_weights(plot: &Plot) {
    let Some(site) = Site::start(plot) else { return };
    let traffic = site.traffic(many());
    for _ in 0..100 {
        if traffic.is_finished() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
    assert_eq!(report.failed_to_connect, 0, "{:?}; {:?}", report.last_failure, site.sample().verdicts);
    let service = site.service("web");
    let weights: u32 = plot.weights.iter().map(|&weight| u32::from(weight)).sum();
    for backend in &service.backends {
        let expected = f64::from(u32::from(backend.weight)) / f64::from(weights);
        let greeted = report.backends.get(&backend.name).map_or(0, |part| part.connections);
        assert_eq!(
            backend.counters.new_connections, greeted,
            "the program's count of connections to {} is not what clients saw",
            backend.name
        );
        // Of n draws with chance p, five standard deviations about the mean: a right table fails once in millions.
        let draws = f64::from(u32::try_from(report.opened).unwrap());
        let deviation = (draws * expected * (1.0 - expected)).sqrt();
        let found = f64::from(u32::try_from(greeted).unwrap());
        assert!(
            (found - draws * expected).abs() < 5.0 * deviation,
            "{} of {draws} connections at {}, where {:.0} ± {deviation:.0} are called for",
            greeted,
            backend.name,
            draws * expected
        );
    }
    let hits: u64 = service.slots.hits.iter().sum();
    assert_eq!(hits, service.counters.packets, "slots and service count different packets");
    let packets: u64 = service.backends.iter().map(|backend| backend.counters.packets).sum();
    assert_eq!(packets, service.counters.packets, "backends and service count different packets");
    assert_eq!(service.counters.new_connections, report.opened);
}

#[test]
fn tunnelled_traffic_reaches_every_backend_by_weight() {
    shares_follow_weights(&Plot { weights: vec![100, 100, 200, 50, 100], ..Plot::default() });
}

#[test]
fn rewritten_traffic_reaches_every_backend() {
    shares_follow_weights(&Plot { forwarding: "l2", ..Plot::default() });
}

#[test]
fn ipv6_in_tunnels_of_either_family_reaches_every_backend() {
    for backends_on_ipv6 in [true, false] {
        shares_follow_weights(&Plot {
            service: SERVICE_V6,
            backends_on_ipv6,
            weights: vec![100; 3],
            ..Plot::default()
        });
    }
}

#[test]
fn ipv4_in_tunnels_of_ipv6_does_too() {
    shares_follow_weights(&Plot { backends_on_ipv6: true, weights: vec![100; 3], ..Plot::default() });
}

#[test]
fn rewritten_ipv6_does_too() {
    let service = SERVICE_V6;
    let weights = vec![100; 3];
    shares_follow_weights(&Plot {
        service,
        backends_on_ipv6: true,
        forwarding: "l2",
        weights,
        ..Plot::default()
    });
}

#[test]
fn the_generic_hook_does_too() {
    shares_follow_weights(&Plot { attach_mode: "generic", weights: vec![100; 3], ..Plot::default() });
}

#[test]
fn tracking_every_connection_does_too() {
    shares_follow_weights(&Plot { tracking: "always", weights: vec![100; 3], ..Plot::default() });
}

#[test]
fn datagrams_of_one_flow_go_to_one_backend() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let client = site.topology.client();
    let mut seen = std::collections::BTreeSet::new();
    for source in site.client_addresses() {
        for _ in 0..4 {
            let mut flow =
                Datagrams::open(client.namespace(), SocketAddr::new(source, 0), site.dns()).unwrap();
            let first = flow.ask(Duration::from_secs(2)).expect("an answer");
            for _ in 0..5 {
                assert_eq!(flow.ask(Duration::from_secs(2)).as_deref(), Some(first.as_str()));
            }
            seen.insert(first);
        }
    }
    assert!(seen.len() >= 4, "64 flows, and all of them at {seen:?}");
    let dns = site.service("dns");
    assert_eq!(dns.counters.packets, 64 * 6);
    assert_eq!(dns.counters.new_connections, 64);
}

#[test]
fn what_is_for_no_service_passes() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    let before = site.sample();
    // To a backend's own address: the balancer's kernel forwards it.
    let host = &site.topology.backends()[0];
    let target = SocketAddr::new(host.address().into(), 80);
    let client = site.topology.client().namespace();
    let gateway = site.topology.gateway_of_client(target.ip()).unwrap();
    Route::to(target.ip()).via(gateway).add(client).unwrap();
    let source = SocketAddr::new(site.client_addresses()[0], 0);
    let mut connection = Connection::open(client, source, target).unwrap();
    connection.request().unwrap();
    assert_eq!(connection.backend(), "b1");
    assert!(site.verdict("not-a-service") >= 4);
    assert_eq!(site.service("web").counters, before.services[1].counters);
}
