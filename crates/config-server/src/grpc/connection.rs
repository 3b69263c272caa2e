//! A connection as tonic serves it: it has a place among all, and has to open in time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream;
use service_kit::accept::{Accepted, Acceptor, Place, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a client may take to send the text that HTTP/2 begins with. From then on it has to
/// answer pings; before, nothing else would ever end a connection that says nothing.
const OPENING: Duration = Duration::from_secs(10);

/// The length of that text in bytes.
const PREFACE: usize = 24;

/// The connections that `acceptor` accepts; they never end.
pub(super) fn incoming(acceptor: Acceptor) -> impl futures::Stream<Item = io::Result<Connection>> {
    stream::unfold(acceptor, |mut acceptor| async {
        let Accepted {
            stream,
            peer,
            place,
        } = acceptor.next().await;
        Some((Ok(Connection::new(stream, peer, place)), acceptor))
    })
}

/// A connection; its place is free again when it is dropped.
pub(super) struct Connection<S = Stream, P = Place> {
    stream: S,
    peer: SocketAddr,
    /// `None` once the connection is open.
    opening: Option<Opening>,
    _place: P,
}

struct Opening {
    missing: usize,
    limit: Pin<Box<Sleep>>,
}

impl<S, P> Connection<S, P> {
    fn new(stream: S, peer: SocketAddr, place: P) -> Self {
        let limit = Box::pin(tokio::time::sleep(OPENING));
        Self {
            stream,
            peer,
            opening: Some(Opening {
                missing: PREFACE,
                limit,
            }),
            _place: place,
        }
    }
}

impl<S, P> Connected for Connection<S, P> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(self.peer),
        }
    }
}

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for Connection<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(opening) = &mut this.opening else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        if opening.limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let received = buffer.filled().len() - before;
        opening.missing = opening.missing.saturating_sub(received);
        if opening.missing == 0 {
            this.opening = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for Connection<S, P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};
    use tokio::time::Instant;

    use super::*;

    const TEXT: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn connection(
        places: &Arc<Semaphore>,
    ) -> (DuplexStream, Connection<DuplexStream, OwnedSemaphorePermit>) {
        let (client, server) = duplex(64);
        let place = Arc::clone(places).try_acquire_owned().unwrap();
        let peer = "127.0.0.1:1".parse().unwrap();
        (client, Connection::new(server, peer, place))
    }

    #[tokio::test(start_paused = true)]
    async fn half_an_opening_is_given_up_and_the_place_is_free() {
        let places = Arc::new(Semaphore::new(1));
        let (mut client, mut server) = connection(&places);
        client.write_all(&TEXT[..PREFACE - 1]).await.unwrap();
        let started = Instant::now();
        let mut received = Vec::new();
        let error = server.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!((received.len(), started.elapsed()), (PREFACE - 1, OPENING));
        assert_eq!(places.available_permits(), 0);
        drop(server);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_connection_may_be_silent() {
        let places = Arc::new(Semaphore::new(1));
        let (mut client, mut server) = connection(&places);
        let (first, rest) = TEXT.split_at(5);
        let mut byte = [0];
        client.write_all(first).await.unwrap();
        server.read_exact(&mut [0; 5]).await.unwrap();
        client.write_all(rest).await.unwrap();
        server.read_exact(&mut [0; PREFACE - 5]).await.unwrap();
        let (read, ()) = tokio::join!(server.read_exact(&mut byte), async {
            tokio::time::sleep(2 * OPENING).await;
            client.write_all(b"x").await.unwrap();
        });
        read.unwrap();
        assert_eq!(&byte, b"x");
    }
}
