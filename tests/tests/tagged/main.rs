//! Frames with VLAN tags on a wire: what comes in at an interface, and what it sends, byte for byte and checksum for
//! checksum by an independent parser.

mod frames;
mod seen;
mod site;

use std::net::{IpAddr, SocketAddr};

use frames::{ROUTER, TAGS, Way, tagged};
use maglev_tests::{SERVICE, SERVICE_V6};
use seen::{Packet, Seen, routed};
use site::{GATEWAY, Site, TUNNEL_SOURCES};

/// The largest packet that the wire takes, in bytes; in a tunnel it is too large.
const LARGEST: usize = 1500;

impl Site {
    fn way(&self, client: IpAddr, service: IpAddr, port: u16) -> Way {
        Way {
            here: self.wire.interface().mac().octets(),
            client: SocketAddr::new(client, 40_000 + port),
            service: SocketAddr::new(service, port),
        }
    }

    /// Sends a frame with those tags, and makes sure that it leaves in a tunnel, as it came.
    #[track_caller]
    fn assert_tunnelled(&self, plain: &[u8], tags: &[(u16, u16)], backend: IpAddr) {
        let (verdict, [left, _]) = self.balance(&tagged(plain, tags));
        assert_eq!(verdict, "transmitted");
        let left = left.expect("it leaves by the wire");
        let seen = Seen::of(&left);
        assert_eq!((seen.to, seen.from), (GATEWAY, self.wire.interface().mac().octets()));
        assert_eq!(seen.tags, tags);
        let outer = Packet::of(seen.packet);
        let source = TUNNEL_SOURCES[usize::from(backend.is_ipv6())];
        assert_eq!((outer.from, outer.to), (source.parse().unwrap(), backend));
        assert_eq!(outer.time_to_live, 64);
        assert!(outer.is_tunnel, "{outer:?}");
        assert_eq!(outer.payload, routed(&plain[14..]), "what is inside is as it was, a router further");
    }

