//! Packets that are cut off or contradict themselves: passed or dropped by a named verdict, and never sent wrongly.

use etherparse::Ipv4HeaderSlice;

use crate::{
    frames::{Flags, client, options, routed, tcp, tcp_to, udp},
    support::{Outcome, SERVICE, Scene, UDP, XDP_DROP, XDP_PASS, XDP_TX},
};

const ETHERNET: usize = 14;

fn malformed(frame: &[u8]) -> Outcome {
    Outcome { verdict: "malformed", action: XDP_PASS, frame: frame.to_vec() }
}

fn set_total_length(frame: &mut [u8], length: usize) {
    frame[16..18].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
}

#[test]
fn a_packet_cut_off_anywhere_passes_as_it_is() {
    let Some(scene) = Scene::new() else { return };
    for count in [0, 1, 10] {
        let whole = tcp_to(client(1), SERVICE, Flags::Syn, |header| header.options = options(count));
        for length in ETHERNET..whole.len() {
            let cut = &whole[..length];
            assert_eq!(scene.programs.balance(cut), malformed(cut), "{length} of {} bytes", whole.len());
        }
        assert_eq!(scene.programs.balance(&whole).verdict, "transmitted");
    }
    assert_eq!(scene.programs.slot_hits().values().sum::<u64>(), 3);
}

#[test]
fn a_packet_that_ends_within_its_headers_passes_as_it_is() {
    let Some(scene) = Scene::new() else { return };
    for count in [0, 1, 10] {
        let whole = tcp_to(client(1), SERVICE, Flags::Syn, |header| header.options = options(count));
        let headers = ETHERNET + 20 + count * 4 + 20;
        for length in ETHERNET..whole.len() {
            let mut cut = whole[..length].to_vec();
            if length >= 18 {
                set_total_length(&mut cut, length - ETHERNET);
            }
            let outcome = scene.programs.balance(&cut);
            if length < headers {
                assert_eq!(outcome, malformed(&cut), "{length} of {headers} bytes");
            } else {
                assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
            }
        }
    }
}

#[test]
fn a_datagram_that_ends_within_its_headers_passes_as_it_is() {
    let Some(scene) = Scene::of(UDP, |_| {}) else { return };
    let whole = udp(client(1), b"data");
    for length in ETHERNET..whole.len() {
        let mut cut = whole[..length].to_vec();
        assert_eq!(scene.programs.balance(&cut), malformed(&cut));
        if length >= 42 {
            set_total_length(&mut cut, length - ETHERNET);
            assert_eq!(scene.programs.balance(&cut), malformed(&cut), "its own length is larger");
        }
    }
    assert_eq!(scene.programs.balance(&whole).verdict, "transmitted");
    for length in (0..8).chain([13, 1000, 65535]) {
        let mut lies = whole.clone();
        lies[38..40].copy_from_slice(&u16::to_be_bytes(length));
        assert_eq!(scene.programs.balance(&lies), malformed(&lies), "{length}");
    }
}

#[test]
fn headers_that_contradict_themselves_pass_as_they_are() {
    let Some(scene) = Scene::new() else { return };
    let whole = tcp(client(1), Flags::Syn);
    for first in 0..=255 {
        // Version and header length. Those that leave room for TCP put it in other places.
        if first != 0x45 {
            let mut lies = whole.clone();
            lies[14] = first;
            let outcome = scene.programs.balance(&lies);
            assert_eq!((outcome.action, &outcome.frame), (XDP_PASS, &lies));
            let is_possible = (0x46..=0x4f).contains(&first);
            assert!(outcome.verdict == "malformed" || is_possible && outcome.verdict == "not-a-service");
        }
    }
    for length in (0..40).chain([61, 1500, 65535]) {
        let mut lies = whole.clone();
        set_total_length(&mut lies, length);
        assert_eq!(scene.programs.balance(&lies), malformed(&lies), "a total length of {length}");
    }
    for length in [0, 1, 4, 11, 15] {
        let mut lies = whole.clone();
        lies[46] = length << 4;
        assert_eq!(scene.programs.balance(&lies), malformed(&lies), "a TCP header of {length} words");
    }
}

