//! Frames, built by a library that knows nothing of the programs.

use std::net::SocketAddrV4;

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, PacketBuilder, TcpHeader,
};

use crate::support::{BALANCER, ROUTER, SERVICE};

/// A client; each number is another one.
pub(crate) fn client(number: u16) -> SocketAddrV4 {
    let [high, low] = number.to_be_bytes();
    SocketAddrV4::new([198, 51, high, low].into(), 1024 + number)
}

/// The flags of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flags {
    Syn,
    SynAck,
    Ack,
    Rst,
}

/// A segment from a client to the service.
pub(crate) fn tcp(client: SocketAddrV4, flags: Flags) -> Vec<u8> {
    tcp_to(client, SERVICE, flags, |_| {})
}

/// A segment to any address, its IP header changed.
pub(crate) fn tcp_to(
    client: SocketAddrV4,
    service: SocketAddrV4,
    flags: Flags,
    change: impl FnOnce(&mut Ipv4Header),
) -> Vec<u8> {
    let mut header = TcpHeader::new(client.port(), service.port(), 1000, 64000);
    match flags {
        Flags::Syn => header.syn = true,
        Flags::SynAck => (header.syn, header.ack) = (true, true),
        Flags::Ack => header.ack = true,
        Flags::Rst => header.rst = true,
    }
    let payload = b"payload of a segment";
    let builder = PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ip(IpHeaders::Ipv4(ipv4(client, service, change), Ipv4Extensions::default()))
        .tcp_header(header);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A datagram from a client to the service.
pub(crate) fn udp(client: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    udp_to(client, SERVICE, payload, |_| {})
}

/// A datagram to any address, its IP header changed.
pub(crate) fn udp_to(
    client: SocketAddrV4,
    service: SocketAddrV4,
    payload: &[u8],
    change: impl FnOnce(&mut Ipv4Header),
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(ROUTER, BALANCER)
        .ip(IpHeaders::Ipv4(ipv4(client, service, change), Ipv4Extensions::default()))
        .udp(client.port(), service.port());
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn ipv4(client: SocketAddrV4, service: SocketAddrV4, change: impl FnOnce(&mut Ipv4Header)) -> Ipv4Header {
    let mut header =
        Ipv4Header::new(0, 57, IpNumber::TCP, client.ip().octets(), service.ip().octets()).unwrap();
    change(&mut header);
    header
}

/// The packet as a router sends it on: its time to live is one less, and an IPv4 checksum accounts for that (RFC 1624).
pub(crate) fn routed(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 6 {
        packet[7] -= 1;
        return packet;
    }
    let half = |packet: &[u8], place| u16::from_be_bytes([packet[place], packet[place + 1]]);
    let before = half(&packet, 8);
    packet[8] -= 1;
    let sum = u32::from(!half(&packet, 10)) + u32::from(!before) + u32::from(half(&packet, 8));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    packet
}

/// The frame with VLAN tags: the type that announces each, and what it says.
pub(crate) fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()].concat());
    [&frame[..12], &tags.collect::<Vec<u8>>(), &frame[12..]].concat()
}

/// A packet cut into fragments, the first ones of so many bytes, as frames.
pub(crate) fn fragments(frame: &[u8], identification: u16, lengths: &[usize]) -> Vec<Vec<u8>> {
    let (header, _) = Ipv4Header::from_slice(&frame[14..]).unwrap();
    let payload = &frame[14 + header.header_len()..];
    let mut begins = 0;
    let mut fragments = Vec::new();
    for length in lengths.iter().copied().chain([payload.len() - lengths.iter().sum::<usize>()]) {
        let mut header = header.clone();
        header.identification = identification;
        header.dont_fragment = false;
        header.more_fragments = begins + length < payload.len();
        header.fragment_offset = offset(u16::try_from(begins / 8).unwrap());
        header.set_payload_len(length).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let mut fragment = frame[..14].to_vec();
        header.write(&mut fragment).unwrap();
        fragment.extend(&payload[begins..begins + length]);
        fragments.push(fragment);
        begins += length;
    }
    fragments
}

/// A datagram inside an outer header.
pub(crate) fn tunnelled(inner: &[u8], protocol: IpNumber, change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let length = u16::try_from(inner.len()).unwrap();
    let mut outer = Ipv4Header::new(length, 64, protocol, [10, 0, 0, 100], [10, 0, 0, 1]).unwrap();
    change(&mut outer);
    outer.set_payload_len(inner.len()).unwrap();
    outer.header_checksum = outer.calc_header_checksum();
    let mut frame = [&BALANCER[..], &ROUTER, &[8, 0]].concat();
    outer.write(&mut frame).unwrap();
    frame.extend(inner);
    frame
}

/// Options, of four bytes each: no operation.
pub(crate) fn options(count: usize) -> Ipv4Options {
    Ipv4Options::try_from(vec![1; count * 4].as_slice()).unwrap()
}

/// A place in a packet that is cut into pieces, in units of eight bytes.
pub(crate) fn offset(units: u16) -> IpFragOffset {
    IpFragOffset::try_new(units).unwrap()
}
