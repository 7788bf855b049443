//! Fragments: the first one is balanced, and the others of its packet go where it went.

use etherparse::{Ipv4HeaderSlice, PacketBuilder};
use maglev_core::slot::{Epoch, SlotWord};
use maglev_probe_abi::{FORWARDING_OBSERVE, FirstFragment, FragmentKey, TRACKING_ALWAYS, TRACKING_NEVER};

use crate::{
    frames::{Flags, client, fragments, routed, tagged, tcp, tcp_to, udp, udp_to},
    support::{BALANCER, Outcome, ROUTER, SERVICE, Scene, TCP, UDP, XDP_DROP, XDP_PASS, XDP_TX, now, wide},
};

fn passed(verdict: &'static str, frame: &[u8]) -> Outcome {
    Outcome { verdict, action: XDP_PASS, frame: frame.to_vec() }
}

fn key(number: u16, identification: u16, protocol: u8) -> FragmentKey {
    FragmentKey {
        source: wide(*client(number).ip()),
        destination: wide(*SERVICE.ip()),
        identification: u16::to_be(identification).into(),
        protocol,
        family: 4,
        padding: 0,
    }
}

/// A datagram in three fragments.
fn pieces(number: u16, identification: u16) -> Vec<Vec<u8>> {
    fragments(&udp(client(number), &[number.to_be_bytes()[1]; 3000]), identification, &[1480, 800])
}

#[test]
fn the_fragments_of_a_datagram_go_to_one_backend_whole() {
    for tracking in [TRACKING_NEVER, TRACKING_ALWAYS] {
        let Some(mut scene) = Scene::of(UDP, |record| record.tracking = tracking) else { return };
        for number in 0..100 {
            scene.give_all(|slot| SlotWord::new(1 + slot % 4, 0, Epoch::new(0)));
            let pieces = pieces(number, 9);
            let first = scene.backend_of(&pieces[0]);
            assert_eq!(first, 1 + scene.slot(client(number)) % 4);
            // A change in between makes no difference.
            scene.give_all(|_| SlotWord::new(1 + first % 4, 0, Epoch::new(0)));
            for piece in &pieces[1..] {
                let outcome = scene.programs.balance(piece);
                assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
                assert_eq!(outcome.frame[34..], routed(&piece[14..]), "a fragment stays one");
                let outer = Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap().to_header();
                assert_eq!(outer.header_checksum, outer.calc_header_checksum());
                assert_eq!(u32::from(outer.destination[3]), first);
                assert!(outer.dont_fragment && !outer.is_fragmenting_payload());
            }
        }
        let service = scene.programs.service_counters();
        assert_eq!(service.packets, 300);
        assert_eq!(service.new_connections, if tracking == TRACKING_ALWAYS { 100 } else { 0 });
        assert_eq!(service.held_packets, 200, "after the change they go to another than the owner");
        assert_eq!(scene.programs.slot_hits().values().sum::<u64>(), 300);
    }
}

#[test]
fn a_later_fragment_opens_nothing_and_is_no_sign_of_life() {
    let Some(scene) = Scene::new() else { return };
    let mut whole = tcp(client(1), Flags::Syn);
    whole.extend([0; 4]);
    whole[16..18].copy_from_slice(&64_u16.to_be_bytes());
    let pieces = fragments(&whole, 5, &[24]);
    for piece in &pieces {
        assert_eq!(scene.programs.balance(piece).verdict, "transmitted");
    }
    let counters = scene.programs.service_counters();
    assert_eq!((counters.packets, counters.new_connections), (2, 1));
}

#[test]
fn without_a_first_one_a_fragment_passes() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    let pieces = pieces(1, 9);
    assert_eq!(scene.programs.balance(&pieces[2]), passed("fragment-without-first", &pieces[2]));
    assert_eq!(scene.programs.balance(&pieces[0]).verdict, "transmitted");
    let mut elsewhere = SERVICE;
    elsewhere.set_ip([192, 0, 2, 11].into());
    for (what, other) in [
        ("another identification", self::pieces(1, 10)),
        ("another client", self::pieces(2, 9)),
        ("another address", fragments(&udp_to(client(1), elsewhere, &[0; 3000], |_| {}), 9, &[1480, 800])),
        ("another protocol", fragments(&tcp_to(client(1), SERVICE, Flags::Ack, |_| {}), 9, &[24])),
    ] {
        assert_eq!(scene.programs.balance(&other[1]), passed("fragment-without-first", &other[1]), "{what}");
    }
    // What one went by half a minute ago may be another packet's.
    let first = scene.programs.first_fragment(&key(1, 9, UDP)).expect("it is remembered");
    let at = now() - 29_000;
    scene.programs.put_first_fragment(key(1, 9, UDP), FirstFragment { at, ..first });
    assert_eq!(scene.programs.balance(&pieces[1]).verdict, "transmitted");
    let at = now() - 30_001;
    scene.programs.put_first_fragment(key(1, 9, UDP), FirstFragment { at, ..first });
    assert_eq!(scene.programs.balance(&pieces[1]), passed("fragment-without-first", &pieces[1]));
}

