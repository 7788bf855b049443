//! ICMP errors about what a service sent go to the backend that sent it.

use std::net::{Ipv6Addr, SocketAddrV4};

use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder};
use maglev_core::{
    flow,
    slot::{Deadline, Epoch, SlotWord},
};
use maglev_probe_abi::{AFFINITY_SOURCE, FORWARDING_OBSERVE, ServiceKey, TRACKING_ALWAYS, TRACKING_NEVER};

use crate::{
    frames::{Flags, client, fragments, offset, options, routed, tagged, tcp, udp},
    support::{
        BALANCER, FIRST_SLOT, Outcome, ROUTER, SEED, SERVICE, Scene, TABLE_SIZE, TCP, UDP, XDP_DROP,
        XDP_PASS, now,
    },
};

const ON_THE_WAY: [u8; 4] = [203, 0, 113, 9];
const ERRORS: [(u8, u8); 5] = [(3, 1), (3, 4), (11, 0), (11, 1), (12, 0)];

/// What a server sent to a client, as a router quotes it: so many bytes behind its header.
fn quoted(
    client: SocketAddrV4,
    protocol: u8,
    length: usize,
    change: impl FnOnce(&mut Ipv4Header),
) -> Vec<u8> {
    let mut header =
        Ipv4Header::new(1400, 1, IpNumber(protocol), SERVICE.ip().octets(), client.ip().octets()).unwrap();
    change(&mut header);
    let mut quote = Vec::new();
    header.write(&mut quote).unwrap();
    let ports = [SERVICE.port().to_be_bytes(), client.port().to_be_bytes()].concat();
    quote.extend([&ports[..], &[0xaa; 60]].concat()[..length].iter());
    quote
}

/// An error that quotes it.
fn error((kind, code): (u8, u8), to: [u8; 4], quote: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0xdc];
    message.extend(quote);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv4(ON_THE_WAY, to, 57)
        .write(&mut frame, IpNumber::ICMP, &message)
        .unwrap();
    frame
}

fn about(client: SocketAddrV4, protocol: u8) -> Vec<u8> {
    error(ERRORS[1], SERVICE.ip().octets(), &quoted(client, protocol, 8, |_| {}))
}

fn foreign(frame: &[u8]) -> Outcome {
    Outcome { verdict: "foreign-quote", action: XDP_PASS, frame: frame.to_vec() }
}

#[test]
fn an_error_goes_to_the_backend_of_the_flow_whole() {
    for (protocol, affinity) in [(TCP, false), (UDP, false), (TCP, true)] {
        let Some(mut scene) = Scene::of(protocol, |record| {
            record.tracking = TRACKING_NEVER;
            record.affinity = if affinity { AFFINITY_SOURCE } else { record.affinity };
        }) else {
            return;
        };
        scene.give_all(|slot| SlotWord::new(1 + slot % 4, 0, Epoch::new(0)));
        for number in 0..60 {
            let own = 1 + scene.slot(client(number)) % 4;
            let packet =
                if protocol == TCP { tcp(client(number), Flags::Ack) } else { udp(client(number), b"") };
            assert_eq!(scene.backend_of(&packet), own);
            for kind in ERRORS {
                for (count, length) in [(0, 8), (3, 8), (10, 60)] {
                    let quote = quoted(client(number), protocol, length, |header| {
                        header.options = options(count);
                    });
                    let frame = error(kind, SERVICE.ip().octets(), &quote);
                    assert_eq!(scene.backend_of(&frame), own, "{kind:?}");
                }
            }
            let frame = about(client(number), protocol);
            let sent = scene.programs.balance(&frame).frame;
            assert_eq!(sent[34..], routed(&frame[14..]));
            let outer = Ipv4HeaderSlice::from_slice(&sent[14..]).unwrap().to_header();
            assert_eq!(
                (outer.protocol, outer.header_checksum),
                (IpNumber::IPV4, outer.calc_header_checksum())
            );
            let tags = [(0x8100, 7)];
            assert_eq!(scene.programs.balance(&tagged(&frame, &tags)).frame, tagged(&sent, &tags));
        }
        let counters = scene.programs.service_counters();
        assert_eq!((counters.packets, counters.new_connections), (60 * 18, 0));
        assert_eq!(scene.programs.slot_hits().values().sum::<u64>(), 60 * 18);
    }
}

