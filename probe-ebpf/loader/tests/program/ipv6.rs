//! IPv6: services, backends, and extension headers; and tunnels of either family around the other.

use std::net::{Ipv6Addr, SocketAddrV6};

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder, TcpHeader};
use maglev_core::{
    flow,
    slot::{Epoch, SlotWord},
};
use maglev_probe_abi::{FORWARDING_OBSERVE, ServiceKey, Settings, TRACKING_ALWAYS};

use crate::{
    frames::{Flags, client, routed, tcp},
    support::{
        BALANCER, FIRST_SLOT, GATEWAY, Outcome, ROUTER, SEED, Scene, TABLE_SIZE, TCP, UDP, XDP_PASS, XDP_TX,
    },
};

const SERVICE: SocketAddrV6 = SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10), 80, 0, 0);
const TUNNEL_SOURCE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
const ETHERNET: usize = 14;
const HEADER: usize = 40;

fn source(number: u16) -> SocketAddrV6 {
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, number), 1024 + number, 0, 0)
}

fn backend(number: u32) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(Ipv6Addr::new(0xfd00, 0x82, 0, 0, 0, 0, 0, 0)) + u128::from(number))
}

/// A scene whose service has an IPv6 address too; backends 1 and 2 are on IPv6, 3 and 4 on IPv4.
fn scene(protocol: u8, change: impl Fn(&mut maglev_probe_abi::ServiceRecord)) -> Option<Scene> {
    let mut scene = Scene::of(protocol, change)?;
    let key =
        ServiceKey { address: SERVICE.ip().octets(), port: SERVICE.port().to_be(), protocol, family: 6 };
    scene.programs.put_service(key, scene.record);
    put_tunnel_source(&mut scene, TUNNEL_SOURCE, 128);
    for number in [1, 2] {
        scene.set_backend(number, |record| {
            record.family = 6;
            record.address = backend(number).octets();
        });
    }
    Some(scene)
}

fn put_tunnel_source(scene: &mut Scene, source: Ipv6Addr, prefix: u32) {
    scene.programs.put_settings(Settings {
        tunnel_source_v4: [10, 0, 0, 100],
        tunnel_source_v6: source.octets(),
        tunnel_prefix_v6: prefix,
        gateway: GATEWAY,
        has_gateway: 1,
        ..Settings::default()
    });
}

fn segment(from: SocketAddrV6, syn: bool) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), SERVICE.port(), 1000, 64000);
    (header.syn, header.ack) = (syn, !syn);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv6(from.ip().octets(), SERVICE.ip().octets(), 57)
        .tcp_header(header)
        .write(&mut frame, b"payload of a segment")
        .unwrap();
    frame
}

fn datagram(from: SocketAddrV6) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv6(from.ip().octets(), SERVICE.ip().octets(), 57)
        .udp(from.port(), SERVICE.port())
        .write(&mut frame, b"data")
        .unwrap();
    frame
}

/// The frame with extension headers of these kinds, each so many units of eight bytes longer than it must be.
fn extended(frame: &[u8], kinds: &[u8], units: u8) -> Vec<u8> {
    let mut headers = Vec::new();
    let last = frame[ETHERNET + 6];
    for place in 0..kinds.len() {
        let next = kinds.get(place + 1).copied().unwrap_or(last);
        headers.extend([next, units]);
        headers.resize(headers.len() + 6 + usize::from(units) * 8, 0);
    }
    let (front, rest) = frame.split_at(ETHERNET + HEADER);
    let mut extended = [front, &headers, rest].concat();
    let payload = u16::try_from(extended.len() - ETHERNET - HEADER).unwrap();
    extended[18..20].copy_from_slice(&payload.to_be_bytes());
    extended[ETHERNET + 6] = kinds[0];
    extended
}

fn hash(from: SocketAddrV6, protocol: u8) -> u32 {
    flow::hash_v6(from.ip().octets(), from.port(), SERVICE.port(), protocol, SEED)
}

fn passed(verdict: &'static str, frame: &[u8]) -> Outcome {
    Outcome { verdict, action: XDP_PASS, frame: frame.to_vec() }
}

