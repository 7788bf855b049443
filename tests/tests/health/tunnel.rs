//! `via = "tunnel"`: checks take the way of clients' packets, and fail where that is broken, whatever the backend's own
//! address says.

use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use etherparse::{Ethernet2Header, IpHeaders, IpNumber, TcpHeader};
use maglev_core::health::{Health, HealthCheck, Via};
use maglev_lab::Offload;
use maglev_tests::{Plot, SERVICE, SERVICE_V6, Site, eventually};
use socket2::{Domain, Protocol, Socket, Type};

use crate::foreground::{File, Foreground, apply, is, plot, tcp};

fn through_the_tunnel() -> HealthCheck {
    HealthCheck { via: Via::Tunnel, ..tcp() }
}

fn all_are_healthy(site: &Site, names: &[&str]) {
    eventually("all are healthy", || names.iter().all(|name| is(site, name, Health::Healthy)));
}

/// Runs `ip` on the balancer.
fn ip(site: &Site, words: &str) {
    let output = site.topology.balancer().run(|| Command::new("ip").args(words.split(' ')).output());
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
}

/// The programs that stand on an interface of the balancer, where packets come in and where they leave.
fn programs(site: &Site, interface: &str) -> Vec<String> {
    let names = [TcAttachType::Ingress, TcAttachType::Egress].into_iter().flat_map(|side| {
        let query = || SchedClassifier::query_tcx(interface, side);
        let (_, programs) = site.topology.balancer().run(query).unwrap().unwrap();
        programs.into_iter().map(|program| program.name_as_str().unwrap_or_default().to_owned())
    });
    names.collect()
}

/// Their names, cut to fifteen characters by the kernel.
const BOTH: [&str; 2] = ["maglev_check_in", "maglev_check_ou"];

/// Whether the backend answers the balancer at its own address.
fn answers(site: &Site, backend: &str) -> bool {
    let address = SocketAddr::new(site.topology.backend(backend).unwrap().address().into(), 80);
    let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    site.topology.balancer().run(connect).unwrap()
}

fn fails_and_comes_back(plot: &Plot, service: IpAddr, prefix_length: u8) {
    let Some(mut site) = Site::start(plot) else { return };
    let file = File::new(&site, Some(through_the_tunnel()));
    assert!(apply(&site, &file).contains("health none → tcp through the tunnel every 300ms"));
    let foreground = Foreground::start(&site, &file);
    all_are_healthy(&site, &["b1", "b2", "b3"]);

    // No outer header is taken off at b1.
    site.stop_decapsulation("b1");
    eventually("b1 is unhealthy", || is(&site, "b1", Health::Unhealthy));
    assert!(answers(&site, "b1"));
    let detail = site.sample().events.last().unwrap().detail.clone();
    assert!(detail.contains("no answer within 300ms"), "{detail}");
    assert!(detail.contains("through the tunnel to "), "{detail}");
    site.start_decapsulation("b1");
    eventually("b1 is well again", || is(&site, "b1", Health::Healthy));

    // The service's address is missing at b2.
    let loopback =
        maglev_lab::Interface::find(site.topology.backend("b2").unwrap().namespace(), "lo").unwrap();
    loopback.remove_address(service, prefix_length).unwrap();
    eventually("b2 is unhealthy", || is(&site, "b2", Health::Unhealthy));
    assert!(answers(&site, "b2"));
    loopback.add_address(service, prefix_length).unwrap();
    eventually("b2 is well again", || is(&site, "b2", Health::Healthy));

    // Nobody listens at b3.
    site.stop_server("b3");
    eventually("b3 is unhealthy", || is(&site, "b3", Health::Unhealthy));
    let detail = site.sample().events.last().unwrap().detail.clone();
    assert!(detail.contains("connection refused"), "{detail}");

    // What is checked otherwise needs no programs.
    file.write(&site, Some(tcp()));
    assert!(!programs(&site, "b1").is_empty());
    apply(&site, &file);
    eventually("the programs are gone", || programs(&site, "b1").is_empty());
    drop(foreground);
}

#[test]
fn a_backend_whose_end_of_the_tunnel_is_missing_fails() {
    fails_and_comes_back(&plot(3), SERVICE, 32);
}

#[test]
fn a_backend_whose_end_of_an_ipv6_tunnel_is_missing_fails() {
    fails_and_comes_back(&Plot { service: SERVICE_V6, backends_on_ipv6: true, ..plot(3) }, SERVICE_V6, 128);
}

