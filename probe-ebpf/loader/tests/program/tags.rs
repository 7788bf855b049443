//! Frames with VLAN tags are balanced like others, and leave with their tags.

use maglev_probe_abi::{FORWARDING_OBSERVE, Settings, TRACKING_NEVER};

use crate::{
    frames::{Flags, client, fragments, routed, tagged, tcp, tcp_to, udp},
    support::{BALANCER, GATEWAY, Outcome, ROUTER, SERVICE, Scene, TCP, UDP, XDP_DROP, XDP_PASS, XDP_TX},
};

const TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;

/// Tags that are looked behind.
const TAGS: [&[(u16, u16)]; 5] = [
    &[(TAG, 0x2005)],
    &[(SERVICE_TAG, 0x0fff)],
    &[(SERVICE_TAG, 100), (TAG, 0xe001)],
    &[(TAG, 100), (TAG, 200)],
    &[(SERVICE_TAG, 1), (SERVICE_TAG, 2)],
];

#[test]
fn a_tagged_packet_leaves_with_its_tags() {
    let Some(scene) = Scene::new() else { return };
    for tags in TAGS {
        for number in 0..50 {
            let plain = tcp(client(number), Flags::Syn);
            let untagged = scene.programs.balance(&plain);
            let outcome = scene.programs.balance(&tagged(&plain, tags));
            assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
            assert_eq!(outcome.frame, tagged(&untagged.frame, tags));
            assert_eq!(outcome.frame[..12], [GATEWAY, BALANCER].concat());
        }
    }
}

#[test]
fn its_bytes_are_counted_with_the_tags() {
    let Some(scene) = Scene::new() else { return };
    let frame = tagged(&tcp(client(1), Flags::Ack), TAGS[2]);
    scene.programs.balance(&frame);
    assert_eq!(scene.programs.backend_counters(1).bytes, frame.len() as u64);
    assert_eq!(scene.programs.service_counters().bytes, frame.len() as u64);
}

#[test]
fn what_passes_passes_with_its_tags() {
    let Some(mut scene) = Scene::of(TCP, |record| record.forwarding = FORWARDING_OBSERVE) else { return };
    let mut elsewhere = SERVICE;
    elsewhere.set_port(81);
    let plain = tcp(client(1), Flags::Syn);
    let mut arp = [&BALANCER[..], &ROUTER, &[8, 6]].concat();
    arp.extend([0; 28]);
    let mut garbage = plain.clone();
    garbage[14] = 0x44;
    for tags in TAGS {
        for (frame, verdict) in [
            (&plain, "observed"),
            (&tcp_to(client(1), elsewhere, Flags::Syn, |_| {}), "not-a-service"),
            (&udp(client(1), b"data"), "not-a-service"),
            (&fragments(&plain, 7, &[24])[1], "fragment-without-first"),
            (&arp, "not-ip"),
            (&garbage, "malformed"),
        ] {
            let frame = tagged(frame, tags);
            let expected = Outcome { verdict, action: XDP_PASS, frame: frame.clone() };
            assert_eq!(scene.programs.balance(&frame), expected, "{tags:?}");
        }
        let whole = tagged(&plain, tags);
        for length in 14..whole.len() {
            let cut = &whole[..length];
            let expected = Outcome { verdict: "malformed", action: XDP_PASS, frame: cut.to_vec() };
            assert_eq!(scene.programs.balance(cut), expected, "{length} bytes");
        }
    }
    scene.change_service(|record| record.forwarding = maglev_probe_abi::FORWARDING_IPIP);
    scene.set_backend(1, |backend| backend.state = 0);
    let frame = tagged(&plain, TAGS[0]);
    let expected = Outcome { verdict: "backend-gone", action: XDP_DROP, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), expected, "and what is dropped is whole");
}

#[test]
fn a_third_tag_is_not_looked_behind() {
    let Some(scene) = Scene::new() else { return };
    let frame = tagged(&tcp(client(1), Flags::Syn), &[(SERVICE_TAG, 1), (TAG, 2), (TAG, 3)]);
    let expected = Outcome { verdict: "not-ip", action: XDP_PASS, frame: frame.clone() };
    assert_eq!(scene.programs.balance(&frame), expected);
}

#[test]
fn a_tagged_packet_needs_no_more_room_than_its_outer_header() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    scene.programs.put_settings(Settings { gateway: GATEWAY, has_gateway: 1, ..Settings::default() });
    let plain = udp(client(1), &[0xda; 9000 - 28]);
    let outcome = scene.programs.balance(&tagged(&plain, TAGS[2]));
    assert_eq!(outcome.verdict, "transmitted", "of several fragments in memory too");
    assert_eq!(outcome.frame[42..], routed(&plain[14..]));
    assert_eq!(outcome.frame[12..22], [0x88, 0xa8, 0, 100, 0x81, 0, 0xe0, 1, 8, 0]);
}
