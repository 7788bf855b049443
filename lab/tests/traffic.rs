//! Whole topologies with a plain router where the balancer would be.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use maglev_lab::{
    BreakCause, Connection, Datagrams, LabError, Load, Namespace, OpenError, Report, Route, Server, TcpLoad,
    Topology, Traffic, UdpLoad,
};

const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
const SERVICE_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
const PORT: u16 = 80;
const SECOND: Duration = Duration::from_secs(1);

/// A topology with servers at port 80; none, said so, without privileges.
fn lab(backends: u8) -> Option<(Topology, Vec<Server>)> {
    let topology =
        match Topology::builder().service_addresses([SERVICE, SERVICE_V6]).backends(backends).build() {
            Ok(topology) => topology,
            Err(error) if error.is_permission() => {
                println!("skipped: {error} (run as root)");
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
    let servers = topology.start_servers(&[PORT], &[PORT]).unwrap();
    Some((topology, servers))
}

fn route(topology: &Topology, service: IpAddr, backend: &str) {
    topology.route_to_backend(service, topology.backend(backend).unwrap()).unwrap();
}

fn load(topology: &Topology, connections: u32, udp_flows: u32) -> Load {
    let targets = vec![SocketAddr::new(SERVICE, PORT), SocketAddr::new(SERVICE_V6, PORT)];
    Load {
        limit: 60 * SECOND,
        sources: topology.client().addresses().to_vec(),
        tcp: TcpLoad {
            targets: targets.clone(),
            connections,
            lifetime: SECOND / 5..=SECOND,
            requests_per_second: 10.0,
            ramp: SECOND / 4,
            answer_timeout: SECOND * 2,
            ..TcpLoad::default()
        },
        udp: UdpLoad { targets, flows: udp_flows, datagrams_per_second: 10.0, ..UdpLoad::default() },
        ..Load::default()
    }
}

/// Polls until `reached`, for ten seconds at most.
fn wait_for(traffic: &Traffic, reached: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + 10 * SECOND;
    loop {
        let report = traffic.report();
        assert_eq!(report.opened, report.completed + report.broken.total() + report.open, "{report:?}");
        if reached(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open(topology: &Topology, port: u16) -> Result<Connection, OpenError> {
    let client = topology.client();
    let source = SocketAddr::new(client.addresses()[0], port);
    Connection::open(client.namespace(), source, SocketAddr::new(SERVICE, PORT))
}

#[test]
fn nothing_breaks_where_nothing_changes() {
    let Some((topology, servers)) = lab(2) else { return };
    route(&topology, SERVICE, "b1");
    route(&topology, SERVICE_V6, "b2");
    let traffic = Traffic::start(topology.client().namespace(), load(&topology, 60, 10)).unwrap();
    wait_for(&traffic, |report| report.elapsed > 2 * SECOND);
    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{report:?}");
    assert_eq!((report.failed_to_connect, report.open), (0, 0), "{report:?}");
    assert!(report.completed > 100 && report.requests > 600, "{report:?}");
    assert!(report.udp.answered > 100, "{report:?}");
    assert_eq!((report.udp.lost, report.udp.switches), (0, 0), "{report:?}");
    for (server, name) in servers.iter().zip(["b1", "b2"]) {
        let part = report.backends[name];
        assert_eq!(server.name(), name);
        assert_eq!((server.accepted(), server.requests()), (part.connections, part.requests), "{report:?}");
        assert_eq!((server.datagrams(), part.open), (part.datagrams, 0), "{report:?}");
    }
}

#[test]
fn connections_sent_to_another_backend_are_reset() {
    let Some((topology, _servers)) = lab(2) else { return };
    route(&topology, SERVICE, "b1");
    route(&topology, SERVICE_V6, "b1");
    let mut load = load(&topology, 20, 10);
    load.tcp.lifetime = 5 * SECOND..=5 * SECOND;
    let traffic = Traffic::start(topology.client().namespace(), load).unwrap();
    wait_for(&traffic, |report| {
        report.open == 20 && report.requests > 100 && report.backends["b1"].datagrams > 50
    });
    route(&topology, SERVICE, "b2");
    let report = wait_for(&traffic, |report| report.broken.total() >= 10 && report.udp.switches >= 5);
    assert_eq!((report.broken.reset, report.broken.total()), (10, 10), "{report:?}");
    let first = &report.first_broken[0];
    assert_eq!((&first.cause, first.backend.as_deref()), (&BreakCause::Reset, Some("b1")));
    assert!(first.source.ip().is_ipv4() && first.requests > 0, "{first:?}");
    let last = wait_for(&traffic, |report| report.backends.get("b2").is_some_and(|part| part.open == 10));
    assert_eq!(last.backends["b1"].open, 10, "{last:?}");
    assert_eq!(traffic.stop().broken.total(), 10);
}

#[test]
fn connections_that_nobody_answers_time_out() {
    let Some((topology, _servers)) = lab(1) else { return };
    route(&topology, SERVICE, "b1");
    let mut load = load(&topology, 5, 0);
    load.tcp.targets.truncate(1);
    load.tcp.answer_timeout = SECOND / 2;
    load.tcp.connect_timeout = SECOND / 2;
    load.tcp.lifetime = 10 * SECOND..=10 * SECOND;
    let traffic = Traffic::start(topology.client().namespace(), load).unwrap();
    wait_for(&traffic, |report| report.requests >= 10 && report.open == 5);
    topology.backends()[0].interface().set_down().unwrap();
    let report = wait_for(&traffic, |report| report.broken.total() == 5 && report.failed_to_connect > 0);
    assert_eq!(report.broken.timed_out, 5, "{report:?}");
    assert!(report.last_failure.is_some());
}

#[test]
fn a_backend_that_ends_closes_its_connections() {
    let Some((topology, servers)) = lab(1) else { return };
    route(&topology, SERVICE, "b1");
    let mut connection = open(&topology, 0).unwrap();
    assert_eq!(servers[0].open(), 1);
    connection.request().unwrap();
    drop(servers);
    assert!(matches!(connection.request(), Err(BreakCause::ClosedByServer | BreakCause::Reset)));
    let refused = open(&topology, 0).unwrap_err();
    assert!(matches!(refused, OpenError::Connect { .. }), "{refused:?}");
}

#[test]
fn an_answer_of_another_backend_is_seen() {
    let impostor = |namespace: &Namespace| {
        let listener = namespace.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"b1\n").unwrap();
                let mut request = [0; 2];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(b"b2 1\n").unwrap();
            }
        });
        address
    };
    let namespace = match Namespace::new("host") {
        Ok(namespace) => namespace,
        Err(error) if error.is_permission() => return println!("skipped: {error} (run as root)"),
        Err(error) => panic!("{error:?}"),
    };
    let target = impostor(&namespace);
    let expected = BreakCause::AnsweredByAnother { first: "b1".to_owned(), then: "b2".to_owned() };

    let mut connection = Connection::open(&namespace, SocketAddr::from(([127, 0, 0, 2], 0)), target).unwrap();
    assert_eq!(connection.request(), Err(expected.clone()));

    let tcp = TcpLoad {
        targets: vec![target],
        connections: 1,
        connection_limit: Some(1),
        requests_per_second: 50.0,
        ..TcpLoad::default()
    };
    let traffic = Traffic::start(&namespace, Load { tcp, ..Load::default() }).unwrap();
    let report = wait_for(&traffic, |_| traffic.is_finished());
    assert_eq!((report.opened, report.broken.answered_by_another), (1, 1), "{report:?}");
    assert_eq!(report.first_broken[0].cause, expected);
    assert_eq!(report.backends["b1"].open, 0, "{report:?}");
}

#[test]
fn single_flows_are_under_control() {
    let Some((topology, servers)) = lab(2) else { return };
    route(&topology, SERVICE, "b1");
    let mut connection = open(&topology, 40_000).unwrap();
    assert_eq!((connection.backend(), connection.local().port()), ("b1", 40_000));
    for padding in [0, 1400, 20_000] {
        connection.padded_request(padding).unwrap();
    }
    assert_eq!((servers[0].open(), servers[0].requests()), (1, 3));
    connection.close().unwrap();
    // The five-tuple in use is refused; the one in TIME-WAIT may be used again at once.
    let mut again = open(&topology, 40_000).unwrap();
    let twice = open(&topology, 40_000).unwrap_err();
    assert!(matches!(twice, OpenError::Connect { .. }), "{twice:?}");
    again.request().unwrap();

    let client = topology.client();
    let source = SocketAddr::new(client.addresses()[1], 40_001);
    let mut flow = Datagrams::open(client.namespace(), source, SocketAddr::new(SERVICE, PORT)).unwrap();
    assert_eq!(flow.local().unwrap(), source);
    assert_eq!(flow.ask(SECOND).as_deref(), Some("b1"));
    route(&topology, SERVICE, "b2");
    assert_eq!(flow.ask(SECOND).as_deref(), Some("b2"));
    Route::to(SERVICE).remove(topology.balancer()).unwrap();
    assert_eq!(flow.ask(SECOND / 5), None);
}

#[test]
fn a_pause_is_silent_and_breaks_nothing() {
    let Some((topology, servers)) = lab(1) else { return };
    route(&topology, SERVICE, "b1");
    route(&topology, SERVICE_V6, "b1");
    let traffic = Traffic::start(topology.client().namespace(), load(&topology, 20, 5)).unwrap();
    wait_for(&traffic, |report| report.requests > 50);
    traffic.pause();
    std::thread::sleep(SECOND / 2);
    let (requests, datagrams, open) = (servers[0].requests(), servers[0].datagrams(), servers[0].open());
    std::thread::sleep(SECOND);
    assert_eq!((servers[0].requests(), servers[0].datagrams()), (requests, datagrams));
    assert_eq!(servers[0].open(), open);
    traffic.resume();
    wait_for(&traffic, |report| report.requests > requests + 50);
    let report = traffic.stop();
    assert_eq!((report.broken.total(), report.failed_to_connect), (0, 0), "{report:?}");
}

#[test]
fn a_load_ends_by_itself() {
    let Some((topology, _servers)) = lab(1) else { return };
    route(&topology, SERVICE, "b1");
    route(&topology, SERVICE_V6, "b1");
    let load = Load { limit: SECOND, ..load(&topology, 10, 3) };
    let traffic = Traffic::start(topology.client().namespace(), load).unwrap();
    let report = wait_for(&traffic, |_| traffic.is_finished());
    assert!(report.elapsed > SECOND && report.elapsed < 4 * SECOND, "{report:?}");
    assert!(report.completed > 0 && report.open == 0 && report.broken.total() == 0, "{report:?}");
}

#[test]
fn backends_and_service_addresses_can_be_added() {
    let Some((mut topology, _servers)) = lab(1) else { return };
    topology.add_backend().unwrap();
    let another = IpAddr::from([192, 0, 2, 11]);
    topology.add_service_address(another).unwrap();
    let backend = topology.backend("b2").unwrap();
    let server = topology.start_server(backend, &[8080], &[]).unwrap();
    route(&topology, another, "b2");
    let client = topology.client();
    let source = SocketAddr::new(client.addresses()[0], 0);
    for target in [another, backend.address().into()] {
        // The way to a backend itself is for the balancer's health checks.
        let namespace = if target == another { client.namespace() } else { topology.balancer() };
        let source = if target == another { source } else { SocketAddr::from(([0, 0, 0, 0], 0)) };
        let connection = Connection::open(namespace, source, SocketAddr::new(target, 8080)).unwrap();
        assert_eq!(connection.backend(), "b2");
        connection.close().unwrap();
    }
    assert_eq!(server.accepted(), 2);
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let error = Topology::builder().client_addresses(65).build().unwrap_err();
    assert!(matches!(&error, LabError::Invalid(words) if words.contains("not 65")), "{error}");
}