#[test]
fn a_packet_leaves_whole_inside_an_ipv6_header_that_is_right() {
    let Some(scene) = scene(TCP, |_| {}) else { return };
    for number in 0..300 {
        let mut frame = segment(source(number), number % 2 == 0);
        let class = u8::try_from(number % 256).unwrap();
        frame[14] = 0x60 | class >> 4;
        frame[15] = class << 4;
        let Outcome { verdict, action, frame: sent } = scene.programs.balance(&frame);
        assert_eq!((verdict, action), ("transmitted", XDP_TX));
        assert_eq!(sent[..14], [&GATEWAY[..], &BALANCER, &[0x86, 0xdd]].concat());
        assert_eq!(sent[54..], routed(&frame[14..]), "what is inside is as it was, a router further");
        let outer = Ipv6HeaderSlice::from_slice(&sent[14..]).unwrap();
        assert_eq!(usize::from(outer.payload_length()), sent.len() - 54);
        assert_eq!((outer.hop_limit(), outer.next_header().0), (64, 41));
        assert_eq!(outer.traffic_class(), class);
        assert_eq!((outer.source_addr(), outer.destination_addr()), (TUNNEL_SOURCE, backend(1)));
        let label = outer.flow_label().value();
        let number_hash = hash(source(number), TCP);
        assert_eq!(label >> 16, number_hash >> 16 & 0x0f);
        assert_eq!(
            u16::try_from(label & 0xffff).unwrap().to_be(),
            u16::try_from(number_hash & 0xffff).unwrap()
        );
    }
    let counters = scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.new_connections), (300, 150));
}

#[test]
fn either_family_goes_inside_either() {
    let Some(mut scene) = scene(TCP, |_| {}) else { return };
    let four = tcp(client(1), Flags::Syn);
    let six = segment(source(1), true);
    for (frame, protocol) in [(&four, 4), (&six, 41)] {
        scene.give_all(|_| SlotWord::new(2, 0, Epoch::new(0)));
        let sent = scene.programs.balance(frame).frame;
        let outer = Ipv6HeaderSlice::from_slice(&sent[14..]).unwrap();
        assert_eq!((outer.next_header().0, outer.destination_addr()), (protocol, backend(2)));
        assert_eq!(sent[54..], routed(&frame[14..]));
        let received = scene.programs.decapsulate(&sent);
        assert_eq!(received.verdict, "decapsulated");
        assert_eq!(received.frame[12..], [&frame[12..14], &routed(&frame[14..])].concat());

        scene.give_all(|_| SlotWord::new(3, 0, Epoch::new(0)));
        let sent = scene.programs.balance(frame).frame;
        let outer = Ipv4HeaderSlice::from_slice(&sent[14..]).unwrap().to_header();
        assert_eq!((outer.protocol.0, outer.destination), (protocol, [10, 0, 0, 3]));
        assert_eq!(outer.header_checksum, outer.calc_header_checksum());
        assert_eq!(usize::from(outer.total_len), sent.len() - 14);
        assert_eq!(sent[34..], routed(&frame[14..]));
        let received = scene.programs.decapsulate(&sent);
        assert_eq!(received.verdict, "decapsulated");
        assert_eq!(received.frame[12..], [&frame[12..14], &routed(&frame[14..])].concat());
    }
}

#[test]
fn the_last_bits_of_the_outer_source_are_the_flow_s() {
    let Some(mut scene) = scene(TCP, |_| {}) else { return };
    for (prefix, mask) in [(64, u32::MAX), (96, u32::MAX), (112, 0xffff), (127, 1), (128, 0)] {
        let network = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 0);
        put_tunnel_source(&mut scene, network, prefix);
        for number in 0..20 {
            let sent = scene.programs.balance(&segment(source(number), false)).frame;
            let outer = Ipv6HeaderSlice::from_slice(&sent[14..]).unwrap();
            let host = u32::from_be_bytes(hash(source(number), TCP).to_ne_bytes()) & mask;
            assert_eq!(u128::from(outer.source_addr()), u128::from(network) | u128::from(host), "/{prefix}");
        }
    }
}

