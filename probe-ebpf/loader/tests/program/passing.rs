//! What is left to the stack is left as it is.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::PacketBuilder;
use maglev_probe_abi::FORWARDING_OBSERVE;

use crate::{
    frames::{Flags, client, options, tcp, tcp_to, udp, udp_to},
    support::{BALANCER, Outcome, ROUTER, SERVICE, Scene, TCP, XDP_PASS},
};

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&BALANCER[..], &ROUTER, &kind.to_be_bytes(), payload].concat()
}

#[test]
fn traffic_for_no_service_passes_byte_for_byte() {
    let Some(scene) = Scene::new() else { return };
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 11), 80);
    let another_port = SocketAddrV4::new(*SERVICE.ip(), 81);
    let mut ping = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv4([198, 51, 100, 1], SERVICE.ip().octets(), 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut ping, b"ping")
        .unwrap();
    let mut membership = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv4([198, 51, 100, 1], [224, 0, 0, 22], 1)
        .write(&mut membership, 2.into(), &[0x22, 0, 0, 0, 0, 0, 0, 0])
        .unwrap();
    let mut six = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv6([1; 16], [2; 16], 64)
        .tcp(1024, 80, 1, 1)
        .write(&mut six, b"")
        .unwrap();
    for (what, frame, verdict) in [
        ("ARP", ethernet(0x0806, &[0; 28]), "not-ip"),
        ("LLDP", ethernet(0x88cc, &[2, 7, 4]), "not-ip"),
        ("nothing but a header", ethernet(0x1234, &[]), "not-ip"),
        ("IPv6", six, "not-a-service"),
        ("an echo request to the service", ping, "other-protocol"),
        ("a membership report", membership, "other-protocol"),
        ("another address", tcp_to(client(1), elsewhere, Flags::Syn, |_| {}), "not-a-service"),
        ("another port", tcp_to(client(1), another_port, Flags::Ack, |_| {}), "not-a-service"),
        ("another protocol", udp(client(1), b"data"), "not-a-service"),
        (
            "another address, with options",
            tcp_to(client(1), elsewhere, Flags::Syn, |header| header.options = options(3)),
            "not-a-service",
        ),
    ] {
        let expected = Outcome { verdict, action: XDP_PASS, frame: frame.clone() };
        assert_eq!(scene.programs.balance(&frame), expected, "{what}");
    }
    assert!(scene.programs.slot_hits().is_empty());
}

#[test]
fn whoever_observes_passes_and_counts() {
    let Some(mut scene) = Scene::of(TCP, |record| record.forwarding = FORWARDING_OBSERVE) else { return };
    let frame = tcp(client(1), Flags::Syn);
    let observed = Outcome { verdict: "observed", action: XDP_PASS, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), observed);
    let counters = scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.bytes, counters.new_connections), (1, frame.len() as u64, 1));

    scene.set_backend(1, |backend| backend.state = 0);
    let without = Outcome { verdict: "backend-gone", action: XDP_PASS, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), without, "an observer takes nothing from the stack");
    assert_eq!(scene.programs.service_counters().packets, 1);
}

#[test]
fn a_service_is_its_protocol_too() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(scene.programs.balance(&udp_to(client(1), SERVICE, b"", |_| {})).verdict, "not-a-service");
}
