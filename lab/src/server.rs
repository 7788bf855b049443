//! Servers that say who they are.

use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::LabError;
use crate::namespace::Namespace;
use crate::wire;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long a listener rests when the process has no descriptor left.
const REST: Duration = Duration::from_millis(50);

/// A TCP and UDP server in a namespace. It greets every connection with its name and names itself in
/// every answer, so that a client can tell who serves it.
#[derive(Debug)]
pub struct Server {
    name: String,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// As long as that nobody's connection is silent.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

#[derive(Debug, Default)]
struct State {
    accepted: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    datagrams: AtomicU64,
    /// In milliseconds; 0 for no limit.
    idle_limit: AtomicU64,
}

impl State {
    fn idle_limit(&self) -> Duration {
        match self.idle_limit.load(Ordering::Relaxed) {
            0 => FOR_EVER,
            limit => Duration::from_millis(limit),
        }
    }
}

impl Server {
    /// Listens at these addresses, which must be the namespace's (or unspecified, for TCP).
    pub fn start(
        namespace: &Namespace,
        name: &str,
        tcp: &[SocketAddr],
        udp: &[SocketAddr],
    ) -> Result<Self, LabError> {
        let (listeners, sockets) = namespace.run(|| {
            let listeners = tcp.iter().map(|address| listen(*address)).collect::<Result<Vec<_>, _>>()?;
            let sockets = udp.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, LabError>((listeners, sockets))
        })??;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| LabError::new(format!("run the server {name}"), error))?;
        let state = Arc::new(State::default());
        let serving = Serving { name: name.into(), state: Arc::clone(&state) };
        let (stop, stopped) = oneshot::channel();
        let thread = namespace.spawn(&format!("lab-{name}-serve"), move || {
            serving.run(&runtime, listeners, sockets, stopped);
        })?;
        Ok(Self { name: name.to_owned(), state, stop: Some(stop), thread: Some(thread) })
    }

    /// The name that it gives.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Requests received so far, over TCP.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Datagrams received so far, over UDP.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        self.state.datagrams.load(Ordering::Relaxed)
    }

    /// From now on drops connections on which nothing comes for that long. Who loses a connection to another backend
    /// cannot close it here, and where many do, descriptors run out.
    pub fn limit_idleness(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.state.idle_limit.store(limit, Ordering::Relaxed);
    }

    /// Stops listening and drops every connection, as a process that ends does. So does dropping it.
    pub fn stop(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; a destructor has no better use for it.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Serving {
    name: Arc<str>,
    state: Arc<State>,
}

impl Serving {
    fn run(
        &self,
        runtime: &Runtime,
        listeners: Vec<net::TcpListener>,
        sockets: Vec<net::UdpSocket>,
        stopped: oneshot::Receiver<()>,
    ) {
        runtime.block_on(async {
            for listener in listeners {
                tokio::spawn(self.clone().accept(listener));
            }
            for socket in sockets {
                tokio::spawn(self.clone().answer_datagrams(socket));
            }
            // Sent or dropped: the server is to end.
            let _ = stopped.await;
        });
    }

    async fn accept(self, listener: net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.state.accepted.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(self.clone().serve(stream));
                }
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        let _open = Open::count(&self.state);
        stream.set_nodelay(true)?;
        let mut stream = BufReader::with_capacity(512, stream);
        stream.write_all(format!("{}\n", self.name).as_bytes()).await?;
        let mut line = String::new();
        while let Ok(read) = timeout(self.state.idle_limit(), stream.read_line(&mut line)).await {
            if read? == 0 {
                break;
            }
            // Counted first, so that whoever has the answer finds it counted.
            self.state.requests.fetch_add(1, Ordering::Relaxed);
            stream.write_all(wire::answer(&self.name, &line).as_bytes()).await?;
            line.clear();
        }
        Ok(())
    }

    async fn answer_datagrams(self, socket: net::UdpSocket) -> io::Result<()> {
        let socket = UdpSocket::from_std(socket)?;
        let mut datagram = vec![0; 64 * 1024];
        loop {
            // Errors here tell of earlier datagrams' ICMP answers: a server goes on.
            let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
            let answer = [self.name.as_bytes(), b" ", &datagram[..length]].concat();
            self.state.datagrams.fetch_add(1, Ordering::Relaxed);
            // Where it cannot be sent it is lost, as on any other way.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn count(state: &'a State) -> Self {
        state.open.fetch_add(1, Ordering::Relaxed);
        Self(&state.open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn listen(address: SocketAddr) -> Result<net::TcpListener, LabError> {
    let make = || {
        let socket = made(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    make().map_err(|error: io::Error| LabError::new(format!("listen at {address}/tcp"), error))
}

fn bind(address: SocketAddr) -> Result<net::UdpSocket, LabError> {
    let make = || {
        let socket = made(address, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    make().map_err(|error: io::Error| LabError::new(format!("listen at {address}/udp"), error))
}

fn made(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
