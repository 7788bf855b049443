//! `trace`: what is told of packets is what became of them, and nothing is left switched on.

use std::{
    io::{BufRead as _, BufReader},
    net::{IpAddr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use aya::{
    maps::MapInfo,
    programs::{ProgramInfo, loaded_programs},
};
use maglev_core::change::Change;
use maglev_lab::{Connection, TcpLoad};
use maglev_tests::{Plot, Site, eventually, maglev_top, run_in};
use serde_json::Value;

fn plot() -> Plot {
    Plot { table_size: 251, weights: vec![100; 3], settle_time: "30s", ..Plot::default() }
}

/// A tracer at a site's balancer.
struct Trace {
    child: Child,
    lines: Receiver<Value>,
    words: Receiver<String>,
}

impl Trace {
    /// Starts it, and waits until it traces.
    fn start(site: &Site, flow: &str, more: &[&str]) -> Self {
        let mut words = vec!["trace", "-o", "json", "--flow", flow];
        words.extend(["--instance", site.datapath.instance().name()]);
        words.extend(more);
        let mut command = Command::new(maglev_top());
        command.args(&words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = site.topology.balancer().run(|| command.spawn()).unwrap().expect("maglev-top starts");
        let (send_line, lines) = channel();
        let (send_words, words) = channel();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line of JSON");
                if send_line.send(line).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let _ = send_words.send(line);
            }
        });
        let trace = Self { child, lines, words };
        let begun = trace.words.recv_timeout(Duration::from_secs(10)).expect("it begins, or says why not");
        assert!(begun.starts_with("tracing "), "{begun}");
        trace
    }

    /// The next packet.
    #[track_caller]
    fn packet(&self) -> Value {
        let packet = self.lines.recv_timeout(Duration::from_secs(5)).expect("a packet is told");
        assert_eq!(packet["schema-version"], 1);
        packet
    }

    /// The packets that are told until none comes for a while.
    fn rest(&self) -> Vec<Value> {
        let mut packets = Vec::new();
        while let Ok(packet) = self.lines.recv_timeout(Duration::from_millis(700)) {
            packets.push(packet);
        }
        packets
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many programs trace a site.
fn tracing(site: &Site) -> usize {
    let slots =
        MapInfo::from_pin(site.datapath.instance().maps().join("slots")).expect("the slots are pinned").id();
    let traces = |program: &ProgramInfo| {
        program.name_as_str() == Some("maglev_trace")
            && program.map_ids().is_ok_and(|ids| ids.is_some_and(|ids| ids.contains(&slots)))
    };
    loaded_programs().flatten().filter(traces).count()
}

fn lookup(site: &Site, flow: SocketAddr) -> Value {
    let words = ["lookup", "-o", "json", "--service", "web", "--flow", &flow.to_string()];
    let words: Vec<&str> = words.into_iter().chain(["--instance", site.datapath.instance().name()]).collect();
    serde_json::from_slice(&run_in(site.topology.balancer(), &words).stdout).expect("JSON")
}

fn open(site: &Site, client: SocketAddr) -> Connection {
    Connection::open(site.topology.client().namespace(), client, site.web()).expect("a connection is made")
}

#[test]
fn a_connection_is_told_packet_by_packet_and_where_a_drain_leaves_it() {
    let Some(site) = Site::start(&plot()) else { return };
    assert_eq!(tracing(&site), 0, "nobody asked for a trace");
    let client = SocketAddr::new(site.client_addresses()[0], 40_001);
    let other = SocketAddr::new(site.client_addresses()[1], 40_001);
    let expected = lookup(&site, client);
    let trace = Trace::start(&site, &client.to_string(), &[]);
    // One that nobody asked about.
    let _other = open(&site, other);
    let mut connection = open(&site, client);
    let name = connection.backend().to_owned();
    let backend = site.topology.backend(&name).unwrap();

    let syn = trace.packet();
    assert_eq!(syn["flags"], serde_json::json!(["syn"]), "{syn}");
    assert_eq!(syn["client"], client.to_string());
    assert_eq!(syn["destination"], site.web().to_string());
    assert_eq!((&syn["service"], &syn["protocol"]), (&"web".into(), &"tcp".into()));
    assert_eq!(syn["length"], 60);
    assert_eq!(syn["interface"], site.topology.client_side().name());
    assert_eq!((&syn["slot"], &syn["hash"]), (&expected["slot"], &expected["hash"]));
    assert_eq!((&syn["owner"], &syn["backend"]), (&name.as_str().into(), &name.as_str().into()));
    assert_eq!(expected["backend"], name.as_str());
    assert_eq!((&syn["previous"], &syn["remembered"]), (&Value::Null, &Value::Null));
    assert_eq!(syn["verdict"], "redirected");
    assert_eq!(syn["next-hop"]["interface"], backend.balancer_side().name());
    let mac = backend.interface().mac().octets().map(|octet| format!("{octet:02x}")).join(":");
    assert_eq!(syn["next-hop"]["hardware-address"], mac);
    assert!(syn["explanation"].as_str().unwrap().contains("its slot's owner"), "{syn}");
    assert_eq!(trace.packet()["flags"], serde_json::json!(["ack"]));
    let greeted = trace.rest();
    assert!(greeted.iter().all(|packet| packet["client"] == client.to_string()), "{greeted:?}");

    site.change(&[Change::Drain(name.clone())]).unwrap();
    connection.request().expect("the connection survives");
    let held = trace.packet();
    assert_eq!(
        (&held["previous"], &held["backend"]),
        (&name.as_str().into(), &name.as_str().into()),
        "{held}"
    );
    assert_ne!(held["owner"], name.as_str());
    assert!(held["explanation"].as_str().unwrap().contains("previous owner"), "{held}");
    drop(connection);
    drop(trace);

    // A connection made while its slot settles is remembered.
    let port = (40_002..50_000)
        .find(|&port| lookup(&site, SocketAddr::new(client.ip(), port))["previous"] == name.as_str())
        .expect("a flow whose slot settles");
    let client = SocketAddr::new(client.ip(), port);
    let trace = Trace::start(&site, &client.to_string(), &[]);
    let connection = open(&site, client);
    let (syn, ack) = (trace.packet(), trace.packet());
    assert_eq!((&syn["remembered"], &syn["backend"]), (&Value::Null, &connection.backend().into()), "{syn}");
    assert_eq!(
        (&ack["remembered"], &ack["previous"]),
        (&connection.backend().into(), &name.as_str().into()),
        "{ack}"
    );
}

#[test]
fn packets_that_no_service_takes_are_told_and_so_are_those_that_are_too_many() {
    let Some(site) = Site::start(&plot()) else { return };
    let client = site.client_addresses()[0];
    let nothing = SocketAddr::new(site.web().ip(), 81);
    let send = |count: usize| {
        let sent = site.topology.client().namespace().run(|| {
            let socket = UdpSocket::bind((client, 0)).unwrap();
            (0..count).filter(|_| socket.send_to(b"anybody?", nothing).is_ok()).count()
        });
        assert_eq!(sent.unwrap(), count);
    };
    let mut trace = Trace::start(&site, &client.to_string(), &["--count", "3"]);
    send(3);
    let packet = trace.packet();
    assert_eq!(packet["verdict"], "not-a-service");
    assert_eq!(packet["explanation"], format!("passed to the host: no service listens at {nothing} (udp)"));
    assert_eq!(
        (&packet["service"], &packet["slot"], &packet["next-hop"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // It ends by itself once it has as many as it was to have.
    assert!(trace.child.wait().unwrap().success());
    assert_eq!(trace.rest().len(), 2);
    eventually("the program that traced is gone", || tracing(&site) == 0);

    let trace = Trace::start(&site, &client.to_string(), &[]);
    send(20_000);
    let told = trace.rest().len();
    // A thousand a second by each of the processors that saw them.
    assert!((500..20_000).contains(&told), "{told} of 20,000 packets are told");
    let missing = trace.words.recv_timeout(Duration::from_secs(5)).expect("it says how many are missing");
    assert!(missing.contains("are not shown"), "{missing}");
}

#[test]
fn a_tracer_that_is_killed_leaves_nothing_and_two_do_not_get_in_each_others_way() {
    let Some(site) = Site::start(&plot()) else { return };
    let client: IpAddr = site.client_addresses()[0];
    let mut first = Trace::start(&site, &client.to_string(), &["--duration", "10m"]);
    assert_eq!(tracing(&site), 1);
    let words = ["trace", "--flow", &client.to_string(), "--instance", site.datapath.instance().name()];
    let second = run_in(site.topology.balancer(), &words);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("process {} is tracing", first.child.id())), "{said}");
    assert_eq!(tracing(&site), 1, "the one that was refused left something");

    // SIGKILL: nothing of its own runs any more.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    eventually("the kernel lets go of the program that traced", || tracing(&site) == 0);
    let _connection = open(&site, SocketAddr::new(client, 41_000));
    let third = Trace::start(&site, &client.to_string(), &["--count", "1"]);
    let _connection = open(&site, SocketAddr::new(client, 41_001));
    assert_eq!(third.packet()["client"], format!("{client}:41001"), "it tells what came before it");
}

#[test]
fn no_packet_is_lost_where_tracing_begins_and_ends() {
    let Some(site) = Site::start(&plot()) else { return };
    let traffic = site.traffic(TcpLoad { connections: 40, ..TcpLoad::default() });
    let client = site.client_addresses()[0].to_string();
    let mut told = 0;
    for _ in 0..5 {
        let trace = Trace::start(&site, &client, &[]);
        thread::sleep(Duration::from_millis(300));
        told += trace.lines.try_iter().count();
    }
    let report = traffic.stop();
    assert!(told > 0, "no packet was told");
    assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
    assert_eq!(report.failed_to_connect, 0, "{:?}", report.last_failure);
    let service = site.service("web");
    let hits: u64 = service.slots.hits.iter().sum();
    assert_eq!(hits, service.counters.packets, "packets are counted once, whoever handles them");
}

#[test]
fn a_trace_ends_with_its_instance() {
    let Some(site) = Site::start(&plot()) else { return };
    let mut trace = Trace::start(&site, &site.client_addresses()[0].to_string(), &["--duration", "10m"]);
    site.topology.balancer().run(|| maglev_probe::down(site.datapath.instance())).unwrap().unwrap();
    let said = trace.words.recv_timeout(Duration::from_secs(5)).expect("it says why it ends");
    assert!(said.contains("the trace has ended"), "{said}");
    assert_eq!(trace.child.wait().unwrap().code(), Some(1));
}
