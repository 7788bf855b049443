//! One check of one backend.

use std::{io, net::SocketAddr, time::Duration};

use maglev_core::health::{CheckKind, HealthCheck, HttpCheck};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A status line and what comes before the headers' end of it; who sends more before a status is no HTTP server.
const LONGEST_HEAD: usize = 8 * 1024;

/// Checks the backend at `address`: what it met with, in words, where the check failed.
pub(super) async fn check(check: &HealthCheck, address: SocketAddr) -> Result<(), String> {
    let address = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
    let found = timeout(check.timeout, async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.kind().to_string())?;
        match &check.kind {
            CheckKind::Tcp => Ok(()),
            CheckKind::Http(http) => ask(stream, address, http).await,
        }
    });
    found.await.unwrap_or_else(|_| Err(no_answer(check.timeout))).map_err(|why| format!("{why} ({address})"))
}

fn no_answer(timeout: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(timeout))
}

/// Asks over HTTP/1.1 (RFC 9112), and looks at the status.
async fn ask(mut stream: TcpStream, address: SocketAddr, http: &HttpCheck) -> Result<(), String> {
    let in_words = |error: io::Error| error.kind().to_string();
    let host = http.host.clone().unwrap_or_else(|| address.to_string());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: maglev-top\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        http.path
    );
    stream.write_all(request.as_bytes()).await.map_err(in_words)?;
    let mut head = Vec::with_capacity(512);
    loop {
        if let Some(status) = status(&head)? {
            let good = http.status.contains(status);
            return if good { Ok(()) } else { Err(format!("HTTP status {status}, not {}", http.status)) };
        }
        if head.len() >= LONGEST_HEAD {
            return Err("no HTTP status in the answer".to_owned());
        }
        if stream.read_buf(&mut head).await.map_err(in_words)? == 0 {
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
