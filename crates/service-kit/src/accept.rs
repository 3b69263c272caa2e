//! Accepting connections: a bounded number, each of which notices when its other end is gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Backoff;

/// How long the other end of a connection may neither acknowledge nor take what it is sent, unless
/// a listener chooses otherwise. One that vanished while nothing was sent is noticed in the same
/// time.
pub const SILENCE: Duration = Duration::from_mins(1);

/// After how long without a packet the system asks whether the other end is still there, how often
/// it asks again, and how many times in vain: it gives up after [`SILENCE`].
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Accepts the connections of one listener, so many at a time.
///
/// More wait in the kernel, without using memory of the process, and are accepted when others end.
#[derive(Debug)]
pub struct Acceptor {
    name: &'static str,
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence: Duration,
    backoff: Backoff,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, with the options that end it when its other end is gone.
    pub stream: TcpStream,
    /// The address of the other end.
    pub peer: SocketAddr,
    /// Its place among all; keep it for as long as the stream.
    pub place: OwnedSemaphorePermit,
}

impl Acceptor {
    /// Accepts up to `connections` at a time on `listener`, which logs call `name`; each ends when
    /// its other end takes nothing for `silence`, mostly [`SILENCE`].
    pub fn new(
        name: &'static str,
        listener: TcpListener,
        connections: usize,
        silence: Duration,
    ) -> Self {
        Self {
            name,
            listener,
            places: Arc::new(Semaphore::new(connections)),
            silence,
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(1)),
        }
    }

    /// Waits for a place and then for a connection. May be cancelled.
    pub async fn next(&mut self) -> Accepted {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.backoff.reset();
                    if let Err(error) = prepare(&stream, self.silence) {
                        tracing::debug!(%peer, "failed to set the options of a connection: {error}");
                    }
                    return Accepted {
                        stream,
                        peer,
                        place,
                    };
                }
                Err(error) => {
                    // Mostly too many open files: others have to close some first.
                    tracing::warn!(
                        listener = self.name,
                        "failed to accept a connection: {error}"
                    );
                    self.backoff.wait().await;
                }
            }
        }
    }
}

/// Sends small answers at once, and lets the system end the connection of a peer that is gone or
/// that takes nothing.
fn prepare(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    // What is sent and not acknowledged is no matter of keepalive, and neither is a peer whose
    // window stays closed. Other systems have no such option and give up later.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(silence))?;
    #[cfg(not(target_os = "linux"))]
    let _ = silence;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_notices_a_dead_peer_within_the_silence() {
        let listener = crate::listen("127.0.0.1:0".parse().unwrap(), "tests", "none").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new("tests", listener, 1, SILENCE);
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), acceptor.next());

        let socket = SockRef::from(&accepted.stream);
        assert!(accepted.stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE));
        let after = socket.tcp_keepalive_time().unwrap();
        let every = socket.tcp_keepalive_interval().unwrap();
        let probes = socket.tcp_keepalive_retries().unwrap();
        assert_eq!(after + every * probes, SILENCE);
    }
}
