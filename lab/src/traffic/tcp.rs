//! Connections, one after another in a seat.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::load::TcpLoad;
use super::report::Tally;
use super::{Signal, Sources, in_turn, paced, within};
use crate::outcome::BreakCause;
use crate::wire;

/// How long a seat waits after an attempt to connect that failed.
const REST: Duration = Duration::from_millis(250);

/// A place for one connection at a time.
pub(super) struct Seat {
    pub(super) number: u32,
    pub(super) load: Arc<TcpLoad>,
    pub(super) sources: Arc<Sources>,
    pub(super) tally: Arc<Tally>,
    pub(super) signal: Signal,
    pub(super) rng: Rng,
}

impl Seat {
    /// Opens connection after connection until the load ends.
    pub(super) async fn occupy(mut self) {
        let Some(target) = in_turn(&self.load.targets, self.number) else { return };
        let delay = self.load.ramp.saturating_mul(self.number) / self.load.connections;
        self.signal.pass(delay).await;
        loop {
            self.signal.unpaused().await;
            if self.signal.is_ending() || !self.tally.may_connect(self.load.connection_limit) {
                return;
            }
            let source = self.sources.next(target);
            let connecting = timeout(self.load.connect_timeout, connect(source, target));
            let outcome = tokio::select! {
                outcome = connecting => outcome,
                () = self.signal.ending() => return,
            };
            match outcome {
                Ok(Ok((stream, local))) => self.hold(stream, local, target).await,
                Ok(Err(error)) => self.fail(target, &error.to_string()).await,
                Err(_) => self.fail(target, "nobody answered in time").await,
            }
        }
    }

    async fn fail(&mut self, target: SocketAddr, words: &str) {
        self.tally.failed_to_connect(target, words);
        self.signal.pass(REST).await;
    }

    /// Keeps a connection for its lifetime and notes what came of it.
    async fn hold(&mut self, stream: TcpStream, source: SocketAddr, target: SocketAddr) {
        self.tally.opened();
        let mut session = Session {
            stream: BufReader::with_capacity(512, stream),
            line: String::new(),
            backend: None,
            answered: 0,
        };
        match self.converse(&mut session).await {
            Ok(backend) => self.tally.completed(&backend),
            Err(cause) => {
                self.tally.broken((source, target), session.backend.as_deref(), session.answered, cause);
            }
        }
    }

    async fn converse(&mut self, session: &mut Session) -> Result<Arc<str>, BreakCause> {
        let end = Instant::now() + within(&self.load.lifetime, &mut self.rng);
        let backend = self.answer_in_time(session.greeting()).await?;
        session.backend = Some(Arc::clone(&backend));
        self.tally.greeted(&backend);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let pause = paced(self.load.requests_per_second, &mut self.rng);
            self.signal.pass(pause.min(left)).await;
            if self.signal.is_paused() {
                self.signal.unpaused().await;
            }
            // The last request comes at the very end, so that no break goes unseen.
            self.answer_in_time(session.request(&backend, self.load.padding)).await?;
            session.answered += 1;
            self.tally.answered(&backend);
            if Instant::now() >= end || self.signal.is_ending() {
                break;
            }
        }
        self.answer_in_time(session.close()).await?;
        Ok(backend)
    }

    async fn answer_in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, BreakCause>>,
    ) -> Result<T, BreakCause> {
        timeout(self.load.answer_timeout, answer).await.unwrap_or(Err(BreakCause::TimedOut))
    }
}

async fn connect(source: SocketAddr, target: SocketAddr) -> std::io::Result<(TcpStream, SocketAddr)> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(source)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok((stream, local))
}

/// One connection's conversation.
struct Session {
    stream: BufReader<TcpStream>,
    line: String,
    backend: Option<Arc<str>>,
    answered: u64,
}

impl Session {
    async fn greeting(&mut self) -> Result<Arc<str>, BreakCause> {
        self.read_line().await?;
        wire::greeted(&self.line).map(Arc::from)
    }

    async fn request(&mut self, backend: &str, padding: usize) -> Result<(), BreakCause> {
        let number = self.answered + 1;
        self.stream.write_all(wire::request(number, padding).as_bytes()).await?;
        self.read_line().await?;
        wire::check_answer(&self.line, backend, number)
    }

    /// Closes this side and waits for the other, which a packet gone astray would keep from doing so.
    async fn close(&mut self) -> Result<(), BreakCause> {
        self.stream.shutdown().await?;
        self.read_line().await?;
        if self.line.is_empty() { Ok(()) } else { Err(BreakCause::Garbled { line: self.line.clone() }) }
    }

    async fn read_line(&mut self) -> Result<(), BreakCause> {
        self.line.clear();
        self.stream.read_line(&mut self.line).await?;
        Ok(())
    }
}