#[test]
fn while_a_slot_settles_it_goes_where_the_flow_is_and_puts_nothing_off() {
    let Some(mut scene) = Scene::new() else { return };
    scene.give_all(|_| SlotWord::new(1, 2, Epoch::new(3)));
    let deadline = Deadline::new(Epoch::new(3), now() + 100_000);
    scene.settle_all(deadline);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Syn)), 1);
    assert_eq!(scene.backend_of(&about(client(1), TCP)), 1, "where it is remembered to be");
    assert_eq!(scene.backend_of(&about(client(2), TCP)), 2, "from before the change");
    assert_eq!(scene.programs.deadline(scene.slot(client(2))), deadline);
    // A packet of the flow itself does.
    assert_eq!(scene.backend_of(&tcp(client(2), Flags::Ack)), 2);
    assert_ne!(scene.programs.deadline(scene.slot(client(2))), deadline);
}

#[test]
fn of_a_tracked_flow_it_goes_where_the_flow_is_and_keeps_nothing_alive() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_ALWAYS) else { return };
    let key = Scene::key(client(1));
    assert_eq!(scene.backend_of(&about(client(1), UDP)), 1);
    assert_eq!(scene.programs.tracked(&key), None);
    assert_eq!(scene.backend_of(&udp(client(1), b"")), 1);
    let mut entry = scene.programs.tracked(&key).expect("a datagram makes an entry");
    entry.last_packet -= 300_000;
    scene.programs.put_tracked(key, entry);
    scene.give_all(|_| SlotWord::new(2, 0, Epoch::new(0)));
    assert_eq!(scene.backend_of(&about(client(1), UDP)), 1);
    assert_eq!(scene.programs.tracked(&key), Some(entry));
    assert_eq!(scene.backend_of(&udp(client(1), b"")), 1);
    assert_ne!(scene.programs.tracked(&key), Some(entry));
}

#[test]
fn what_quotes_nothing_of_ours_passes_as_it_is() {
    let Some(scene) = Scene::new() else { return };
    let service = SERVICE.ip().octets();
    let own = quoted(client(1), TCP, 8, |_| {});
    let mut another_port = own.clone();
    another_port[21] += 1;
    let mut version = own.clone();
    version[0] = 0x65;
    for (what, frame) in [
        ("another port", error((3, 1), service, &another_port)),
        ("another protocol", about(client(1), UDP)),
        ("no ports", error((3, 1), service, &quoted(client(1), 1, 8, |_| {}))),
        ("to another address than quoted", error((3, 1), [192, 0, 2, 11], &own)),
        ("another address", {
            let quote = quoted(client(1), TCP, 8, |header| header.source = [192, 0, 2, 11]);
            error((3, 1), [192, 0, 2, 11], &quote)
        }),
        ("what a client sent", {
            let quote = quoted(client(1), TCP, 8, |header| {
                (header.source, header.destination) = (header.destination, header.source);
            });
            error((3, 1), client(1).ip().octets(), &quote)
        }),
        ("a later fragment", {
            let quote = quoted(client(1), TCP, 8, |header| {
                header.dont_fragment = false;
                header.fragment_offset = offset(3);
            });
            error((3, 1), service, &quote)
        }),
        ("IPv6", error((3, 1), service, &version)),
    ] {
        assert_eq!(scene.programs.balance(&frame), foreign(&frame), "{what}");
    }
    for length in 0..own.len() {
        let frame = error((3, 1), service, &own[..length]);
        assert_eq!(scene.programs.balance(&frame), foreign(&frame), "{length} bytes of a quote");
        // What fills it up is not quoted.
        let mut filled = frame.clone();
        filled.extend(&own[length..]);
        assert_eq!(scene.programs.balance(&filled), foreign(&filled));
    }
    // What fills up a packet of less than a message is none.
    for length in 0..8_u8 {
        let mut frame = error((3, 1), service, &own);
        frame[16..18].copy_from_slice(&[0, 20 + length]);
        let expected = Outcome { verdict: "other-protocol", action: XDP_PASS, frame: frame.clone() };
        assert_eq!(scene.programs.balance(&frame), expected, "{length} bytes of a message");
    }
    for kind in [0, 4, 5, 8, 13] {
        let frame = error((kind, 0), service, &own);
        let expected = Outcome { verdict: "other-protocol", action: XDP_PASS, frame: frame.clone() };
        assert_eq!(scene.programs.balance(&frame), expected, "type {kind}");
    }
    for piece in fragments(&error((3, 1), service, &quoted(client(1), TCP, 60, |_| {})), 9, &[48]) {
        assert_eq!(scene.programs.balance(&piece).action, XDP_PASS);
    }
    assert!(scene.programs.slot_hits().is_empty());
}

