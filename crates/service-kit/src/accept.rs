//! Accepting connections: a bounded number, each of which notices when its other end is gone.

mod handshake;
mod peers;
mod refusal;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::Backoff;
use crate::tls::{Protocol, ServerTls};
use handshake::handshake;
use peers::{PeerPlace, Peers};
use refusal::{Refusal, Teller};

pub use peers::network;
pub use refusal::Refusals;
pub use stream::Stream;

/// How long the other end of a connection may neither acknowledge nor take what it is sent, unless
/// a listener chooses otherwise. One that vanished while nothing was sent is noticed in the same
/// time.
pub const SILENCE: Duration = Duration::from_mins(1);

/// After how long without a packet the system asks whether the other end is still there, how often
/// it asks again, and how many times in vain: it gives up after [`SILENCE`].
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// TLS handshakes at a time on one listener; more connections wait in the kernel.
const MAX_HANDSHAKES: usize = 512;

/// Accepts the connections of one listener, so many at a time.
///
/// More wait in the kernel, without using memory of the process, and are accepted when others end.
#[derive(Debug)]
pub struct Acceptor {
    gate: Gate,
    tls: Option<(ServerTls, Protocol)>,
    /// Dropped with the acceptor, which ends them.
    handshakes: JoinSet<Result<Accepted, (SocketAddr, Refusal)>>,
}

/// A connection that was accepted; where there is TLS, its handshake is done.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, with the options that end it when its other end is gone.
    pub stream: Stream,
    /// The address of the other end.
    pub peer: SocketAddr,
    /// Its place among all; keep it for as long as the stream.
    pub place: Place,
}

/// A connection's place among all of its listener, and among those of its address.
#[derive(Debug)]
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_peer: Option<PeerPlace>,
}

#[derive(Debug)]
struct Gate {
    name: &'static str,
    listener: TcpListener,
    places: Arc<Semaphore>,
    peers: Option<Peers>,
    silence: Duration,
    backoff: Backoff,
    refusals: Refusals,
    teller: Teller,
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
        let gate = Gate {
            name,
            listener,
            places: Arc::new(Semaphore::new(connections)),
            peers: None,
            silence,
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(1)),
            refusals: Refusals::default(),
            teller: Teller::default(),
        };
        Self {
            gate,
            tls: None,
            handshakes: JoinSet::new(),
        }
    }

    /// Speaks `protocol` within TLS; plainly if `tls` is `None`.
    ///
    /// A handshake that takes too long or fails, for example because of the client's certificate, ends
    /// the connection.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<ServerTls>, protocol: Protocol) -> Self {
        self.tls = tls.map(|tls| (tls, protocol));
        self
    }

    /// Closes a connection at once whose [`network`] has `limit` already; 0 is no limit.
    #[must_use]
    pub fn with_limit_per_peer(mut self, limit: usize) -> Self {
        self.gate.peers = (limit > 0).then(|| Peers::new(limit));
        self
    }

    /// Counts refused connections in `refusals`. They are told in the log as well, a few a minute.
    #[must_use]
    pub fn counting(mut self, refusals: &Refusals) -> Self {
        self.gate.refusals = refusals.clone();
        self
    }

    /// What logs call it.
    pub fn name(&self) -> &'static str {
        self.gate.name
    }

    /// Waits for a place and then for a connection. May be cancelled: handshakes that were begun go on.
    pub async fn next(&mut self) -> Accepted {
        loop {
            let Some((tls, protocol)) = &self.tls else {
                let (stream, peer, place) = self.gate.next().await;
                return Accepted {
                    stream: Stream::Plain(stream),
                    peer,
                    place,
                };
            };
            let has_room = self.handshakes.len() < MAX_HANDSHAKES;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Ok(accepted)) => return accepted,
                    Ok(Err((peer, refusal))) => self.gate.refused(peer, &refusal),
                    Err(error) => tracing::error!("failed to end a TLS handshake: {error}"),
                },
                (stream, peer, place) = self.gate.next(), if has_room => {
                    let (config, protocol) = (tls.config(*protocol), *protocol);
                    self.handshakes.spawn(async move {
                        match handshake(stream, config, protocol).await {
                            Ok(stream) => Ok(Accepted { stream, peer, place }),
                            Err(refusal) => Err((peer, refusal)),
                        }
                    });
                }
            }
        }
    }
}

impl Gate {
    async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        let of_all = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.backoff.reset();
                    let of_peer = self.peers.as_ref().map(|peers| peers.enter(peer.ip()));
                    let Ok(of_peer) = of_peer.transpose() else {
                        self.refused(peer, &Refusal::TooManyOfPeer);
                        continue;
                    };
                    if let Err(error) = prepare(&stream, self.silence) {
                        tracing::debug!(%peer, "failed to set the options of a connection: {error}");
                    }
                    let place = Place {
                        _of_all: of_all,
                        _of_peer: of_peer,
                    };
                    return (stream, peer, place);
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

    fn refused(&mut self, peer: SocketAddr, refusal: &Refusal) {
        self.refusals.count(self.name, refusal);
        let Some(untold) = self.teller.may_tell() else {
            return;
        };
        tracing::warn!(
            listener = self.name,
            %peer,
            untold,
            "refused a connection: {refusal}"
        );
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

        let Stream::Plain(stream) = &accepted.stream else {
            panic!("there is no TLS");
        };
        let socket = SockRef::from(stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE));
        let after = socket.tcp_keepalive_time().unwrap();
        let every = socket.tcp_keepalive_interval().unwrap();
        let probes = socket.tcp_keepalive_retries().unwrap();
        assert_eq!(after + every * probes, SILENCE);
    }
}
