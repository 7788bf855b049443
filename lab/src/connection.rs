//! Single flows under the caller's control, blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LabError;
use crate::namespace::Namespace;
use crate::outcome::BreakCause;
use crate::wire;

/// How long anything may take unless said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The local side could not even try.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// It was refused, or nobody answered: it never was a connection.
    #[error("cannot connect {from} to {to}")]
    Connect {
        /// The source asked for.
        from: SocketAddr,
        /// The target.
        to: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// It broke before the server had greeted.
    #[error("connected, then {0}")]
    Broken(#[source] BreakCause),
}

/// A TCP connection to a [`Server`](crate::Server) that stays open until it is closed or dropped, and is
/// silent between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    local: SocketAddr,
    backend: String,
    number: u64,
    patience: Duration,
}

impl Connection {
    /// Connects from `source` in `namespace` (port 0: the kernel chooses one) and reads the greeting.
    pub fn open(namespace: &Namespace, source: SocketAddr, target: SocketAddr) -> Result<Self, OpenError> {
        Self::open_within(PATIENCE, namespace, source, target)
    }

    /// The same, with another time limit for connecting, for the greeting and for each answer.
    pub fn open_within(
        patience: Duration,
        namespace: &Namespace,
        source: SocketAddr,
        target: SocketAddr,
    ) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Connect { from: source, to: target, source: error };
        let socket = namespace.run(|| bound(source, Type::STREAM, Protocol::TCP))?.map_err(failed)?;
        socket.connect_timeout(&target.into(), patience).map_err(failed)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(patience)).map_err(failed)?;
        let local = stream.local_addr().map_err(failed)?;
        let mut connection = Self {
            stream: BufReader::with_capacity(512, stream),
            local,
            backend: String::new(),
            number: 0,
            patience,
        };
        let greeting = connection.line().map_err(OpenError::Broken)?;
        wire::greeted(&greeting).map_err(OpenError::Broken)?.clone_into(&mut connection.backend);
        Ok(connection)
    }

    /// The backend that greeted.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The address and port on this side.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a request and waits for the answer, which must be from the backend that greeted.
    pub fn request(&mut self) -> Result<(), BreakCause> {
        self.padded_request(0)
    }

    /// The same with a request longer by `padding` bytes (at most 32 KiB), to fill packets.
    pub fn padded_request(&mut self, padding: usize) -> Result<(), BreakCause> {
        self.number += 1;
        self.stream.get_mut().write_all(wire::request(self.number, padding).as_bytes())?;
        let line = self.line()?;
        wire::check_answer(&line, &self.backend, self.number)
    }

    /// Closes it in good order: waits for the server to have closed its side too.
    pub fn close(mut self) -> Result<(), BreakCause> {
        self.stream.get_mut().shutdown(Shutdown::Write)?;
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest)?;
        if rest.is_empty() { Ok(()) } else { Err(BreakCause::Garbled { line: rest }) }
    }

    fn line(&mut self) -> Result<String, BreakCause> {
        let deadline = Instant::now() + self.patience;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if Instant::now() > deadline { Err(BreakCause::TimedOut) } else { Ok(line) }
    }
}

/// A UDP flow to a [`Server`](crate::Server): datagrams from one port to one target.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    number: u64,
}

impl Datagrams {
    /// A flow from `source` in `namespace` (port 0: the kernel chooses one). Nothing is sent yet.
    pub fn open(namespace: &Namespace, source: SocketAddr, target: SocketAddr) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Connect { from: source, to: target, source: error };
        let socket = namespace.run(|| bound(source, Type::DGRAM, Protocol::UDP))?.map_err(failed)?;
        socket.connect(&target.into()).map_err(failed)?;
        Ok(Self { socket: socket.into(), number: 0 })
    }

    /// The address and port on this side.
    pub fn local(&self) -> Result<SocketAddr, LabError> {
        self.socket.local_addr().map_err(|error| LabError::new("ask for a socket's address", error))
    }

    /// Sends a datagram and waits at most `patience` for the name of the backend that answers it; none if
    /// nobody does.
    pub fn ask(&mut self, patience: Duration) -> Option<String> {
        self.number += 1;
        // A port unreachable that an earlier datagram met is reported by this call, and clears.
        if self.socket.send(self.number.to_string().as_bytes()).is_err() {
            self.socket.send(self.number.to_string().as_bytes()).ok()?;
        }
        let deadline = Instant::now() + patience;
        let mut answer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).ok()?;
            let length = self.socket.recv(&mut answer).ok()?;
            if let Some(name) = wire::datagram_answer(&answer[..length], self.number) {
                return Some(name.to_owned());
            }
        }
    }
}

fn bound(source: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(source), kind, Some(protocol))?;
    // A port of the caller's choice may still be in TIME-WAIT from the last connection.
    socket.set_reuse_address(source.port() != 0)?;
    socket.bind(&source.into())?;
    Ok(socket)
}
