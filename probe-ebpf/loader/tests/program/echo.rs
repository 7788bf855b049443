//! Echo requests to a service's address are answered, and no others.

use std::net::Ipv4Addr;

use etherparse::{Icmpv4Slice, Icmpv6Slice, Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder, PacketHeaders};

use crate::{
    frames::{fragments, tagged},
    support::{BALANCER, Outcome, ROUTER, SERVICE, Scene, XDP_PASS, XDP_TX, wide},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn ping(from: Ipv4Addr, to: Ipv4Addr, time_to_live: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv4(from.octets(), to.octets(), time_to_live)
        .icmpv4_echo_request(0x1234, 7)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

fn ping_v6(to: [u8; 16], hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv6(CLIENT_V6, to, hop_limit)
        .icmpv6_echo_request(0x1234, 7)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

fn scene() -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.programs.put_address(wide(*SERVICE.ip()), 4);
    scene.programs.put_address(SERVICE_V6, 6);
    Some(scene)
}

fn passed(frame: &[u8]) -> Outcome {
    Outcome { verdict: "other-protocol", action: XDP_PASS, frame: frame.to_vec() }
}

#[test]
fn a_reply_is_right_whatever_is_in_the_request() {
    let Some(scene) = scene() else { return };
    let mut random = fastrand::Rng::with_seed(3);
    for length in 0..600 {
        let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        let time_to_live = u8::try_from(length % 256).unwrap();
        let outcome = scene.programs.balance(&ping(CLIENT, *SERVICE.ip(), time_to_live, &payload));
        assert_eq!((outcome.verdict, outcome.action), ("echo-answered", XDP_TX));
        assert_eq!(outcome.frame[..14], [&ROUTER[..], &BALANCER, &[8, 0]].concat());
        let header = Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!((header.source, header.destination), (SERVICE.ip().octets(), CLIENT.octets()));
        assert_eq!((header.time_to_live, usize::from(header.total_len)), (64, 28 + length));
        let message = Icmpv4Slice::from_slice(&outcome.frame[34..]).unwrap();
        assert_eq!(message.checksum(), message.icmp_type().calc_checksum(&payload));
        assert_eq!((message.type_u8(), message.code_u8()), (0, 0));
        assert_eq!(message.bytes5to8(), [0x12, 0x34, 0, 7]);
        assert_eq!(message.payload(), payload);

        let outcome = scene.programs.balance(&ping_v6(SERVICE_V6, time_to_live, &payload));
        assert_eq!((outcome.verdict, outcome.action), ("echo-answered", XDP_TX));
        assert_eq!(outcome.frame[..14], [&ROUTER[..], &BALANCER, &[0x86, 0xdd]].concat());
        let header = Ipv6HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
        assert_eq!((header.source(), header.destination(), header.hop_limit()), (SERVICE_V6, CLIENT_V6, 64));
        let message = Icmpv6Slice::from_slice(&outcome.frame[54..]).unwrap();
        assert!(message.is_checksum_valid(SERVICE_V6, CLIENT_V6));
        assert_eq!((message.type_u8(), message.code_u8()), (129, 0));
        assert_eq!(message.payload(), payload);
    }
    assert!(scene.programs.slot_hits().is_empty(), "no backend's matter");
}

#[test]
fn a_tagged_request_is_answered_with_its_tags() {
    let Some(scene) = scene() else { return };
    let request = ping(CLIENT, *SERVICE.ip(), 64, b"ping");
    let plain = scene.programs.balance(&request).frame;
    for tags in [&[(0x8100, 7)][..], &[(0x88a8, 8), (0x8100, 7)]] {
        let outcome = scene.programs.balance(&tagged(&request, tags));
        assert_eq!((outcome.verdict, outcome.action), ("echo-answered", XDP_TX));
        assert_eq!(outcome.frame, tagged(&plain, tags));
    }
}

#[test]
fn every_other_request_passes_as_it_is() {
    let Some(scene) = scene() else { return };
    let elsewhere = Ipv4Addr::new(192, 0, 2, 11);
    let request = ping(CLIENT, *SERVICE.ip(), 64, b"ping");
    let mut to_group = request.clone();
    to_group[0] |= 1;
    let mut reply = request.clone();
    reply[34] = 0;
    for (what, frame) in [
        ("another address", ping(CLIENT, elsewhere, 64, b"ping")),
        ("another address of IPv6", ping_v6(CLIENT_V6, 64, b"ping")),
        ("a reply", reply),
        ("to a group's hardware address", to_group),
        ("from nobody", ping(Ipv4Addr::UNSPECIFIED, *SERVICE.ip(), 64, b"")),
        ("from everybody", ping(Ipv4Addr::BROADCAST, *SERVICE.ip(), 64, b"")),
        ("from a group", ping(Ipv4Addr::new(224, 0, 0, 1), *SERVICE.ip(), 64, b"")),
        ("from oneself", ping(Ipv4Addr::LOCALHOST, *SERVICE.ip(), 64, b"")),
    ] {
        assert_eq!(scene.programs.balance(&frame), passed(&frame), "{what}");
    }
    for piece in fragments(&ping(CLIENT, *SERVICE.ip(), 64, &[0; 2000]), 9, &[1480]) {
        let outcome = scene.programs.balance(&piece);
        assert_eq!((outcome.action, outcome.frame), (XDP_PASS, piece));
    }
    // Too short for a message, though something fills it up.
    let mut short = request.clone();
    short[16..18].copy_from_slice(&27_u16.to_be_bytes());
    assert_eq!(scene.programs.balance(&short), passed(&short));
    let headers = PacketHeaders::from_ethernet_slice(&request).unwrap();
    assert!(headers.transport.is_some(), "the request itself is one");
}
