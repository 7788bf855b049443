//! What cannot be sent on is answered with an error to its sender, as a router answers: but for what must not be, and not
//! more often than is good.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{Icmpv4Slice, Icmpv6Slice, Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder};
use maglev_probe_abi::{FORWARDING_IPIP, FORWARDING_L2, FORWARDING_OBSERVE, ServiceKey, TRACKING_NEVER};

use crate::{
    frames::{Flags, client, fragments, options, tagged, tcp, tcp_to, udp, udp_to},
    routes::{Host, MTU},
    support::{BALANCER, Outcome, ROUTER, SERVICE, Scene, TCP, UDP, XDP_DROP, XDP_PASS, XDP_TX},
};

const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);

/// A segment with that time to live.
fn dying(time_to_live: u8) -> Vec<u8> {
    tcp_to(client(1), SERVICE, Flags::Syn, |header| header.time_to_live = time_to_live)
}

fn dropped(verdict: &'static str, frame: &[u8]) -> Outcome {
    Outcome { verdict, action: XDP_DROP, frame: frame.to_vec() }
}

/// Makes sure that it is a whole and right error about the frame, to its sender; answers with type, code, the bytes
/// behind the checksum, and how much is quoted.
fn error_about(answer: &[u8], frame: &[u8]) -> ((u8, u8), [u8; 4], usize) {
    assert_eq!(answer[..14], [&frame[6..12], &frame[..6], &frame[12..14]].concat());
    if frame[14] >> 4 == 4 {
        let header = Ipv4HeaderSlice::from_slice(&answer[14..]).unwrap().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!([&header.destination[..], &header.source].concat(), frame[26..34]);
        assert_eq!((usize::from(header.total_len), header.time_to_live), (answer.len() - 14, 64));
        assert_eq!((header.dscp.value(), header.is_fragmenting_payload()), (48, false));
        let message = Icmpv4Slice::from_slice(&answer[34..]).unwrap();
        assert_eq!(message.checksum(), message.icmp_type().calc_checksum(message.payload()));
        let quote = &answer[42..];
        assert_eq!(quote, &frame[14..14 + quote.len()]);
        ((message.type_u8(), message.code_u8()), message.bytes5to8(), quote.len())
    } else {
        let header = Ipv6HeaderSlice::from_slice(&answer[14..]).unwrap();
        assert_eq!([header.destination(), header.source()].concat(), frame[22..54]);
        assert_eq!((usize::from(header.payload_length()), header.hop_limit()), (answer.len() - 54, 64));
        let message = Icmpv6Slice::from_slice(&answer[54..]).unwrap();
        assert!(message.is_checksum_valid(header.source(), header.destination()));
        let quote = &answer[62..];
        assert_eq!(quote, &frame[14..14 + quote.len()]);
        ((message.type_u8(), message.code_u8()), message.bytes5to8(), quote.len())
    }
}

#[test]
fn a_time_to_live_that_ends_is_answered_from_the_service() {
    let Some(scene) = Scene::new() else { return };
    for time_to_live in [0, 1] {
        let frame = dying(time_to_live);
        let outcome = scene.programs.balance(&frame);
        assert_eq!((outcome.verdict, outcome.action), ("time-exceeded-answered", XDP_TX));
        assert_eq!(error_about(&outcome.frame, &frame), ((11, 0), [0; 4], frame.len() - 14));
    }
    assert_eq!(scene.programs.balance(&dying(2)).verdict, "transmitted");
    let counters = scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.new_connections), (1, 1), "what is sent counts");

    let tags = [(0x88a8, 3), (0x8100, 4)];
    let outcome = scene.programs.balance(&tagged(&dying(1), &tags));
    assert_eq!(outcome.verdict, "time-exceeded-answered");
    assert_eq!(outcome.frame[12..22], tagged(&dying(1), &tags)[12..22]);
    error_about(&[&outcome.frame[..12], &outcome.frame[20..]].concat(), &dying(1));
}