#[test]
fn slots_are_those_of_the_ipv6_hash() {
    for (protocol, tracking) in [(TCP, maglev_probe_abi::TRACKING_NEVER), (UDP, TRACKING_ALWAYS)] {
        let Some(mut scene) = scene(protocol, |record| record.tracking = tracking) else { return };
        scene.give_all(|slot| SlotWord::new(1 + (slot - FIRST_SLOT) % 2, 0, Epoch::new(9)));
        for number in 0..500 {
            let frame =
                if protocol == TCP { segment(source(number), true) } else { datagram(source(number)) };
            let sent = scene.programs.balance(&frame).frame;
            let outer = Ipv6HeaderSlice::from_slice(&sent[14..]).unwrap();
            let slot = hash(source(number), protocol) % TABLE_SIZE;
            assert_eq!(outer.destination_addr(), backend(1 + slot % 2));
        }
        assert_eq!(scene.programs.service_counters().new_connections, 500);
    }
}

#[test]
fn extension_headers_are_followed_up_to_six() {
    let Some(scene) = scene(TCP, |_| {}) else { return };
    let plain = segment(source(1), false);
    for kinds in [
        &[HOP_BY_HOP][..],
        &[ROUTING],
        &[DESTINATION_OPTIONS],
        &[HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, DESTINATION_OPTIONS],
        &[DESTINATION_OPTIONS; 6],
    ] {
        for units in [0, 1, 7, 60] {
            let frame = extended(&plain, kinds, units);
            let Outcome { verdict, frame: sent, .. } = scene.programs.balance(&frame);
            assert_eq!(verdict, "transmitted", "{kinds:?} of {units}");
            assert_eq!(sent[54..], routed(&frame[14..]));
        }
    }
    let seven = extended(&plain, &[DESTINATION_OPTIONS; 7], 0);
    assert_eq!(scene.programs.balance(&seven), passed("extension-headers", &seven));
    let mut later = extended(&plain, &[&[DESTINATION_OPTIONS; 6][..], &[FRAGMENT]].concat(), 0);
    later[ETHERNET + HEADER + 6 * 8 + 3] = 8;
    assert_eq!(scene.programs.balance(&later), passed("extension-headers", &later), "a later fragment");
    // Neither begun by others nor followed: a whole packet.
    for kinds in [&[FRAGMENT][..], &[HOP_BY_HOP, FRAGMENT], &[FRAGMENT, DESTINATION_OPTIONS]] {
        let whole = extended(&plain, kinds, 0);
        let Outcome { verdict, frame: sent, .. } = scene.programs.balance(&whole);
        assert_eq!(verdict, "transmitted", "{kinds:?}");
        assert_eq!(sent[54..], routed(&whole[14..]));
    }
    let unknown = extended(&plain, &[HOP_BY_HOP, 50], 0);
    assert_eq!(scene.programs.balance(&unknown), passed("other-protocol", &unknown));
}

#[test]
fn fragments_follow_their_first_one() {
    let Some(mut scene) = scene(UDP, |record| record.tracking = maglev_probe_abi::TRACKING_NEVER) else {
        return;
    };
    let whole = datagram(source(1));
    // The place of a fragment, whether others follow, and the identification; the next header of a later one may be any.
    let fragment = |next: u8, place: u16, identification: u8, payload: &[u8]| {
        let mut header = vec![next, 0];
        header.extend(place.to_be_bytes());
        header.extend([0, 0, 0, identification]);
        let mut frame = [&whole[..ETHERNET + HEADER], &header, payload].concat();
        let length = u16::try_from(frame.len() - ETHERNET - HEADER).unwrap();
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frame[20] = FRAGMENT;
        frame
    };
    let mut datagram = whole[ETHERNET + HEADER..].to_vec();
    datagram[4..6].copy_from_slice(&1400_u16.to_be_bytes());
    let first = fragment(17, 1, 5, &datagram);
    let later = fragment(DESTINATION_OPTIONS, 2 << 3, 5, &[7; 40]);
    assert_eq!(scene.programs.balance(&later), passed("fragment-without-first", &later));
    for piece in [&first, &later] {
        let outcome = scene.programs.balance(piece);
        assert_eq!(outcome.verdict, "transmitted");
        assert_eq!(outcome.frame[54..], routed(&piece[14..]));
        let outer = Ipv6HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
        assert_eq!(outer.destination_addr(), backend(1));
        scene.give_all(|_| SlotWord::new(2, 0, Epoch::new(0)));
    }
    let another = fragment(17, 2 << 3, 6, &[7; 40]);
    assert_eq!(scene.programs.balance(&another), passed("fragment-without-first", &another));
    let short = fragment(17, 1, 7, &datagram[..7]);
    assert_eq!(scene.programs.balance(&short), passed("malformed", &short));
    assert_eq!(scene.programs.service_counters().packets, 2);
}