#[test]
fn an_observer_counts_it_and_it_dies_without_an_answer() {
    let Some(mut scene) = Scene::of(TCP, |record| record.forwarding = FORWARDING_OBSERVE) else { return };
    let mut frame = about(client(1), TCP);
    let observed = Outcome { verdict: "observed", action: XDP_PASS, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), observed);
    scene.change_service(|record| record.forwarding = maglev_probe_abi::FORWARDING_IPIP);
    frame[22] = 1;
    let dropped = Outcome { verdict: "time-exceeded", action: XDP_DROP, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), dropped, "an error about an error");
}

#[test]
fn errors_of_ipv6_do_too() {
    let Some(mut scene) = Scene::of(TCP, |record| record.tracking = TRACKING_NEVER) else { return };
    let service = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
    let key = ServiceKey { address: service.octets(), port: 80_u16.to_be(), protocol: TCP, family: 6 };
    scene.programs.put_service(key, scene.record);
    scene.give_all(|slot| SlotWord::new(1 + (slot - FIRST_SLOT) % 4, 0, Epoch::new(0)));
    for number in 0..40_u16 {
        let client = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 1, number);
        let port = 5000 + number;
        let slot = flow::hash_v6(client.octets(), port, 80, TCP, SEED) % TABLE_SIZE;
        let mut plain = Vec::new();
        PacketBuilder::ipv6(service.octets(), client.octets(), 3)
            .tcp(80, port, 1, 1)
            .write(&mut plain, b"")
            .unwrap();
        let mut extended =
            [&plain[..40], &[43, 0, 0, 0, 0, 0, 0, 0], &[6, 0, 0, 0, 0, 0, 0, 0], &plain[40..]].concat();
        extended[6] = 60;
        let mut first = [&plain[..40], &[6, 0, 0, 1, 1, 2, 3, 4], &plain[40..]].concat();
        first[6] = 44;
        for (kind, quote) in [
            (1, &plain[..]),
            (2, &plain),
            (3, &plain[..48]),
            (4, &extended),
            (2, &extended[..64]),
            (2, &first),
        ] {
            let mut message = vec![kind, 0, 0, 0, 0, 0, 5, 0];
            message.extend(quote);
            let mut frame = Vec::new();
            PacketBuilder::ethernet2(ROUTER, BALANCER)
                .ipv6([9; 16], service.octets(), 57)
                .write(&mut frame, IpNumber::IPV6_ICMP, &message)
                .unwrap();
            assert_eq!(scene.backend_of(&frame), 1 + slot % 4, "of type {kind}");
            let sent = scene.programs.balance(&frame).frame;
            assert_eq!(sent[34..], routed(&frame[14..]));
            assert_eq!(Ipv6HeaderSlice::from_slice(&sent[34..]).unwrap().hop_limit(), 56);
        }
    }
}
