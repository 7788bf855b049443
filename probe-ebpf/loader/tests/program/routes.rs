//! Next hops by the kernel's routes and neighbours: a balancer with a link to a router, in namespaces of their own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use aya::programs::XdpMode;
use etherparse::Ipv4HeaderSlice;
use maglev_lab::{End, Interface, MacAddress, Namespace, Route};
use maglev_probe_abi::{
    BackendCounters, FORWARDING_IPIP, FORWARDING_L2, ServiceCounters, ServiceRecord, Settings,
    TRACKING_ALWAYS, program,
};

use crate::{
    frames::{client, routed, tagged, udp},
    support::{GATEWAY, Outcome, Scene, UDP, XDP_DROP, XDP_REDIRECT, XDP_TX, wide},
};

const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// On the link too, but nobody has it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);
const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// Behind the neighbour.
const FAR: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const WITHOUT_ROUTE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

pub(crate) const MTU: u16 = 1000;

pub(crate) struct Host {
    pub(crate) scene: Scene,
    balancer: Namespace,
    near: Interface,
    far: Interface,
}

impl Host {
    /// Whose service forwards in that way, to one backend, and tracks every flow.
    pub(crate) fn new(forwarding: u8) -> Option<Self> {
        let mut scene = Scene::of(UDP, |record: &mut ServiceRecord| {
            record.forwarding = forwarding;
            record.tracking = TRACKING_ALWAYS;
        })?;
        scene.programs.put_settings(Settings { tunnel_source_v4: BALANCER.octets(), ..Settings::default() });
        let balancer = Namespace::new("balancer").unwrap();
        let router = Namespace::new("router").unwrap();
        let end = |namespace, name, octet, index| End {
            namespace,
            name,
            mac: MacAddress::new([2, 0, 0, 0, 1, octet]),
            mtu: MTU.into(),
            index: Some(index),
        };
        let (near, far) =
            Interface::create_pair(&end(&balancer, "near", 1, 11), &end(&router, "far", 2, 12)).unwrap();
        near.add_address(BALANCER.into(), 24).unwrap();
        far.add_address(NEIGHBOUR.into(), 24).unwrap();
        near.set_up().unwrap();
        far.set_up().unwrap();
        near.wait_until_running(Duration::from_secs(5)).unwrap();
        balancer.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
        Route::to(FAR.into()).via(NEIGHBOUR.into()).add(&balancer).unwrap();
        Some(Self { scene, balancer, near, far })
    }

    fn backend_at(&mut self, address: Ipv4Addr) {
        self.scene.set_backend(1, |backend| backend.address = wide(address));
    }

    /// Sends all by a gateway, and asks no routes.
    pub(crate) fn put_gateway(&mut self) {
        self.scene.programs.put_settings(Settings {
            gateway: GATEWAY,
            has_gateway: 1,
            ..Settings::default()
        });
    }

    /// Changes what the interface takes that frames come in by.
    pub(crate) fn set_loopback_mtu(&self, mtu: u32) {
        let set = || Command::new("ip").args(["link", "set", "lo", "mtu", &mtu.to_string()]).status();
        assert!(self.balancer.run(set).unwrap().unwrap().success());
    }

    /// Balances a datagram that came in by loopback.
    pub(crate) fn balance(&self, frame: &[u8]) -> Outcome {
        self.balancer.run(|| self.scene.programs.balance(frame)).unwrap()
    }

    /// The same, once the kernel has heard of the neighbour.
    pub(crate) fn balance_resolved(&self, frame: &[u8]) -> Outcome {
        self.balancer
            .run(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(b"who has it?", SocketAddr::new(IpAddr::V4(NEIGHBOUR), 9)).unwrap();
            })
            .unwrap();
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let outcome = self.balance(frame);
            if outcome.verdict != "no-neighbour" || Instant::now() > patience {
                return outcome;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The Ethernet header of a frame to the neighbour.
    fn hop(&self) -> Vec<u8> {
        [&self.far.mac().octets()[..], &self.near.mac().octets(), &[8, 0]].concat()
    }

    pub(crate) fn assert_nothing_counted(&self) {
        assert_eq!(self.scene.programs.backend_counters(1), BackendCounters::default());
        assert_eq!(self.scene.programs.service_counters(), ServiceCounters::default());
        assert_eq!(self.scene.programs.tracked(&Scene::key(client(1))), None);
    }
}

fn datagram() -> Vec<u8> {
    udp(client(1), b"data")
}

/// A datagram whose packet has that length.
fn packet_of(length: u16) -> Vec<u8> {
    udp(client(1), &vec![0; usize::from(length) - 28])
}

fn dropped(verdict: &'static str, frame: &[u8]) -> Outcome {
    Outcome { verdict, action: XDP_DROP, frame: frame.to_vec() }
}

#[test]
fn a_backend_on_the_segment_gets_the_packet_with_its_address() {
    let Some(host) = Host::new(FORWARDING_L2) else { return };
    let frame = datagram();
    let outcome = host.balance_resolved(&frame);
    assert_eq!((outcome.verdict, outcome.action), ("redirected", XDP_REDIRECT));
    assert_eq!(outcome.frame, [host.hop(), routed(&frame[14..])].concat());
    let counters = host.scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.new_connections), (1, 1), "the first one that was sent");
}