#[test]
fn what_fills_a_frame_up_does_not_matter() {
    let Some(scene) = Scene::new() else { return };
    let mut frame = tcp(client(1), Flags::Ack);
    let packet = frame.len();
    frame.resize(packet + 30, 0xee);
    let outcome = scene.programs.balance(&frame);
    assert_eq!(outcome.verdict, "transmitted");
    assert_eq!(outcome.frame[34..], routed(&frame[14..]));
    let outer = Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
    assert_eq!(usize::from(outer.total_len()), packet - 14 + 20);
    assert_eq!(scene.programs.backend_counters(1).bytes, packet as u64);
}

#[test]
fn frames_of_several_fragments_are_counted_whole() {
    let Some(scene) = Scene::of(UDP, |record| record.tracking = maglev_probe_abi::TRACKING_NEVER) else {
        return;
    };
    let frame = udp(client(1), &[0xda; 9000 - 28]);
    let outcome = scene.programs.balance(&frame);
    assert_eq!((outcome.verdict, outcome.frame.len()), ("transmitted", frame.len() + 20));
    assert_eq!(outcome.frame[34..], routed(&frame[14..]));
    assert_eq!(scene.programs.backend_counters(1).bytes, frame.len() as u64);
}

#[test]
fn what_has_no_room_for_an_outer_header_is_dropped() {
    let Some(scene) = Scene::of(UDP, |record| record.tracking = maglev_probe_abi::TRACKING_NEVER) else {
        return;
    };
    for (length, verdict) in [(65_515, "transmitted"), (65_516, "too-big"), (65_535, "too-big")] {
        let frame = udp(client(1), &vec![0xda; length - 28]);
        let outcome = scene.programs.balance(&frame);
        assert_eq!(outcome.verdict, verdict, "a packet of {length} bytes");
        if verdict == "too-big" {
            assert_eq!((outcome.action, outcome.frame), (XDP_DROP, frame));
        }
    }
    assert_eq!(scene.programs.backend_counters(1).packets, 1);
}

#[test]
fn what_has_no_memory_for_an_outer_header_in_front_is_dropped() {
    let Some(scene) = Scene::new() else { return };
    let frame = tcp(client(1), Flags::Syn);
    assert_eq!(scene.programs.balance_behind(&frame, 64).verdict, "transmitted");
    // 256 bytes are in front of a frame, of which the kernel keeps some.
    let outcome = scene.programs.balance_behind(&frame, 200);
    assert_eq!((outcome.verdict, outcome.action), ("no-headroom", XDP_DROP));
    assert!(outcome.frame.ends_with(&frame));
    assert_eq!(scene.programs.backend_counters(1).packets, 1);
}

#[test]
fn frames_of_any_bytes_are_never_sent_wrongly() {
    let Some(scene) = Scene::new() else { return };
    let mut random = fastrand::Rng::with_seed(7);
    let whole = tcp_to(client(1), SERVICE, Flags::Syn, |header| header.options = options(2));
    let mut sent = 0;
    for _ in 0..20_000 {
        let mut frame = whole.clone();
        for _ in 0..random.usize(0..4) {
            let place = random.usize(0..frame.len());
            frame[place] = random.u8(..);
        }
        frame.truncate(random.usize(ETHERNET..frame.len() * 2));
        let outcome = scene.programs.balance(&frame);
        match outcome.action {
            XDP_TX if outcome.verdict == "time-exceeded-answered" => {
                assert!(frame[22] <= 1);
            }
            XDP_TX => {
                let outer = Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
                assert_eq!(outer.destination(), [10, 0, 0, 1]);
                assert_eq!(outcome.frame[34..], routed(&frame[14..]));
                sent += 1;
            }
            XDP_PASS => assert_eq!(outcome.frame, frame),
            XDP_DROP if outcome.verdict == "time-exceeded" => assert!(frame[22] <= 1),
            action => panic!("{action} for {frame:x?}"),
        }
    }
    assert!((1000..19_000).contains(&sent), "{sent}");
}
