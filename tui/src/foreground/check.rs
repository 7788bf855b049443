//! One check of one backend.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use maglev_core::health::{CheckKind, HealthCheck, HttpCheck};
use maglev_probe::{Connections, TunnelTerms};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::failure;

/// A status line and what comes before the headers' end of it; who sends more before a status is no HTTP server.
const LONGEST_HEAD: usize = 8 * 1024;

/// The way that packets of clients take to backends, for checks that are to take it.
#[derive(Clone)]
pub(super) struct Tunnel {
    pub(super) terms: TunnelTerms,
    pub(super) connections: Arc<Connections>,
}

impl PartialEq for Tunnel {
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms && Arc::ptr_eq(&self.connections, &other.connections)
    }
}

/// Checks the backend at `address`: what it met with, in words, where the check failed.
pub(super) async fn check(
    check: &HealthCheck,
    address: SocketAddr,
    tunnel: Option<&Tunnel>,
) -> Result<(), String> {
    let found = timeout(check.timeout, async {
        match tunnel {
            None => direct(check, address).await,
            Some(tunnel) => through(tunnel, check, address).await,
        }
    });
    let met = found.await.unwrap_or_else(|_| Err(no_answer(check.timeout)));
    met.map_err(|why| match tunnel {
        None => format!("{why} ({})", port_of(check, address)),
        Some(Tunnel { terms, .. }) => {
            format!("{why} ({} through the tunnel to {})", port_of(check, terms.service()), address.ip())
        }
    })
}

/// The address with the port that is checked.
fn port_of(check: &HealthCheck, address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()))
}

async fn direct(check: &HealthCheck, address: SocketAddr) -> Result<(), String> {
    let address = port_of(check, address);
    let stream = TcpStream::connect(address).await.map_err(|error| in_words(&error))?;
    talk(stream, check, address).await
}

/// The service's address is asked for by a connection to the backend's, which is led through the tunnel.
async fn through(tunnel: &Tunnel, check: &HealthCheck, address: SocketAddr) -> Result<(), String> {
    let Tunnel { terms, connections } = tunnel;
    let service = port_of(check, terms.service());
    let target = SocketAddr::new(address.ip(), service.port());
    let socket = bound_towards(target).map_err(|error| in_words(&error))?;
    let own = socket.local_addr().map_err(|error| in_words(&error))?;
    // The socket is dropped first: all of its packets are led.
    let admission = connections.admit(terms, own, target).map_err(|error| failure::in_words(&error))?;
    let stream = socket.connect(target).await.map_err(|error| in_words(&error))?;
    if !admission.is_carried().map_err(|error| failure::in_words(&error))? {
        return Err("it did not get into the tunnel: the way to the backend leads out of an interface that carries none, or has just changed".to_owned());
    }
    talk(stream, check, service).await
}

/// A socket with an address and port that no other one has, for a connection to `target`.
fn bound_towards(target: SocketAddr) -> io::Result<TcpSocket> {
    let (anywhere, socket): (IpAddr, _) = if target.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED.into(), TcpSocket::new_v4()?)
    } else {
        (Ipv6Addr::UNSPECIFIED.into(), TcpSocket::new_v6()?)
    };
    // A connected UDP socket has sent nothing, and knows the address that it would send from.
    let asked = UdpSocket::bind((anywhere, 0))?;
    asked.connect(target)?;
    socket.bind(SocketAddr::new(asked.local_addr()?.ip(), 0))?;
    // It ends with a reset: a connection that lingers would send packets when it is led no more, and keep its port, of
    // which a service has but one for each connection under way, whatever the backend.
    socket.set_zero_linger()?;
    Ok(socket)
}

/// What is checked of a backend that has accepted a connection; it is asked as `address`.
async fn talk(stream: TcpStream, check: &HealthCheck, address: SocketAddr) -> Result<(), String> {
    match &check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http(http) => ask(stream, address, http).await,
    }
}

fn in_words(error: &io::Error) -> String {
    error.kind().to_string()
}

fn no_answer(timeout: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(timeout))
}

/// Asks over HTTP/1.1 (RFC 9112), and looks at the status.
async fn ask(mut stream: TcpStream, address: SocketAddr, http: &HttpCheck) -> Result<(), String> {
    let host = http.host.clone().unwrap_or_else(|| address.to_string());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: maglev-top\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        http.path
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| in_words(&error))?;
    let mut head = Vec::with_capacity(512);
    loop {
        if let Some(status) = status(&head)? {
            let good = http.status.contains(status);
            return if good { Ok(()) } else { Err(format!("HTTP status {status}, not {}", http.status)) };
        }
        if head.len() >= LONGEST_HEAD {
            return Err("no HTTP status in the answer".to_owned());
        }
        if stream.read_buf(&mut head).await.map_err(|error| in_words(&error))? == 0 {
            return Err("the connection ended without an HTTP status".to_owned());
        }
    }
}

/// The status in the beginning of an answer, once it is there.
fn status(head: &[u8]) -> Result<Option<u16>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        // The status line is what counts: that there are more headers than room is none of ours.
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Ok(response.code),
        Err(error) => Err(format!("no HTTP answer ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_is_known_with_its_line() {
        assert_eq!(status(b""), Ok(None));
        assert_eq!(status(b"HTTP/1.1 50"), Ok(None));
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\nServer: x"), Ok(Some(503)));
        assert_eq!(status(b"HTTP/1.0 200 OK\r\n\r\n<html>"), Ok(Some(200)));
        assert!(status(b"b1\n").is_err());
    }
}
