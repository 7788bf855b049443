//! At a backend: the packet comes out of its outer header as it went in.

use etherparse::{IpNumber, PacketBuilder};
use maglev_probe_abi::DecapSettings;

use crate::{
    frames::{Flags, client, offset, options, routed, tcp, tunnelled},
    support::{BALANCER, Outcome, Programs, ROUTER, Scene, XDP_PASS},
};

fn passed(verdict: &'static str, frame: &[u8]) -> Outcome {
    Outcome { verdict, action: XDP_PASS, frame: frame.to_vec() }
}

#[test]
fn what_the_balancer_puts_around_is_taken_off() {
    let Some(scene) = Scene::new() else { return };
    let frame = tcp(client(1), Flags::Syn);
    let sent = scene.programs.balance(&frame).frame;
    let Outcome { verdict, action, frame: received } = scene.programs.decapsulate(&sent);
    assert_eq!((verdict, action), ("decapsulated", XDP_PASS));
    assert_eq!(received[..12], sent[..12], "the hardware addresses are those of the last link");
    assert_eq!(received[12..], [&frame[12..14], &routed(&frame[14..])].concat());
}

#[test]
fn outer_options_come_off_too_and_what_is_inside_may_be_ipv6() {
    let Some(programs) = Programs::load(1) else { return };
    let inner = &tcp(client(1), Flags::Ack)[14..];
    for count in 0..=10 {
        let frame = tunnelled(inner, IpNumber::IPV4, |outer| outer.options = options(count));
        assert_eq!(programs.decapsulate(&frame), passed("decapsulated", &[&frame[..14], inner].concat()));
    }
    let mut six = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(1024, 80, 1, 1).write(&mut six, b"data").unwrap();
    let frame = tunnelled(&six, IpNumber::IPV6, |_| {});
    assert_eq!(
        programs.decapsulate(&frame),
        passed("decapsulated", &[&frame[..12], &[0x86, 0xdd], &six].concat())
    );
}

#[test]
fn everything_else_is_left_as_it_is() {
    let Some(programs) = Programs::load(1) else { return };
    let inner = tcp(client(1), Flags::Ack)[14..].to_vec();
    let mut swapped = inner.clone();
    swapped[0] = 0x65;
    let mut arp = [&BALANCER[..], &ROUTER, &[8, 6]].concat();
    arp.extend([0; 28]);
    for (what, frame, verdict) in [
        ("not a tunnel's", tcp(client(1), Flags::Ack), "not-a-tunnel"),
        ("ARP", arp, "not-a-tunnel"),
        ("IPv4 said to be IPv6", tunnelled(&inner, IpNumber::IPV6, |_| {}), "malformed"),
        ("not IPv4 inside", tunnelled(&swapped, IpNumber::IPV4, |_| {}), "malformed"),
        ("nothing inside", tunnelled(&[], IpNumber::IPV4, |_| {}), "malformed"),
        ("too little inside", tunnelled(&inner[..19], IpNumber::IPV4, |_| {}), "malformed"),
        (
            "a fragment",
            tunnelled(&inner, IpNumber::IPV4, |outer| {
                outer.dont_fragment = false;
                outer.fragment_offset = offset(3);
            }),
            "malformed",
        ),
        ("another protocol", tunnelled(&inner, IpNumber::GRE, |_| {}), "not-a-tunnel"),
    ] {
        assert_eq!(programs.decapsulate(&frame), passed(verdict, &frame), "{what}");
    }
    let whole = tunnelled(&inner, IpNumber::IPV4, |outer| outer.options = options(2));
    for length in 14..whole.len() {
        let cut = &whole[..length];
        let outcome = programs.decapsulate(cut);
        assert_eq!((outcome.action, &outcome.frame[..]), (XDP_PASS, cut));
        assert!(matches!(outcome.verdict, "malformed" | "not-a-tunnel"));
    }
}

#[test]
fn tunnels_for_other_hosts_are_left_as_they_are() {
    let Some(mut programs) = Programs::load(1) else { return };
    let frame = tunnelled(&tcp(client(1), Flags::Ack)[14..], IpNumber::IPV4, |_| {});
    programs.put_decap_settings(DecapSettings { hardware_address: ROUTER, padding: 0 });
    assert_eq!(programs.decapsulate(&frame), passed("another-host", &frame));
    programs.put_decap_settings(DecapSettings { hardware_address: BALANCER, padding: 0 });
    assert_eq!(programs.decapsulate(&frame).verdict, "decapsulated");
}