#[test]
fn as_much_is_quoted_as_every_host_takes() {
    let Some(scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    for length in [0, 1, 2, 3, 519, 520, 521, 522, 1400, 3000, 9000] {
        for count in [0, 10] {
            let frame = udp_to(client(1), SERVICE, &vec![0xa5; length], |header| {
                header.time_to_live = 1;
                header.options = options(count);
            });
            let outcome = scene.programs.balance(&frame);
            assert_eq!(outcome.verdict, "time-exceeded-answered");
            let (_, _, quoted) = error_about(&outcome.frame, &frame);
            assert_eq!(quoted, ((frame.len() - 14).min(548)) & !1, "of {length}");
        }
    }
    // What fills a frame up is not of the packet.
    let mut frame = udp_to(client(1), SERVICE, &[], |header| header.time_to_live = 1);
    let whole = frame.len();
    frame.resize(60, 0xee);
    let outcome = scene.programs.balance(&frame);
    assert_eq!(error_about(&outcome.frame, &frame[..whole]).2, whole - 14);
}

#[test]
fn a_hop_limit_that_ends_is_answered_too() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    put_ipv6_service(&mut scene, UDP);
    for length in [0, 7, 1180, 1184, 1185, 1400, 8000] {
        let frame = datagram_v6(CLIENT_V6, 1, length);
        let outcome = scene.programs.balance(&frame);
        assert_eq!((outcome.verdict, outcome.action), ("time-exceeded-answered", XDP_TX));
        let (kind, rest, quoted) = error_about(&outcome.frame, &frame);
        assert_eq!((kind, rest), ((3, 0), [0; 4]));
        assert_eq!(quoted, (frame.len() - 14).min(1232) & !1, "of {length}");
    }
    assert_eq!(scene.programs.balance(&datagram_v6(CLIENT_V6, 2, 4)).verdict, "transmitted");
}

fn put_ipv6_service(scene: &mut Scene, protocol: u8) {
    let key = ServiceKey { address: SERVICE_V6.octets(), port: SERVICE.port().to_be(), protocol, family: 6 };
    scene.programs.put_service(key, scene.record);
}

fn datagram_v6(from: Ipv6Addr, hop_limit: u8, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv6(from.octets(), SERVICE_V6.octets(), hop_limit)
        .udp(4000, SERVICE.port())
        .write(&mut frame, &vec![0x5a; length])
        .unwrap();
    frame
}

#[test]
fn whom_nobody_answers_is_not_answered() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    put_ipv6_service(&mut scene, UDP);
    let from = |address: Ipv4Addr| {
        let mut from = client(1);
        from.set_ip(address);
        udp_to(from, SERVICE, b"data", |header| header.time_to_live = 1)
    };
    let mut to_group = udp_to(client(1), SERVICE, b"data", |header| header.time_to_live = 1);
    to_group[0] |= 1;
    let long = udp_to(client(1), SERVICE, &[0; 3000], |header| header.time_to_live = 1);
    let first = &fragments(&long, 3, &[1480])[0];
    let mut sent = fragments(&udp(client(1), &[0; 3000]), 3, &[1480])[0].clone();
    sent[22] = 9;
    for (what, frame) in [
        ("to a group's hardware address", to_group),
        ("from nobody", from(Ipv4Addr::UNSPECIFIED)),
        ("from oneself", from(Ipv4Addr::LOCALHOST)),
        ("from a group", from(Ipv4Addr::new(239, 1, 2, 3))),
        ("from everybody", from(Ipv4Addr::BROADCAST)),
        ("from nobody of IPv6", datagram_v6(Ipv6Addr::UNSPECIFIED, 1, 4)),
        ("from a group of IPv6", datagram_v6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 1, 4)),
    ] {
        assert_eq!(scene.programs.balance(&frame), dropped("time-exceeded", &frame), "{what}");
    }
    assert_eq!(scene.programs.balance(first).verdict, "time-exceeded-answered", "a first fragment is");
    assert_eq!(scene.programs.balance(&sent).verdict, "transmitted");
    let later = &fragments(&long, 3, &[1480])[1];
    assert_eq!(scene.programs.balance(later), dropped("time-exceeded", later), "and a later one is not");

    scene.change_service(|record| record.forwarding = FORWARDING_OBSERVE);
    let frame = from(*client(1).ip());
    let observed = Outcome { verdict: "observed", action: XDP_PASS, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), observed);
}

