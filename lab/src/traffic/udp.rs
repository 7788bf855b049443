//! Flows of datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::load::UdpLoad;
use super::report::Tally;
use super::{Signal, Sources, in_turn, paced, within};
use crate::wire;

/// A place for one flow at a time.
pub(super) struct Flow {
    pub(super) number: u32,
    pub(super) load: Arc<UdpLoad>,
    pub(super) sources: Arc<Sources>,
    pub(super) tally: Arc<Tally>,
    pub(super) signal: Signal,
    pub(super) rng: Rng,
}

impl Flow {
    /// Begins flow after flow until the load ends.
    pub(super) async fn keep_up(mut self) {
        let Some(target) = in_turn(&self.load.targets, self.number) else { return };
        while !self.signal.is_ending() {
            let first_pause = paced(self.load.datagrams_per_second, &mut self.rng).mul_f64(self.rng.f64());
            self.signal.pass(first_pause).await;
            self.signal.unpaused().await;
            let source = self.sources.next(target);
            match open(source, target).await {
                Ok(socket) => self.converse(&socket).await,
                Err(error) => self.tally.failed_to_connect(target, &error.to_string()),
            }
        }
    }

    async fn converse(&mut self, socket: &UdpSocket) {
        self.tally.udp(|udp| udp.flows += 1);
        let end = Instant::now() + within(&self.load.lifetime, &mut self.rng);
        let mut last: Option<String> = None;
        let mut number = 0;
        while Instant::now() < end {
            self.signal.unpaused().await;
            if self.signal.is_ending() {
                return;
            }
            let next = Instant::now() + paced(self.load.datagrams_per_second, &mut self.rng);
            number += 1;
            self.tally.udp(|udp| udp.sent += 1);
            match timeout(self.load.answer_timeout, ask(socket, number)).await {
                Ok(Ok(backend)) => {
                    self.tally.datagram_answered(&backend);
                    if last.as_deref().is_some_and(|last| last != backend) {
                        self.tally.udp(|udp| udp.switches += 1);
                    }
                    last = Some(backend);
                }
                // Port or host unreachable, or silence: lost all the same.
                Ok(Err(_)) | Err(_) => self.tally.udp(|udp| udp.lost += 1),
            }
            self.signal.pass(next.saturating_duration_since(Instant::now())).await;
        }
    }
}

async fn open(source: SocketAddr, target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(source).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Sends the datagram `number` and waits for its answer, whose sender's name it returns.
async fn ask(socket: &UdpSocket, number: u64) -> io::Result<String> {
    socket.send(number.to_string().as_bytes()).await?;
    let mut answer = [0; 256];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(name) = wire::datagram_answer(&answer[..length], number) {
            return Ok(name.to_owned());
        }
    }
}
