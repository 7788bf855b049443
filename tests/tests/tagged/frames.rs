//! Frames of clients and routers, built by a library that knows nothing of the programs.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder, PacketBuilderStep, UdpHeader,
};

/// The hardware address that all frames come from.
pub(crate) const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// The tags that a frame is sent with: the type that announces each, and what it says.
pub(crate) const TAGS: [&[(u16, u16)]; 5] = [
    &[],
    &[(0x8100, 0x2005)],
    &[(0x88a8, 0x1fff)],
    &[(0x88a8, 100), (0x8100, 0xe001)],
    &[(0x8100, 100), (0x8100, 200)],
];

/// Who sends packets, to whom, and where they come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The hardware address of the interface that they come in at.
    pub(crate) here: [u8; 6],
    pub(crate) client: SocketAddr,
    pub(crate) service: SocketAddr,
}

impl Way {
    fn headers(&self, time_to_live: u8) -> IpHeaders {
        headers(self.client.ip(), self.service.ip(), time_to_live)
    }

    fn builder(&self, headers: IpHeaders) -> PacketBuilderStep<IpHeaders> {
        PacketBuilder::ethernet2(ROUTER, self.here).ip(headers)
    }

    /// A segment, with SYN or with ACK.
    pub(crate) fn tcp(&self, opens: bool, payload: &[u8]) -> Vec<u8> {
        self.tcp_behind(self.headers(57), opens, payload)
    }

    /// The same behind an IP header with options, or with all extension headers that are followed.
    pub(crate) fn tcp_behind_options(&self, opens: bool, payload: &[u8]) -> Vec<u8> {
        let headers = match self.headers(57) {
            IpHeaders::Ipv4(mut header, extensions) => {
                // A router alert (RFC 2113), and room to record one router (RFC 791).
                header.options = [0x94, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0].into();
                IpHeaders::Ipv4(header, extensions)
            }
            IpHeaders::Ipv6(header, _) => {
                // A router alert (RFC 2711) and padding, and an extension of two units: padding alone.
                let short = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[5, 2, 0, 0, 1, 0]).unwrap();
                let long = [&[1, 12][..], &[0; 12]].concat();
                let long = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &long).unwrap();
                // A routing header that has been gone through (RFC 6275).
                let routing = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[2, 0, 0, 0, 0, 0]).unwrap();
                let extensions = Ipv6Extensions {
                    hop_by_hop_options: Some(short),
                    destination_options: Some(long.clone()),
                    routing: Some(Ipv6RoutingExtensions { routing, final_destination_options: Some(long) }),
                    ..Ipv6Extensions::default()
                };
                IpHeaders::Ipv6(header, extensions)
            }
        };
        self.tcp_behind(headers, opens, payload)
    }

    fn tcp_behind(&self, headers: IpHeaders, opens: bool, payload: &[u8]) -> Vec<u8> {
        let tcp = self.builder(headers).tcp(self.client.port(), self.service.port(), 0x0102_0304, 65_000);
        let tcp = if opens { tcp.syn() } else { tcp.ack(77).psh() };
        let mut frame = Vec::new();
        tcp.write(&mut frame, payload).unwrap();
        frame
    }

    /// A datagram.
    pub(crate) fn udp(&self, time_to_live: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = self.builder(self.headers(time_to_live));
        builder.udp(self.client.port(), self.service.port()).write(&mut frame, payload).unwrap();
        frame
    }

    /// A datagram in three fragments.
    pub(crate) fn fragments(&self) -> Vec<Vec<u8>> {
        const PIECE: usize = 1000;
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(2500).collect();
        let (from, to) = (self.client.port(), self.service.port());
        let mut datagram = Vec::new();
        let header = match self.headers(57) {
            IpHeaders::Ipv4(header, _) => UdpHeader::with_ipv4_checksum(from, to, &header, &payload),
            IpHeaders::Ipv6(header, _) => UdpHeader::with_ipv6_checksum(from, to, &header, &payload),
        };
        header.unwrap().write(&mut datagram).unwrap();
        datagram.extend(&payload);
        let count = datagram.chunks(PIECE).count();
        let frame = |(place, piece): (usize, &[u8])| {
            let offset = u16::try_from(place * PIECE / 8).unwrap().try_into().unwrap();
            let more = place + 1 < count;
            let headers = match self.headers(57) {
                IpHeaders::Ipv4(mut header, extensions) => {
                    header.identification = 4711;
                    header.dont_fragment = false;
                    header.more_fragments = more;
                    header.fragment_offset = offset;
                    IpHeaders::Ipv4(header, extensions)
                }
                IpHeaders::Ipv6(header, extensions) => {
                    let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, 4711);
                    IpHeaders::Ipv6(header, Ipv6Extensions { fragment: Some(fragment), ..extensions })
                }
            };
            let mut frame = Vec::new();
            self.builder(headers).write(&mut frame, IpNumber::UDP, piece).unwrap();
            frame
        };
        datagram.chunks(PIECE).enumerate().map(frame).collect()
    }

    /// An ICMP message, of that type and code in IPv4 or IPv6.
    fn icmp(&self, headers: IpHeaders, kinds: [(u8, u8); 2], word: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let is_ipv4 = self.client.is_ipv4();
        let builder = self.builder(headers);
        if is_ipv4 {
            builder.icmpv4_raw(kinds[0].0, kinds[0].1, word).write(&mut frame, payload).unwrap();
        } else {
            builder.icmpv6_raw(kinds[1].0, kinds[1].1, word).write(&mut frame, payload).unwrap();
        }
        frame
    }

    /// An echo request.
    pub(crate) fn echo(&self, payload: &[u8]) -> Vec<u8> {
        self.icmp(self.headers(57), [(8, 0), (128, 0)], [0x12, 0x34, 0, 9], payload)
    }

    /// What a router says of a packet from the service to the client that was too big.
    pub(crate) fn too_big(&self) -> Vec<u8> {
        let router =
            if self.client.is_ipv4() { [203, 0, 113, 1].into() } else { "2001:db8:f::1".parse().unwrap() };
        let mut quote = Vec::new();
        let answered = PacketBuilder::ip(headers(self.service.ip(), self.client.ip(), 60));
        let answer = answered.tcp(self.service.port(), self.client.port(), 9, 65_000).ack(1);
        answer.write(&mut quote, &[0xaa; 400]).unwrap();
        quote.truncate(if self.client.is_ipv4() { 28 } else { 48 });
        let headers = headers(router, self.service.ip(), 57);
        self.icmp(headers, [(3, 4), (2, 0)], [0, 0, 5, 0x14], &quote)
    }

    /// A question for a hardware address: nothing that is balanced.
    pub(crate) fn not_ip(&self) -> Vec<u8> {
        [&self.here[..], &ROUTER, &EtherType::ARP.0.to_be_bytes(), &[0; 28]].concat()
    }
}

fn headers(from: IpAddr, to: IpAddr, time_to_live: u8) -> IpHeaders {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // The rest is filled in with the payload.
            let header = Ipv4Header::new(0, time_to_live, IpNumber::UDP, from.octets(), to.octets()).unwrap();
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (source, destination) = (from.octets(), to.octets());
            let header = Ipv6Header { hop_limit: time_to_live, source, destination, ..Ipv6Header::default() };
            IpHeaders::Ipv6(header, Ipv6Extensions::default())
        }
        _ => panic!("{from} and {to} are of one family"),
    }
}

/// The frame with VLAN tags.
pub(crate) fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()].concat());
    [&frame[..12], &tags.collect::<Vec<u8>>(), &frame[12..]].concat()
}
