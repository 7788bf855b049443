//! Packets from everywhere: what a flood sends that nobody answers.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use etherparse::PacketBuilder;
use fastrand::Rng;
use maglev_lab::Namespace;
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodKind {
    /// SYNs that no connection follows.
    Syn,
    /// Datagrams of one byte.
    Datagram,
}

/// Sends `count` packets to `target`, each of them from an address and a port of its own out of 198.18.0.0/15 (the
/// addresses for benchmarks, RFC 2544), as fast as they go.
///
/// # Panics
///
/// When they cannot be sent.
pub fn flood(namespace: &Namespace, kind: FloodKind, target: SocketAddrV4, count: u32) {
    namespace.run(|| send(kind, target, count)).expect("a thread gets in").expect("packets are sent");
}

fn send(kind: FloodKind, target: SocketAddrV4, count: u32) -> io::Result<()> {
    /// Whoever sends by it writes the IP header too.
    const IPPROTO_RAW: i32 = 255;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
    let mut rng = Rng::with_seed(u64::from(count));
    let mut packet = Vec::with_capacity(64);
    let to = socket2::SockAddr::from(SocketAddrV4::new(*target.ip(), 0));
    for _ in 0..count {
        packet.clear();
        let source = Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() | rng.u32(..1 << 17));
        let ip = PacketBuilder::ipv4(source.octets(), target.ip().octets(), 64);
        let port = rng.u16(1024..);
        let written = match kind {
            FloodKind::Syn => ip.tcp(port, target.port(), rng.u32(..), 64_240).syn().write(&mut packet, &[]),
            FloodKind::Datagram => ip.udp(port, target.port()).write(&mut packet, b"?"),
        };
        written.expect("a small packet");
        match socket.send_to(&packet, &to) {
            // The queue is full: one that is lost is as good as one that is sent.
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            sent => drop(sent?),
        }
    }
    Ok(())
}