#[test]
fn what_is_cut_off_or_contradicts_itself_passes_as_it_is() {
    let Some(scene) = scene(TCP, |_| {}) else { return };
    let plain = segment(source(1), false);
    let headers = HEADER + 16 + 20;
    let whole = extended(&plain, &[HOP_BY_HOP, ROUTING], 0);
    for length in ETHERNET..whole.len() {
        let mut cut = whole[..length].to_vec();
        assert_eq!(scene.programs.balance(&cut), passed("malformed", &cut));
        if let Some(payload) = length.checked_sub(ETHERNET + HEADER) {
            cut[18..20].copy_from_slice(&u16::try_from(payload).unwrap().to_be_bytes());
            let outcome = scene.programs.balance(&cut);
            if length < ETHERNET + headers {
                assert_eq!(outcome, passed("malformed", &cut), "{length} bytes");
            } else {
                assert_eq!(outcome.verdict, "transmitted");
            }
        }
    }
    for version in (0..16).filter(|version| *version != 6) {
        let mut lies = plain.clone();
        lies[14] = version << 4;
        assert_eq!(scene.programs.balance(&lies), passed("malformed", &lies));
    }
}

#[test]
fn whoever_observes_passes_ipv6_and_counts_it() {
    let Some(scene) = scene(UDP, |record| record.forwarding = FORWARDING_OBSERVE) else { return };
    let frame = datagram(source(1));
    assert_eq!(scene.programs.balance(&frame), passed("observed", &frame));
    assert_eq!(scene.programs.backend_counters(1).bytes, frame.len() as u64);
}

#[test]
fn outer_extension_headers_come_off_too() {
    let Some(scene) = scene(TCP, |_| {}) else { return };
    let sent = scene.programs.balance(&segment(source(1), true)).frame;
    for kinds in [&[DESTINATION_OPTIONS][..], &[HOP_BY_HOP, DESTINATION_OPTIONS], &[FRAGMENT]] {
        let extended = extended(&sent, kinds, 0);
        let received = scene.programs.decapsulate(&extended);
        assert_eq!(received.verdict, "decapsulated", "{kinds:?}");
        assert_eq!(received.frame, [&extended[..14], &sent[54..]].concat());
    }
    let mut fragment = extended(&sent, &[FRAGMENT], 0);
    fragment[57] = 1;
    assert_eq!(scene.programs.decapsulate(&fragment), passed("malformed", &fragment), "others follow");
    let seven = extended(&sent, &[DESTINATION_OPTIONS; 7], 0);
    assert_eq!(scene.programs.decapsulate(&seven), passed("not-a-tunnel", &seven));
}

#[test]
fn an_outer_ipv6_header_that_is_no_whole_tunnel_s_stays() {
    let Some(scene) = scene(TCP, |_| {}) else { return };
    let sent = scene.programs.balance(&segment(source(1), true)).frame;
    for (what, place, byte, verdict) in [
        ("another version", 14, 0x40, "malformed"),
        ("another version inside", 54, 0x45, "malformed"),
        ("longer than it is", 18, 0x7f, "malformed"),
        ("another protocol", 20, 47, "not-a-tunnel"),
    ] {
        let mut lies = sent.clone();
        lies[place] = byte;
        assert_eq!(scene.programs.decapsulate(&lies), passed(verdict, &lies), "{what}");
    }
}
