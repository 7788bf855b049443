//! Tunnels: what is put around a packet, and what is counted of it.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4HeaderSlice};
use maglev_core::slot::{Epoch, SlotWord};
use maglev_probe_abi::{AFFINITY_SOURCE, BackendCounters, ServiceCounters, Settings, TRACKING_NEVER};

use crate::{
    frames::{Flags, client, options, routed, tcp, tcp_to, udp},
    support::{
        BALANCER, FIRST_SLOT, GATEWAY, LAG, Outcome, SERVICE, Scene, TABLE_SIZE, TCP, UDP, XDP_DROP, XDP_TX,
        backend_address, now,
    },
};

#[test]
fn a_packet_leaves_whole_inside_a_header_that_is_right() {
    let Some(scene) = Scene::new() else { return };
    for number in 0..300_u16 {
        let frame = tcp_to(client(number), SERVICE, Flags::Ack, |header| {
            header.dscp = u8::try_from(number % 64).unwrap().try_into().unwrap();
            header.ecn = u8::try_from(number % 4).unwrap().try_into().unwrap();
            header.dont_fragment = number % 2 == 0;
            header.time_to_live = u8::try_from(2 + number % 254).unwrap();
            header.options = options(usize::from(number % 11));
        });
        let Outcome { verdict, action, frame: sent } = scene.programs.balance(&frame);
        assert_eq!((verdict, action), ("transmitted", XDP_TX));
        assert_eq!(sent[..14], [&GATEWAY[..], &BALANCER, &[8, 0]].concat());
        assert_eq!(sent[34..], routed(&frame[14..]), "what is inside is as it was, a router further");
        let inner = Ipv4HeaderSlice::from_slice(&sent[34..]).unwrap().to_header();
        assert_eq!(inner.header_checksum, inner.calc_header_checksum());
        let outer = Ipv4HeaderSlice::from_slice(&sent[14..]).unwrap().to_header();
        assert_eq!(outer.header_checksum, outer.calc_header_checksum());
        assert_eq!(usize::from(outer.total_len), sent.len() - 14);
        assert_eq!((outer.time_to_live, outer.protocol), (64, IpNumber::IPV4));
        assert_eq!((outer.identification, outer.dont_fragment), (0, true));
        assert_eq!((outer.more_fragments, outer.fragment_offset.value()), (false, 0));
        assert_eq!(sent[15], frame[15], "type of service");
        assert_eq!(Ipv4Addr::from(outer.source), Ipv4Addr::new(10, 0, 0, 100));
        assert_eq!(Ipv4Addr::from(outer.destination), backend_address(1));
    }
}

#[test]
fn a_checksum_of_zeros_and_ones_is_right_too() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    for source in [[0; 4], [255; 4], [255, 255, 0, 0], [127, 255, 128, 0]] {
        for address in [Ipv4Addr::BROADCAST, Ipv4Addr::new(0, 0, 0, 1), Ipv4Addr::new(186, 160, 0, 0)] {
            scene.programs.put_settings(Settings {
                tunnel_source_v4: source,
                gateway: GATEWAY,
                has_gateway: 1,
                ..Settings::default()
            });
            scene.set_backend(1, |backend| backend.address = crate::support::wide(address));
            for length in 0..70 {
                let sent = scene.programs.balance(&udp(client(length), &vec![0; length.into()])).frame;
                let outer = Ipv4HeaderSlice::from_slice(&sent[14..]).unwrap().to_header();
                assert_eq!(outer.header_checksum, outer.calc_header_checksum());
            }
        }
    }
}

#[test]
fn the_host_bits_of_the_outer_source_are_the_flow_s() {
    let Some(mut scene) = Scene::new() else { return };
    scene.programs.put_settings(Settings {
        tunnel_source_v4: [100, 64, 0, 0],
        tunnel_host_mask_v4: [0, 0, 0x0f, 0xff],
        gateway: GATEWAY,
        has_gateway: 1,
        ..Settings::default()
    });
    let mut sources = std::collections::BTreeSet::new();
    for number in 0..100 {
        let first = scene.programs.balance(&tcp(client(number), Flags::Syn)).frame;
        let outer = Ipv4HeaderSlice::from_slice(&first[14..]).unwrap().to_header();
        assert_eq!(outer.header_checksum, outer.calc_header_checksum());
        let [a, b, c, d] = outer.source;
        let [_, _, third, fourth] = scene.hash(client(number)).to_ne_bytes();
        assert_eq!([a, b, c, d], [100, 64, third & 0x0f, fourth]);
        sources.insert(outer.source);
        let second = scene.programs.balance(&tcp(client(number), Flags::Ack)).frame;
        assert_eq!(second[26..30], first[26..30], "a flow keeps its source");
    }
    assert!(sources.len() > 90);
}

