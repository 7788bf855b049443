//! Clients outside a Cilium node: packets to its frontends, a few a second, for as long as they are wanted.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use etherparse::PacketBuilder;

use crate::cable::{Cable, NODE, OUTSIDE};

/// How long a packet follows another.
const PAUSE: Duration = Duration::from_millis(5);

/// A TCP segment of a client to a frontend, which asks for a connection or is one of it.
///
/// # Panics
///
/// When the two are not of one family.
#[must_use]
pub fn segment(client: SocketAddr, frontend: SocketAddr, opens: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(OUTSIDE, NODE);
    let ip = match (client.ip(), frontend.ip()) {
        (IpAddr::V4(client), IpAddr::V4(frontend)) => ethernet.ipv4(client.octets(), frontend.octets(), 64),
        (IpAddr::V6(client), IpAddr::V6(frontend)) => ethernet.ipv6(client.octets(), frontend.octets(), 64),
        (client, frontend) => panic!("{client} and {frontend} are of one family"),
    };
    let tcp = ip.tcp(client.port(), frontend.port(), 1, 64_000);
    let mut frame = Vec::new();
    if opens { tcp.syn() } else { tcp.ack(7) }.write(&mut frame, &[]).expect("a frame");
    frame
}

/// Clients that send by themselves; they stop when this is dropped.
pub struct Clients {
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<()>>,
}

impl Clients {
    /// Has `heavy` send half of all packets, and others, each from a port of its own, one connection after the other.
    /// All of them go to the frontends in turn.
    ///
    /// # Panics
    ///
    /// When there is no frontend.
    #[must_use]
    pub fn send(cable: Cable, frontends: Vec<SocketAddr>, heavy: SocketAddr) -> Self {
        assert!(!frontends.is_empty(), "they send to somebody");
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let sending = thread::spawn(move || {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                let frontend = frontends[number % frontends.len()];
                let other =
                    SocketAddr::from(([203, 0, 113, 9], 1024 + u16::try_from(number % 60_000).unwrap_or(0)));
                for frame in [segment(heavy, frontend, false), segment(other, frontend, true)] {
                    cable.put(&frame);
                }
                number += 1;
                thread::sleep(PAUSE);
            }
        });
        Self { stop, sending: Some(sending) }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sending) = self.sending.take() {
            // It says itself what went wrong.
            let _ = sending.join();
        }
    }
}