#[test]
fn what_the_first_one_went_to_is_what_the_others_go_to_or_nothing() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    let pieces = pieces(1, 9);
    assert_eq!(scene.backend_of(&pieces[0]), 1);
    scene.give_all(|_| SlotWord::new(2, 0, Epoch::new(0)));
    for change in [
        |backend: &mut maglev_probe_abi::BackendRecord| backend.state = 0,
        |backend: &mut maglev_probe_abi::BackendRecord| backend.generation += 1,
    ] {
        scene.set_backend(1, change);
        let dropped = Outcome { verdict: "backend-gone", action: XDP_DROP, frame: pieces[1].clone() };
        assert_eq!(scene.programs.balance(&pieces[1]), dropped);
    }
    // The packet is sent once more, as another or the same.
    assert_eq!(scene.backend_of(&pieces[0]), 2);
    assert_eq!(scene.backend_of(&pieces[1]), 2);
}

#[test]
fn what_is_not_sent_is_not_remembered() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    scene.set_backend(1, |backend| backend.state = 0);
    let pieces = pieces(1, 9);
    assert_eq!(scene.programs.balance(&pieces[0]).verdict, "backend-gone");
    assert_eq!(scene.programs.first_fragment(&key(1, 9, UDP)), None);
    assert_eq!(scene.programs.balance(&pieces[1]).verdict, "fragment-without-first");
}

#[test]
fn an_observer_counts_the_fragments_of_its_packets() {
    let Some(scene) = Scene::of(UDP, |record| {
        record.tracking = TRACKING_NEVER;
        record.forwarding = FORWARDING_OBSERVE;
    }) else {
        return;
    };
    for piece in &pieces(1, 9) {
        assert_eq!(scene.programs.balance(piece), passed("observed", piece));
    }
    assert_eq!(scene.programs.backend_counters(1).packets, 3);
}

#[test]
fn a_first_fragment_has_its_ports_or_is_malformed() {
    let Some(scene) = Scene::new() else { return };
    let whole = tcp(client(1), Flags::Ack);
    for (length, verdict) in [(8, "malformed"), (16, "malformed"), (24, "transmitted")] {
        let piece = &fragments(&whole, 3, &[length])[0];
        assert_eq!(scene.programs.balance(piece).verdict, verdict, "{length} bytes");
    }
    // Filled up, it is not longer.
    let mut filled = fragments(&whole, 3, &[16])[0].clone();
    filled.resize(60, 0);
    assert_eq!(scene.programs.balance(&filled), passed("malformed", &filled));

    let Some(scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    let whole = udp(client(1), &[0; 64]);
    assert_eq!(scene.programs.balance(&fragments(&whole, 3, &[8])[0]).verdict, "transmitted");
    let mut lies = fragments(&whole, 3, &[8])[0].clone();
    lies[38..40].copy_from_slice(&7_u16.to_be_bytes());
    assert_eq!(scene.programs.balance(&lies), passed("malformed", &lies));
}

#[test]
fn fragments_of_other_packets_pass() {
    let Some(scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    let mut elsewhere = SERVICE;
    elsewhere.set_port(54);
    let other = fragments(&udp_to(client(1), elsewhere, &[0; 3000], |_| {}), 9, &[1480]);
    assert_eq!(scene.programs.balance(&other[0]), passed("not-a-service", &other[0]));
    assert_eq!(scene.programs.balance(&other[1]), passed("fragment-without-first", &other[1]));
    let mut ping = Vec::new();
    PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ipv4([198, 51, 100, 1], SERVICE.ip().octets(), 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut ping, &[0; 2000])
        .unwrap();
    let ping = fragments(&ping, 9, &[1480]);
    assert_eq!(scene.programs.balance(&ping[0]), passed("fragment", &ping[0]));
    assert_eq!(scene.programs.balance(&ping[1]), passed("fragment-without-first", &ping[1]));
}

#[test]
fn tagged_fragments_are_fragments() {
    let Some(scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    let tags = [(0x8100, 7)];
    for piece in &pieces(1, 9) {
        let outcome = scene.programs.balance(&tagged(piece, &tags));
        assert_eq!(outcome.verdict, "transmitted");
        assert_eq!(outcome.frame[38..], routed(&piece[14..]));
    }
}

#[test]
fn a_syn_in_fragments_is_remembered_like_any() {
    let Some(mut scene) = Scene::of(TCP, |_| {}) else { return };
    scene.give_all(|_| SlotWord::new(1, 2, Epoch::new(0)));
    let deadline = maglev_core::slot::Deadline::new(Epoch::new(0), now() + 100_000);
    scene.settle_all(deadline);
    let pieces = fragments(&tcp(client(1), Flags::Syn), 5, &[24]);
    assert_eq!(scene.backend_of(&pieces[0]), 1);
    assert_eq!(scene.backend_of(&pieces[1]), 1, "where it would not go by itself");
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_eq!(scene.backend_of(&tcp(client(2), Flags::Ack)), 2);
}