    /// Sends a frame with those tags, and gives the packet that it is answered with.
    #[track_caller]
    fn assert_answered(
        &self,
        way: Way,
        plain: &[u8],
        tags: &[(u16, u16)],
        verdict: &str,
        check: impl FnOnce(&Packet<'_>),
    ) {
        let (found, [left, _]) = self.balance(&tagged(plain, tags));
        assert_eq!(found, verdict);
        let left = left.expect("it is answered by the wire");
        let seen = Seen::of(&left);
        assert_eq!((seen.to, seen.from), (ROUTER, way.here));
        assert_eq!(seen.tags, tags);
        let answer = Packet::of(seen.packet);
        assert_eq!((answer.from, answer.to), (way.service.ip(), way.client.ip()));
        check(&answer);
    }

    #[track_caller]
    fn assert_not_sent(&self, frame: &[u8], verdict: &str) {
        let (found, left) = self.balance(frame);
        assert_eq!((found, left), (verdict, [None, None]));
    }
}

/// Does everything below at a site, with each of the tags.
fn everything(attach_mode: &str, client: &str, service: IpAddr) {
    let Some(site) = Site::start(service, attach_mode) else { return };
    let client: IpAddr = client.parse().unwrap();
    for tags in TAGS {
        let way = |port| site.way(client, service, port);
        a_packet_leaves_in_a_tunnel_with_its_tags(&site, &way, tags);
        a_packet_for_the_segment_gets_another_hardware_address_and_no_more(&site, &way, tags);
        a_packet_with_tags_does_not_leave_by_another_interface(&site, &way, tags);
        what_is_answered_is_answered_with_the_tags_that_it_came_with(&site, &way, tags);
        what_is_not_for_a_service_does_not_leave(&site, &way, tags);
        a_third_tag_is_not_looked_behind(&site, &way, tags);
    }
}

#[test]
fn ipv4_on_the_wire_in_native_mode() {
    everything("native", "198.51.100.7", SERVICE);
}

#[test]
fn ipv4_on_the_wire_in_generic_mode() {
    everything("generic", "198.51.100.7", SERVICE);
}

#[test]
fn ipv6_on_the_wire_in_native_mode() {
    everything("native", "2001:db8:7::7", SERVICE_V6);
}

#[test]
fn ipv6_on_the_wire_in_generic_mode() {
    everything("generic", "2001:db8:7::7", SERVICE_V6);
}

fn a_packet_leaves_in_a_tunnel_with_its_tags(site: &Site, way: &dyn Fn(u16) -> Way, tags: &[(u16, u16)]) {
    for (service, port) in [("tunnel", 80), ("tunnel-six", 81)] {
        let way = way(port);
        let (backend, _) = site.backend(service, way.client);
        site.assert_tunnelled(&way.tcp(true, &[]), tags, backend);
        for length in [0, 1, 2, 999, 1000] {
            site.assert_tunnelled(&way.tcp(false, &vec![0x5a; length]), tags, backend);
            site.assert_tunnelled(
                &way.tcp_behind_options(length % 2 == 0, &vec![0x5a; length]),
                tags,
                backend,
            );
        }
        site.assert_tunnelled(&way.too_big(), tags, backend);
    }
    let way = way(53);
    let (backend, _) = site.backend("datagrams", way.client);
    for length in [0, 1, 64, 1200] {
        site.assert_tunnelled(&way.udp(57, &vec![0xa5; length]), tags, backend);
    }
    for fragment in way.fragments() {
        site.assert_tunnelled(&fragment, tags, backend);
    }
}

fn a_packet_for_the_segment_gets_another_hardware_address_and_no_more(
    site: &Site,
    way: &dyn Fn(u16) -> Way,
    tags: &[(u16, u16)],
) {
    let way = way(82);
    let (_, to) = site.backend("segment", way.client);
    let behind_options = way.tcp_behind_options(false, b"data");
    for plain in [way.tcp(true, &[]), way.tcp(false, b"data"), way.too_big(), behind_options] {
        let (verdict, [left, _]) = site.balance(&tagged(&plain, tags));
        assert_eq!(verdict, "transmitted");
        let left = left.expect("it leaves by the wire");
        let seen = Seen::of(&left);
        assert_eq!((seen.to, seen.from), (to, way.here));
        assert_eq!(seen.tags, tags);
        Packet::of(seen.packet);
        assert_eq!(seen.packet, routed(&plain[14..]));
    }
}

fn a_packet_with_tags_does_not_leave_by_another_interface(
    site: &Site,
    way: &dyn Fn(u16) -> Way,
    tags: &[(u16, u16)],
) {
    let way = way(83);
    if way.service.is_ipv6() {
        return;
    }
    let plain = way.tcp(true, b"data");
    if !tags.is_empty() {
        return site.assert_not_sent(&tagged(&plain, tags), "tagged-elsewhere");
    }
    let (verdict, [none, left]) = site.balance(&plain);
    assert_eq!((verdict, none), ("redirected", None));
    let left = left.expect("it leaves by the other wire");
    let seen = Seen::of(&left);
    let (_, to) = site.backend("elsewhere", way.client);
    assert_eq!((seen.to, seen.from), (to, site.other.interface().mac().octets()));
    assert_eq!(seen.packet, routed(&plain[14..]));
}

fn what_is_answered_is_answered_with_the_tags_that_it_came_with(
    site: &Site,
    way: &dyn Fn(u16) -> Way,
    tags: &[(u16, u16)],
) {
    let is_ipv4 = way(53).client.is_ipv4();
    let kind = |v4: (u8, u8), v6: (u8, u8)| Some(if is_ipv4 { v4 } else { v6 });
    let quotes = |answer: &Packet<'_>, plain: &[u8]| {
        assert!(answer.payload.len() >= 8 && plain[14..].starts_with(answer.payload), "{answer:02x?}");
    };
    for length in [0, 1, 1000] {
        let plain = way(53).echo(&vec![0x5a; length]);
        site.assert_answered(way(53), &plain, tags, "echo-answered", |answer| {
            assert_eq!(answer.icmp, kind((0, 0), (129, 0)));
            assert_eq!((answer.time_to_live, answer.payload), (64, &vec![0x5a; length][..]));
        });
    }
    let plain = way(53).udp(1, &[0x5a; 100]);
    site.assert_answered(way(53), &plain, tags, "time-exceeded-answered", |answer| {
        assert_eq!(answer.icmp, kind((11, 0), (3, 0)));
        quotes(answer, &plain);
    });
    let headers = if is_ipv4 { 40 } else { 60 };
    let plain = way(80).tcp(false, &vec![0x5a; LARGEST - headers]);
    site.assert_answered(way(80), &plain, tags, "too-big-answered", |answer| {
        assert_eq!(answer.icmp, kind((3, 4), (2, 0)));
        quotes(answer, &plain);
    });
}

fn what_is_not_for_a_service_does_not_leave(site: &Site, way: &dyn Fn(u16) -> Way, tags: &[(u16, u16)]) {
    site.assert_not_sent(&tagged(&way(84).tcp(true, &[]), tags), "observed");
    site.assert_not_sent(&tagged(&way(53).not_ip(), tags), "not-ip");
    let foreign = Way { service: SocketAddr::new(way(80).service.ip(), 9), ..way(80) };
    site.assert_not_sent(&tagged(&foreign.too_big(), tags), "foreign-quote");
    if !tags.is_empty() {
        // Untagged, the host itself would answer it.
        site.assert_not_sent(&tagged(&foreign.tcp(true, &[]), tags), "not-a-service");
    }
}

fn a_third_tag_is_not_looked_behind(site: &Site, way: &dyn Fn(u16) -> Way, tags: &[(u16, u16)]) {
    let mut three = tags.to_vec();
    three.resize(3, (0x8100, 3));
    site.assert_not_sent(&tagged(&way(80).tcp(true, &[]), &three), "not-ip");
}
