//! The TLS handshake of one connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::refusal::Refusal;
use super::stream::Stream;
use crate::tls::Protocol;

/// How long a handshake may take. A client that says nothing holds its place no longer.
const LIMIT: Duration = Duration::from_secs(5);

/// For how long, and how many bytes, a refused client is listened to. Closed with something unread,
/// the system would tell it of a broken connection and not of the reason.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 64 * 1024;

/// What a TLS connection begins with.
const HANDSHAKE: u8 = 22;

/// Empty settings, and `GOAWAY` with `INADEQUATE_SECURITY`: clients of HTTP/2 tell of both.
const PLAIN_HTTP2: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x2a\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0c\
    this port speaks TLS: use https://";
const PLAIN_HTTP1: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\ncontent-length: 35\r\nconnection: close\r\n\r\n\
    this port speaks TLS: use https://\n";

pub(super) async fn handshake(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    protocol: Protocol,
) -> Result<Stream, Refusal> {
    let accepted = timeout(LIMIT, async {
        let mut first = [0];
        if stream.peek(&mut first).await.unwrap_or_default() == 0 {
            return Err((Refusal::Gone, None));
        }
        if first[0] != HANDSHAKE {
            let answer = match protocol {
                Protocol::Http1 => PLAIN_HTTP1,
                Protocol::Http2 => PLAIN_HTTP2,
            };
            let _ = stream.write_all(answer).await;
            return Err((Refusal::NotTls, Some(stream)));
        }
        let accept = TlsAcceptor::from(config).accept(stream).into_fallible();
        match accept.await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err((error, stream)) => Err((Refusal::of(&error), Some(stream))),
        }
    });
    match accepted.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((refusal, stream))) => {
            if let Some(stream) = stream {
                let _ = timeout(FAREWELL, part(stream)).await;
            }
            Err(refusal)
        }
        Err(_) => Err(Refusal::Slow),
    }
}

/// Ends the connection in such a way that the client sees what it was sent last.
async fn part(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 4096];
    let mut left = FAREWELL_BYTES;
    while left > 0 {
        match stream.read(&mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(read) => left = left.saturating_sub(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_to_plain_clients_have_the_lengths_that_they_say() {
        let text = b"this port speaks TLS: use https://";
        // Of GOAWAY: the last stream and the code take eight bytes.
        assert_eq!(usize::from(PLAIN_HTTP2[11]), 8 + text.len());
        assert!(PLAIN_HTTP2.ends_with(text));
        assert_eq!(PLAIN_HTTP2.len(), 9 + 9 + 8 + text.len());
        let answer = String::from_utf8(PLAIN_HTTP1.to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