#[test]
fn the_service_may_be_the_balancers_own_address_and_paths_may_be_filtered() {
    let Some(mut site) = Site::start(&plot(2)) else { return };
    ip(&site, "address add 192.0.2.10/32 dev lo");
    for group in ["all", "default", "b1", "b2"] {
        site.topology.balancer().set_sysctl(&format!("net/ipv4/conf/{group}/rp_filter"), "1").unwrap();
    }
    let file = File::new(&site, Some(through_the_tunnel()));
    apply(&site, &file);
    let foreground = Foreground::start(&site, &file);
    all_are_healthy(&site, &["b1", "b2"]);
    site.stop_decapsulation("b1");
    eventually("b1 is unhealthy", || is(&site, "b1", Health::Unhealthy));
    drop(foreground);
}

#[test]
fn on_the_same_segment_the_service_is_asked_for_at_the_backends_hardware_address() {
    let Some(site) = Site::start(&Plot { forwarding: "l2", ..plot(2) }) else { return };
    let file = File::new(&site, Some(through_the_tunnel()));
    apply(&site, &file);
    let foreground = Foreground::start(&site, &file);
    all_are_healthy(&site, &["b1", "b2"]);
    let loopback =
        maglev_lab::Interface::find(site.topology.backend("b2").unwrap().namespace(), "lo").unwrap();
    loopback.remove_address(SERVICE, 32).unwrap();
    eventually("b2 is unhealthy", || is(&site, "b2", Health::Unhealthy));
    assert!(answers(&site, "b2"));
    drop(foreground);
}

#[test]
fn whoever_is_killed_leaves_no_program_and_the_next_one_goes_on() {
    let Some(site) = Site::start(&plot(2)) else { return };
    let file = File::new(&site, Some(through_the_tunnel()));
    apply(&site, &file);
    assert!(programs(&site, "b1").is_empty());
    let foreground = Foreground::start(&site, &file);
    for interface in ["client0", "b1", "b2"] {
        assert_eq!(programs(&site, interface), BOTH, "{interface}");
    }
    assert!(programs(&site, "b3").is_empty(), "nothing is checked there");
    foreground.kill();
    for interface in ["client0", "b1", "b2"] {
        eventually("the kernel has taken them off", || programs(&site, interface).is_empty());
    }
    let foreground = Foreground::start(&site, &file);
    all_are_healthy(&site, &["b1", "b2"]);
    // The way to b2 leads elsewhere; b1 does not forward.
    ip(&site, "route add 10.82.2.2/32 via 10.82.3.2");
    eventually("the programs have moved", || {
        programs(&site, "b3") == BOTH && programs(&site, "b2").is_empty()
    });
    drop(foreground);
}

#[test]
fn an_answer_that_did_not_come_by_the_tunnel_counts_for_nothing() {
    let Some(site) = Site::start(&plot(2)) else { return };
    let file = File::new(&site, Some(through_the_tunnel()));
    apply(&site, &file);
    let foreground = Foreground::start(&site, &file);
    all_are_healthy(&site, &["b1", "b2"]);
    // The balancer answers at the address of b2 itself, by an interface that carries no tunnel.
    ip(&site, "address add 10.82.2.2/32 dev lo");
    let listen = || TcpListener::bind("10.82.2.2:80");
    let listener = site.topology.balancer().run(listen).unwrap().unwrap();
    eventually("b2 is unhealthy", || is(&site, "b2", Health::Unhealthy));
    let detail = site.sample().events.last().unwrap().detail.clone();
    assert!(detail.contains("it did not get into the tunnel"), "{detail}");
    drop((listener, foreground));
}

/// Every frame that the balancer sends and gets: as it is on the wire, behind the programs on its way out, and before them
/// on its way in.
struct Frames(Socket);

impl Frames {
    fn of(site: &Site) -> Self {
        const EVERYTHING: u16 = 0x0003;
        let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
        let open = || Socket::new(Domain::PACKET, Type::RAW, Some(protocol));
        let socket = site.topology.balancer().run(open).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    fn next(&self) -> Vec<u8> {
        let mut frame = vec![0; 2048];
        let length = (&self.0).read(&mut frame).expect("a frame within five seconds");
        frame.truncate(length);
        frame
    }
}

/// The TCP packet in a frame, and the outer header that it is behind; `None` for any other frame.
fn tcp_packet(frame: &[u8]) -> Option<(Option<IpHeaders>, IpHeaders, TcpHeader)> {
    let read = |packet: &[u8]| -> Option<(IpHeaders, Vec<u8>)> {
        let (headers, payload) = IpHeaders::from_slice(packet).ok()?;
        Some((headers, payload.payload.to_vec()))
    };
    let (_, packet) = Ethernet2Header::from_slice(frame).ok()?;
    let (mut headers, mut payload) = read(packet)?;
    let mut outer = None;
    if matches!(protocol(&headers), IpNumber::IPV4 | IpNumber::IPV6) {
        let inside = read(&payload)?;
        outer = Some(headers);
        (headers, payload) = inside;
    }
    let (tcp, data) = TcpHeader::from_slice(&payload).ok()?;
    (protocol(&headers) == IpNumber::TCP).then_some(())?;
    let right = match &headers {
        IpHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(ip, data),
        IpHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, data),
    };
    assert_eq!(tcp.checksum, right.unwrap(), "the sum of {headers:?} {tcp:?}");
    for headers in outer.iter().chain([&headers]) {
        if let IpHeaders::Ipv4(ip, _) = headers {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "the sum of {ip:?}");
        }
    }
    Some((outer, headers, tcp))
}

