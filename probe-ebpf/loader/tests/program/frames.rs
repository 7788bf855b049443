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
