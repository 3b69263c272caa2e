//! A connection that has to open in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The length in bytes of the text that HTTP/2 begins with.
const PREFACE: usize = 24;

/// Reads fail from a limit on, unless the text that HTTP/2 begins with has come by then.
pub(super) struct Opening<S> {
    stream: S,
    /// `None` once the connection is open.
    missing: Option<Missing>,
}

struct Missing {
    bytes: usize,
    limit: Pin<Box<Sleep>>,
}

impl<S> Opening<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            missing: Some(Missing {
                bytes: PREFACE,
                limit: Box::pin(tokio::time::sleep(limit)),
            }),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(missing) = &mut this.missing else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        if missing.limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let received = buffer.filled().len() - before;
        missing.bytes = missing.bytes.saturating_sub(received);
        if missing.bytes == 0 {
            this.missing = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const TEXT: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn half_an_opening_is_given_up() {
        let (mut client, server) = duplex(64);
        let mut server = Opening::new(server, LIMIT);
        client.write_all(&TEXT[..PREFACE - 1]).await.unwrap();
        let started = Instant::now();
        let mut received = Vec::new();
        let error = server.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!((received.len(), started.elapsed()), (PREFACE - 1, LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_connection_may_be_silent() {
        let (mut client, server) = duplex(64);
        let mut server = Opening::new(server, LIMIT);
        let (first, rest) = TEXT.split_at(5);
        let mut byte = [0];
        client.write_all(first).await.unwrap();
        server.read_exact(&mut [0; 5]).await.unwrap();
        client.write_all(rest).await.unwrap();
        server.read_exact(&mut [0; PREFACE - 5]).await.unwrap();
        let (read, ()) = tokio::join!(server.read_exact(&mut byte), async {
            tokio::time::sleep(2 * LIMIT).await;
            client.write_all(b"x").await.unwrap();
        });
        read.unwrap();
        assert_eq!(&byte, b"x");
    }
}