#[test]
fn errors_are_bounded() {
    let Some(scene) = Scene::new() else { return };
    let begun = std::time::Instant::now();
    let frame = dying(1);
    let mut answered = 0;
    let mut silent = 0;
    for _ in 0..20_000 {
        match scene.programs.balance(&frame) {
            Outcome { verdict: "time-exceeded-answered", .. } => answered += 1,
            outcome => {
                assert_eq!(outcome, dropped("time-exceeded", &frame));
                silent += 1;
            }
        }
        if silent >= 100 {
            break;
        }
    }
    let milliseconds = begun.elapsed().as_millis();
    let processors = std::thread::available_parallelism().unwrap().get() as u128;
    assert!(answered >= 50, "{answered}");
    assert!(answered <= processors * 50 + milliseconds * processors + 20, "{answered} in {milliseconds} ms");
    assert!(silent >= 100, "20,000 requests, and all are answered");
}

#[test]
fn what_is_larger_than_the_way_takes_is_answered_with_what_it_takes() {
    for (forwarding, outer) in [(FORWARDING_L2, 0), (FORWARDING_IPIP, 20)] {
        let Some(host) = Host::new(forwarding) else { return };
        let most = MTU - outer;
        for dont_fragment in [true, false] {
            for more in [1, 2, 300] {
                let length = usize::from(most + more) - 28;
                let frame = udp_to(client(1), SERVICE, &vec![1; length], |header| {
                    header.dont_fragment = dont_fragment;
                });
                let outcome = host.balance(&frame);
                assert_eq!((outcome.verdict, outcome.action), ("too-big-answered", XDP_TX));
                let [high, low] = most.to_be_bytes();
                assert_eq!(error_about(&outcome.frame, &frame), ((3, 4), [0, 0, high, low], 548));
            }
        }
        host.assert_nothing_counted();
        let whole = udp(client(1), &[1; 3000]);
        let pieces = fragments(&whole, 3, &[usize::from((most - 20) / 8 * 8)]);
        assert_eq!(host.balance_resolved(&pieces[0]).verdict, "redirected");
        assert_eq!(host.balance(&pieces[1]), dropped("too-big", &pieces[1]), "a later fragment");
    }
}

#[test]
fn what_is_larger_than_the_interface_takes_is_answered_without_routes_too() {
    let Some(mut host) = Host::new(FORWARDING_IPIP) else { return };
    host.put_gateway();
    put_ipv6_service(&mut host.scene, UDP);
    host.set_loopback_mtu(1400);
    let packet_of = |length: usize| udp(client(1), &vec![1; length - 28]);
    assert_eq!(host.balance(&packet_of(1380)).verdict, "transmitted");
    let outcome = host.balance(&packet_of(1381));
    assert_eq!((outcome.verdict, outcome.action), ("too-big-answered", XDP_TX));
    assert_eq!(error_about(&outcome.frame, &packet_of(1381)), ((3, 4), [0, 0, 5, 0x64], 548));
    // IPv6 inside: what is said is never less than 1280.
    let packet_of = |length: usize| datagram_v6(CLIENT_V6, 9, length - 48);
    assert_eq!(host.balance(&packet_of(1380)).verdict, "transmitted");
    let outcome = host.balance(&packet_of(1381));
    assert_eq!(outcome.verdict, "too-big-answered");
    assert_eq!(error_about(&outcome.frame, &packet_of(1381)), ((2, 0), [0, 0, 5, 0x64], 1232));
    host.set_loopback_mtu(1290);
    let outcome = host.balance(&packet_of(1281));
    assert_eq!(outcome.verdict, "too-big-answered");
    assert_eq!(error_about(&outcome.frame, &packet_of(1281)), ((2, 0), [0, 0, 5, 0], 1232));
    let frame = packet_of(1280);
    assert_eq!(host.balance(&frame), dropped("too-big", &frame), "nobody sends less for being told");
}

#[test]
fn what_there_is_no_room_for_is_dropped_whole() {
    let Some(scene) = Scene::of(TCP, |_| {}) else { return };
    let outcome = scene.programs.balance_behind(&dying(1), 200);
    assert_eq!((outcome.verdict, outcome.action), ("time-exceeded", XDP_DROP));
    assert!(outcome.frame.ends_with(&dying(1)));
    assert_eq!(scene.programs.balance(&tcp(client(1), Flags::Ack)).verdict, "transmitted");
}
