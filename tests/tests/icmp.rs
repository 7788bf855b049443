//! What is around connections: fragments, echoes, and the errors of routers, between kernels that know nothing of it.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use maglev_core::config::AttachMode;
use maglev_lab::Namespace;
use maglev_probe::Decapsulation;
use maglev_tests::{Plot, SERVICE, SERVICE_V6, Site, eventually};
use socket2::{Domain, Protocol, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(5);

/// A site whose client gets what the balancer sends back at once: the kernel delivers that to a virtual Ethernet end that
/// runs an XDP program, and this one passes everything.
fn start(plot: &Plot) -> Option<(Site, Decapsulation)> {
    let site = Site::start(plot)?;
    let client = site.topology.client();
    let attach = || Decapsulation::attach(client.interface().name(), AttachMode::Native);
    let listening = client.namespace().run(attach).unwrap().unwrap();
    Some((site, listening))
}

/// A flow of datagrams from the client's first address.
fn flow(site: &Site, to: SocketAddr) -> UdpSocket {
    let from = SocketAddr::new(site.client_addresses()[0], 0);
    let client = site.topology.client().namespace();
    let socket = client.run(|| UdpSocket::bind(from)).unwrap().unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A number that the kernel counts, by the names of its group and itself.
fn counted(host: &Namespace, group: &str, name: &str) -> u64 {
    let text = host.run(|| fs::read_to_string("/proc/thread-self/net/snmp")).unwrap().unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{group}:")));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.split_whitespace().position(|known| known == name).unwrap();
    values.split_whitespace().nth(place).unwrap().parse().unwrap()
}

#[test]
fn the_fragments_of_a_datagram_meet_at_one_backend() {
    let plot = Plot { weights: vec![100; 4], ..Plot::default() };
    let Some((site, _listening)) = start(&plot) else { return };
    // They stay open: a closed one would have the client's kernel complain of answers.
    let flows = [1600, 3000, 6000].map(|length| {
        let socket = flow(&site, site.dns());
        socket.send(&vec![0x5a; length]).unwrap();
        socket
    });
    let whole = || -> u64 {
        let hosts = site.topology.backends().iter();
        hosts.map(|host| counted(host.namespace(), "Ip", "ReasmOKs")).sum()
    };
    eventually("backends have all fragments", || whole() == 3);
    let dns = site.service("dns");
    assert_eq!(dns.counters.packets, 2 + 3 + 5, "1600, 3000 and 6000 bytes by 1500");
    assert_eq!(dns.counters.new_connections, 3);
    assert_eq!(site.verdict("fragment-without-first"), 0);
    drop(flows);
}

#[test]
fn a_service_answers_echo_requests() {
    for (service, domain, protocol, request, reply) in [
        (SERVICE, Domain::IPV4, Protocol::ICMPV4, 8, 0),
        (SERVICE_V6, Domain::IPV6, Protocol::ICMPV6, 128, 129),
    ] {
        for forwarding in ["ipip", "observe"] {
            let plot = Plot {
                service,
                forwarding,
                backends_on_ipv6: service.is_ipv6(),
                weights: vec![100; 2],
                ..Plot::default()
            };
            let Some((site, _listening)) = start(&plot) else { return };
            let client = site.topology.client().namespace();
            client.set_sysctl("net/ipv4/ping_group_range", "0 2147483647").unwrap();
            let socket = client.run(|| Socket::new(domain, Type::DGRAM, Some(protocol))).unwrap().unwrap();
            let socket = UdpSocket::from(socket);
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(SocketAddr::new(service, 0)).unwrap();
            // The kernel fills in identification and checksum.
            let mut message = vec![request, 0, 0, 0, 0, 0, 0, 9];
            message.extend([0x5a; 1000]);
            socket.send(&message).unwrap();
            let mut answer = [0; 2048];
            let length = socket.recv(&mut answer).unwrap();
            assert_eq!((answer[0], &answer[6..length]), (reply, &message[6..]));
            // `dns` forwards, whatever `web` does.
            assert_eq!(site.verdict("echo-answered"), 1);
        }
    }
}

#[test]
fn what_a_client_says_of_a_servers_datagram_reaches_the_server() {
    let Some((site, _listening)) = start(&Plot { weights: vec![100; 3], ..Plot::default() }) else { return };
    let told = || -> u64 {
        let hosts = site.topology.backends().iter();
        hosts.map(|host| counted(host.namespace(), "Icmp", "InDestUnreachs")).sum()
    };
    assert_eq!(told(), 0);
    // Nobody is there any more when the answer comes: the client's kernel says so.
    for _ in 0..20 {
        flow(&site, site.dns()).send(b"1").unwrap();
    }
    // The kernel sends a few at once, and then one a second.
    eventually("the client's errors reach servers", || told() >= 3);
    eventually("each that was sent arrives", || site.service("dns").counters.packets == 20 + told());
    assert_eq!(site.service("dns").counters.new_connections, 20);
    assert_eq!(site.verdict("foreign-quote"), 0);
    for host in site.topology.backends() {
        let refused = counted(host.namespace(), "Icmp", "InErrors");
        assert_eq!(refused, 0, "{} takes none for broken", host.name());
    }
}

#[test]
fn a_way_too_narrow_for_the_tunnel_is_found_out() {
    for service in [SERVICE, SERVICE_V6] {
        for backends_on_ipv6 in [false, true] {
            let plot = Plot {
                service,
                backends_on_ipv6,
                backend_mtu: 1500,
                weights: vec![100; 2],
                ..Plot::default()
            };
            let Some((site, _listening)) = start(&plot) else { return };
            let mut connection = site.connect();
            for _ in 0..5 {
                connection.padded_request(20_000).unwrap_or_else(|error| {
                    panic!("{error:?}; verdicts {:?}", site.sample().verdicts);
                });
            }
            assert!(site.verdict("too-big-answered") >= 1);
        }
    }
}

#[test]
fn whose_time_to_live_ends_at_the_balancer_hears_of_it() {
    let Some((site, _listening)) = start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    let client = site.topology.client().namespace();
    let socket = flow(&site, site.dns());
    socket.set_ttl(1).unwrap();
    socket.send(b"1").unwrap();
    eventually("the client hears of it", || counted(client, "Icmp", "InTimeExcds") == 1);
    assert_eq!(site.verdict("time-exceeded-answered"), 1);
    socket.set_ttl(2).unwrap();
    socket.send(b"2").unwrap();
    let mut answer = [0; 64];
    match socket.recv(&mut answer) {
        Ok(length) => assert!(answer[..length].ends_with(b" 2")),
        Err(error) => panic!("{error}"),
    }
}
