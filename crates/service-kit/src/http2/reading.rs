//! A connection that has to open in time, and is read a bit at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::shared::Shared;

/// The length in bytes of the text that HTTP/2 begins with.
const PREFACE: usize = 24;

/// After how many bytes the streams get their turn, which are polled by the same task. The last read may
/// bring as many again, and h2 ends a connection on which 2,048 of the smallest frames, of 10 bytes, are
/// left unread.
const TURN: usize = 8 * 1024;

/// Reads fail from a limit on, unless the text that HTTP/2 begins with has come by then. Where much
/// comes in one turn, they wait for the next.
pub(super) struct Reading<S> {
    stream: S,
    /// `None` once the connection is open.
    missing: Option<Missing>,
    /// The turn of the connection in which it was read last, and how much more may be read in it.
    turn: u32,
    left: usize,
    shared: Arc<Shared>,
}

struct Missing {
    bytes: usize,
    limit: Pin<Box<Sleep>>,
}

impl<S> Reading<S> {
    pub(super) fn new(stream: S, limit: Duration, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            missing: Some(Missing {
                bytes: PREFACE,
                limit: Box::pin(tokio::time::sleep(limit)),
            }),
            turn: shared.turn(),
            left: TURN,
            shared,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reading<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(missing) = &mut this.missing
            && missing.limit.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.turn != this.shared.turn() {
            this.turn = this.shared.turn();
            this.left = TURN;
        }
        if this.left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let received = buffer.filled().len() - before;
        this.left = this.left.saturating_sub(received);
        if let Some(missing) = &mut this.missing {
            missing.bytes = missing.bytes.saturating_sub(received);
            if missing.bytes == 0 {
                this.missing = None;
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reading<S> {
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
        let mut server = Reading::new(server, LIMIT, Shared::new());
        client.write_all(&TEXT[..PREFACE - 1]).await.unwrap();
        let started = Instant::now();
        let mut received = Vec::new();
        let error = server.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!((received.len(), started.elapsed()), (PREFACE - 1, LIMIT));
    }

    #[tokio::test]
    async fn a_reader_pauses_for_the_streams() {
        let (mut client, server) = duplex(4 * TURN);
        let shared = Shared::new();
        let mut server = Reading::new(server, LIMIT, Arc::clone(&shared));
        client.write_all(&[0; 2 * TURN]).await.unwrap();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut read = || {
            let mut bytes = [0; TURN / 4];
            let mut buffer = ReadBuf::new(&mut bytes);
            let polled = Pin::new(&mut server).poll_read(&mut context, &mut buffer);
            polled.map(|result| result.map(|()| buffer.filled().len()).unwrap())
        };
        for _ in 0..2 {
            for _ in 0..4 {
                assert_eq!(read(), Poll::Ready(TURN / 4));
            }
            for _ in 0..2 {
                assert_eq!(read(), Poll::Pending);
            }
            shared.next_turn();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_connection_may_be_silent() {
        let (mut client, server) = duplex(64);
        let mut server = Reading::new(server, LIMIT, Shared::new());
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