fn protocol(headers: &IpHeaders) -> IpNumber {
    match headers {
        IpHeaders::Ipv4(ip, _) => ip.protocol,
        IpHeaders::Ipv6(ip, _) => ip.next_header,
    }
}

/// From where to where.
fn ends(headers: &IpHeaders) -> (IpAddr, IpAddr) {
    match headers {
        IpHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
        IpHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
    }
}

/// How long the packet is, by its outermost header, and by the frame.
fn lengths(headers: &IpHeaders, frame: &[u8]) -> (usize, usize) {
    let length = match headers {
        IpHeaders::Ipv4(ip, _) => usize::from(ip.total_len),
        IpHeaders::Ipv6(ip, _) => 40 + usize::from(ip.payload_length),
    };
    (length, frame.len() - 14)
}

/// Looks at the packets of a check of `b1`, and at those of another connection to it meanwhile.
fn on_the_wire(plot: &Plot) {
    let Some(site) = Site::start(plot) else { return };
    let host = site.topology.backend("b1").unwrap();
    // What is left to the device to sum up would not be seen.
    host.balancer_side().set_offloads(&[Offload::TransmitChecksum], false).unwrap();
    host.interface().set_offloads(&[Offload::TransmitChecksum], false).unwrap();
    let address = site.backend("b1").address.ip();
    let (own, outer_source): (IpAddr, IpAddr) = if address.is_ipv4() {
        ([10, 82, 1, 1].into(), [10, 81, 0, 254].into())
    } else {
        ([0xfd00, 0x82, 0, 1, 0, 0, 0, 1].into(), [0xfd00, 0x81, 0, 0, 0, 0, 0, 0xfe].into())
    };
    let file = File::new(&site, Some(through_the_tunnel()));
    apply(&site, &file);
    let frames = Frames::of(&site);
    let foreground = Foreground::start(&site, &file);
    let direct = SocketAddr::new(address, 80);
    let connection =
        site.topology.balancer().run(|| TcpStream::connect_timeout(&direct, Duration::from_secs(2)));
    drop(connection.unwrap().unwrap());

    // SYN, ACK and RST of a check; a SYN of the other connection, and its answer.
    let (mut led, mut answers, mut others) = ([false; 3], false, [false; 2]);
    while !(led.iter().all(|seen| *seen) && answers && others.iter().all(|seen| *seen)) {
        let frame = frames.next();
        let Some((outer, inner, tcp)) = tcp_packet(&frame) else { continue };
        match (outer, ends(&inner)) {
            (Some(outer), (from, to)) if ends(&outer).1 == address => {
                assert_eq!((from, to), (own, site.web().ip()), "{inner:?}");
                assert_eq!(ends(&outer).0, outer_source);
                let (said, found) = lengths(&outer, &frame);
                assert_eq!(said, found);
                if let IpHeaders::Ipv4(ip, _) = &outer {
                    assert_eq!((ip.identification, ip.dont_fragment, ip.time_to_live), (0, true, 64));
                }
                let place = if tcp.syn {
                    0
                } else if tcp.rst {
                    2
                } else {
                    1
                };
                led[place] = true;
            }
            (None, (from, to)) if (from, to) == (site.web().ip(), own) => answers = true,
            (None, (from, to)) if (from, to) == (own, address) => others[0] = true,
            (None, (from, to)) if (from, to) == (address, own) => others[1] = true,
            _ => {}
        }
    }
    drop(foreground);
}

#[test]
fn packets_of_checks_are_those_of_clients_and_others_stay_as_they_are() {
    on_the_wire(&plot(1));
}

#[test]
fn packets_of_checks_in_ipv6_are_those_of_clients_and_others_stay_as_they_are() {
    on_the_wire(&Plot { service: SERVICE_V6, backends_on_ipv6: true, ..plot(1) });
}