#[test]
fn a_tunnel_leads_by_the_interface_of_the_route() {
    for address in [NEIGHBOUR, FAR] {
        let Some(mut host) = Host::new(FORWARDING_IPIP) else { return };
        host.backend_at(address);
        let frame = datagram();
        let outcome = host.balance_resolved(&frame);
        assert_eq!((outcome.verdict, outcome.action), ("redirected", XDP_REDIRECT));
        assert_eq!(outcome.frame[..14], host.hop());
        let outer = Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
        assert_eq!((outer.source_addr(), outer.destination_addr()), (BALANCER, address));
        assert_eq!(outcome.frame[34..], routed(&frame[14..]));
    }
}

#[test]
fn what_came_in_by_the_interface_of_the_route_leaves_by_it() {
    for forwarding in [FORWARDING_L2, FORWARDING_IPIP] {
        let Some(mut host) = Host::new(forwarding) else { return };
        let (balancer, index) = (host.balancer.clone(), host.near.index());
        assert_eq!(host.balance_resolved(&datagram()).verdict, "redirected");
        // Frames can be said to come in where a program is attached.
        let decap = host.scene.programs.program(program::DECAP);
        balancer.run(|| decap.attach("near", XdpMode::Driver).unwrap()).unwrap();
        let outcome = balancer.run(|| host.scene.programs.balance_from(&datagram(), index)).unwrap();
        assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
        assert_eq!(outcome.frame[..14], host.hop());
    }
}

#[test]
fn without_forwarding_on_the_interface_it_is_dropped_whole() {
    for forwarding in [FORWARDING_L2, FORWARDING_IPIP] {
        let Some(host) = Host::new(forwarding) else { return };
        host.balancer.set_sysctl("net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(host.balance(&datagram()), dropped("forwarding-off", &datagram()));
        host.assert_nothing_counted();
    }
}

#[test]
fn without_route_it_is_dropped_whole() {
    for forwarding in [FORWARDING_L2, FORWARDING_IPIP] {
        let Some(mut host) = Host::new(forwarding) else { return };
        // Its own address is none to forward to either.
        for address in [WITHOUT_ROUTE, BALANCER, Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED] {
            host.backend_at(address);
            assert_eq!(host.balance(&datagram()), dropped("no-route", &datagram()), "{address}");
        }
        host.assert_nothing_counted();
    }
}

#[test]
fn without_neighbour_it_is_dropped_whole() {
    for forwarding in [FORWARDING_L2, FORWARDING_IPIP] {
        let Some(mut host) = Host::new(forwarding) else { return };
        host.backend_at(NOBODY);
        assert_eq!(host.balance(&datagram()), dropped("no-neighbour", &datagram()));
        host.assert_nothing_counted();
    }
}

#[test]
fn what_is_as_large_as_the_way_takes_is_sent() {
    let Some(host) = Host::new(FORWARDING_L2) else { return };
    assert_eq!(host.balance_resolved(&packet_of(MTU)).verdict, "redirected");
    let Some(host) = Host::new(FORWARDING_IPIP) else { return };
    assert_eq!(host.balance_resolved(&packet_of(MTU - 20)).verdict, "redirected");
}

#[test]
fn a_tagged_packet_leaves_by_no_other_interface() {
    for forwarding in [FORWARDING_L2, FORWARDING_IPIP] {
        let Some(mut host) = Host::new(forwarding) else { return };
        let frame = tagged(&datagram(), &[(0x8100, 7)]);
        assert_eq!(host.balance_resolved(&frame), dropped("tagged-elsewhere", &frame));
        host.assert_nothing_counted();
        // By the one that it came by it does, with its tag.
        let (balancer, index) = (host.balancer.clone(), host.near.index());
        let decap = host.scene.programs.program(program::DECAP);
        balancer.run(|| decap.attach("near", XdpMode::Driver).unwrap()).unwrap();
        let plain = balancer.run(|| host.scene.programs.balance_from(&datagram(), index)).unwrap();
        let outcome = balancer.run(|| host.scene.programs.balance_from(&frame, index)).unwrap();
        assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
        assert_eq!(outcome.frame, tagged(&plain.frame, &[(0x8100, 7)]));
    }
}

#[test]
fn a_backend_behind_a_router_is_not_on_the_segment() {
    let Some(mut host) = Host::new(FORWARDING_L2) else { return };
    host.backend_at(FAR);
    assert_eq!(
        host.balance(&datagram()),
        dropped("not-on-segment", &datagram()),
        "whether the router is known"
    );
    assert_eq!(host.balance_resolved(&datagram()), dropped("not-on-segment", &datagram()), "or is");
    host.assert_nothing_counted();
    // A fixed gateway is for tunnels: whoever is on the segment has an address of its own.
    host.scene.programs.put_settings(Settings { gateway: [2; 6], has_gateway: 1, ..Settings::default() });
    assert_eq!(host.balance(&datagram()), dropped("not-on-segment", &datagram()));
}