#[test]
fn packets_are_counted_where_they_go() {
    let Some(scene) = Scene::new() else { return };
    let before = now();
    let frames = [(1, Flags::Syn), (1, Flags::Ack), (2, Flags::Syn), (2, Flags::Rst), (3, Flags::SynAck)]
        .map(|(number, flags)| tcp(client(number), flags));
    let bytes: usize = frames.iter().map(Vec::len).sum();
    for frame in &frames {
        scene.programs.balance(frame);
    }
    let backend = scene.programs.backend_counters(1);
    assert_eq!((backend.packets, backend.bytes), (5, bytes as u64));
    assert_eq!((backend.new_connections, backend.held_packets), (2, 0));
    assert!((before - LAG..=now()).contains(&backend.last_packet), "{}", backend.last_packet);
    let service = scene.programs.service_counters();
    assert_eq!((service.packets, service.bytes, service.new_connections), (5, bytes as u64, 2));
    assert_eq!((service.held_packets, service.unremembered), (0, 0));
    assert_eq!(scene.programs.backend_counters(2), BackendCounters::default());
    assert_eq!(scene.programs.slot_hits().values().sum::<u64>(), 5);
    let mut expected = std::collections::BTreeMap::new();
    for number in [1, 1, 2, 2, 3] {
        *expected.entry(scene.slot(client(number))).or_default() += 1;
    }
    assert_eq!(scene.programs.slot_hits(), expected);
}

#[test]
fn what_contradicts_itself_in_the_maps_is_dropped_and_nothing_else_is_counted() {
    let Some(mut scene) = Scene::new() else { return };
    let frame = tcp(client(1), Flags::Syn);
    let dropped = Outcome { verdict: "inconsistent", action: XDP_DROP, frame: frame.clone() };
    let right = scene.record;
    for (what, wrong) in [
        ("no slots", maglev_probe_abi::ServiceRecord { table_size: 0, ..right }),
        ("slots beyond the last row", maglev_probe_abi::ServiceRecord { first_slot: 512 * 100, ..right }),
        ("slots around the end", maglev_probe_abi::ServiceRecord { first_slot: u32::MAX - 3, ..right }),
        ("an unknown forwarding", maglev_probe_abi::ServiceRecord { forwarding: 9, ..right }),
        ("an unknown tracking", maglev_probe_abi::ServiceRecord { tracking: 9, ..right }),
    ] {
        scene.change_service(|record| *record = wrong);
        assert_eq!(scene.programs.balance(&frame), dropped, "{what}");
    }
    scene.change_service(|record| *record = right);
    scene.set_backend(1, |backend| backend.family = 5);
    assert_eq!(scene.programs.balance(&frame), dropped, "a backend with an address of no family");
    assert_eq!(scene.programs.service_counters(), ServiceCounters::default());
    scene.set_backend(1, |_| {});
    assert_eq!(scene.programs.balance(&frame).verdict, "transmitted");
    // Counting is not worth a packet.
    scene.change_service(|record| record.rows = 1_000_000);
    assert_eq!(scene.programs.balance(&frame).verdict, "transmitted");
    scene.change_service(|record| record.number = 1_000_000);
    assert_eq!(scene.programs.balance(&frame).verdict, "transmitted");
}

#[test]
fn every_slot_is_reached_and_leads_to_its_owner() {
    let Some(mut scene) = Scene::of(TCP, |record| record.tracking = TRACKING_NEVER) else { return };
    scene.give_all(|slot| SlotWord::new(1 + (slot - FIRST_SLOT) % 4, 0, Epoch::new(9)));
    for number in 0..2000 {
        let slot = scene.slot(client(number)) - FIRST_SLOT;
        assert_eq!(scene.backend_of(&tcp(client(number), Flags::Ack)), 1 + slot % 4);
    }
    let hits = scene.programs.slot_hits();
    assert_eq!(hits.len(), usize::try_from(TABLE_SIZE).unwrap());
    assert_eq!(hits.values().sum::<u64>(), 2000);
    let packets: u64 = (1..=4).map(|number| scene.programs.backend_counters(number).packets).sum();
    assert_eq!(packets, 2000);
}

#[test]
fn source_affinity_keeps_a_client_in_one_slot() {
    let Some(scene) = Scene::of(TCP, |record| record.affinity = AFFINITY_SOURCE) else { return };
    for port in 1..100 {
        let mut from = client(1);
        from.set_port(port * 600);
        scene.programs.balance(&tcp(from, Flags::Syn));
    }
    assert_eq!(scene.programs.slot_hits(), [(scene.slot(client(1)), 99)].into());
}
