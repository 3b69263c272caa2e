//! One watch over any number of connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use chameleon_model::{Entry, Key, Stamp};
use chameleon_proto::v1::{self, watch_request::Message};
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::error::Failure;
use super::servers::{Servers, pauses};
use super::state::{Assembly, Broken, Mirror, Update};
use super::{ApiError, Identity, Selection};

/// How many messages up may wait for the connection.
const UP_QUEUE: usize = 8;
/// A stream that lived so long counts as healthy, so that the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// A subscription that survives its connections.
///
/// Dropping it ends it.
pub struct Watch {
    servers: Arc<Servers>,
    subscribe: v1::Subscribe,
    mirror: Mirror,
    /// Whether the mirror's entries belong to its stamp, so that a server may send only changes.
    resumable: bool,
    next_server: usize,
    pauses: ExponentialBackoff,
    not_before: Option<Instant>,
    phase: Phase,
}

enum Phase {
    Idle,
    // Kept between calls, so that a caller that looks away does not start the attempt anew.
    Opening(BoxFuture<'static, Result<Session, ApiError>>),
    Open(Box<Session>),
}

struct Session {
    up: mpsc::Sender<v1::WatchRequest>,
    down: Streaming<v1::State>,
    assembly: Assembly,
    server: String,
    opened: Instant,
}

/// What happens on a watch.
#[derive(Debug)]
pub(crate) enum WatchEvent {
    /// A server has accepted the subscription.
    Opened { server: String },
    /// A state has arrived; the mirror holds it.
    Updated(Update),
    /// There is no stream any more; the next call tries the next server.
    Lost(ApiError),
}

impl Watch {
    pub(super) fn new(
        servers: Arc<Servers>,
        selection: &Selection,
        last: Option<Stamp>,
        identity: Option<Identity>,
    ) -> Self {
        let keys = selection.keys.iter().map(ToString::to_string);
        let prefixes = selection.prefixes.iter().map(ToString::to_string);
        Self {
            next_server: servers.preferred(),
            servers,
            subscribe: v1::Subscribe {
                keys: keys.collect(),
                prefixes: prefixes.collect(),
                last: None,
                identity: identity.map(Into::into),
            },
            mirror: Mirror::not_before(last),
            resumable: last.is_some(),
            pauses: pauses(),
            not_before: None,
            phase: Phase::Idle,
        }
    }

    /// Asks for a complete state first, of which only one older than `last` is refused.
    pub(crate) fn starting_whole(mut self) -> Self {
        self.resumable = false;
        self
    }

    /// The next state, complete or as a change of the one before; waits for as long as it takes.
    ///
    /// An error says that the stream was lost or could not be opened; the next call tries the next
    /// server after a pause that grows and has jitter, and goes on where this one ended. Errors
    /// that are [final](ApiError::is_final) will mostly come back. A call that is cancelled loses
    /// nothing.
    pub async fn next(&mut self) -> Result<Update, ApiError> {
        loop {
            match self.event().await {
                WatchEvent::Opened { .. } => {}
                WatchEvent::Updated(update) => return Ok(update),
                WatchEvent::Lost(error) => return Err(error),
            }
        }
    }

    /// The same as a stream without end.
    pub fn into_stream(self) -> impl Stream<Item = Result<Update, ApiError>> + Send {
        futures::stream::unfold(self, async |mut watch| {
            let next = watch.next().await;
            Some((next, watch))
        })
    }

    /// The newest state that was received, or the one given at the start.
    pub fn stamp(&self) -> Option<Stamp> {
        self.mirror.stamp()
    }

    /// What has been received since the start, with all changes worked in.
    pub fn entries(&self) -> &BTreeMap<Key, Entry> {
        self.mirror.entries()
    }

    /// Waits for the next event; cancelling loses nothing.
    pub(crate) async fn event(&mut self) -> WatchEvent {
        loop {
            match &mut self.phase {
                Phase::Idle => {
                    let subscribe = v1::Subscribe {
                        last: (self.resumable)
                            .then(|| self.mirror.stamp().map(Into::into))
                            .flatten(),
                        ..self.subscribe.clone()
                    };
                    let servers = Arc::clone(&self.servers);
                    let opening = open(servers, self.next_server, self.not_before, subscribe);
                    self.phase = Phase::Opening(opening.boxed());
                }
                Phase::Opening(opening) => match opening.await {
                    Ok(session) => {
                        self.servers.prefer(self.next_server);
                        let server = session.server.clone();
                        self.phase = Phase::Open(Box::new(session));
                        return WatchEvent::Opened { server };
                    }
                    Err(error) => return self.lost(error),
                },
                Phase::Open(session) => match session.update().await {
                    Ok(update) => match self.mirror.accept(&update) {
                        Ok(()) => {
                            self.resumable = true;
                            self.pauses = pauses();
                            return WatchEvent::Updated(update);
                        }
                        Err(broken) => {
                            let error = session.broken(&broken);
                            // Only a complete state leads out of a disagreement.
                            self.resumable = false;
                            return self.lost(error);
                        }
                    },
                    Err(error) => {
                        if session.opened.elapsed() > HEALTHY_AFTER {
                            self.pauses = pauses();
                        }
                        self.resumable &= !matches!(error, ApiError::Protocol { .. });
                        return self.lost(error);
                    }
                },
            }
        }
    }

    /// Sends an outcome up the open stream. It is lost with the stream; the server takes the
    /// absence of outcomes as "not known".
    pub(crate) fn report(&self, outcome: v1::Outcome) {
        if let Phase::Open(session) = &self.phase {
            let message = v1::WatchRequest {
                message: Some(Message::Outcome(outcome)),
            };
            if session.up.try_send(message).is_err() {
                tracing::debug!("an outcome was left out, the connection is stuck or gone");
            }
        }
    }

    /// Ends the stream in peace: what was reported before still reaches the server.
    pub(crate) async fn close(self) {
        let Phase::Open(session) = self.phase else {
            return;
        };
        let Session { up, mut down, .. } = *session;
        drop(up);
        while let Ok(Some(_)) = down.message().await {}
    }

    fn lost(&mut self, error: ApiError) -> WatchEvent {
        self.phase = Phase::Idle;
        self.next_server = (self.next_server + 1) % self.servers.len();
        self.not_before = Some(Instant::now() + self.pauses.next().unwrap_or_default());
        WatchEvent::Lost(error)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("stamp", &self.mirror.stamp())
            .field("is_open", &matches!(self.phase, Phase::Open(_)))
            .finish_non_exhaustive()
    }
}

/// Opens a stream at server `index` once `not_before` has come.
async fn open(
    servers: Arc<Servers>,
    index: usize,
    not_before: Option<Instant>,
    subscribe: v1::Subscribe,
) -> Result<Session, ApiError> {
    if let Some(not_before) = not_before {
        sleep_until(not_before).await;
    }
    let mut attempt = servers.attempt(index).await?;
    let (up, requests) = mpsc::channel(UP_QUEUE);
    let first = futures::stream::iter([v1::WatchRequest {
        message: Some(Message::Subscribe(subscribe)),
    }]);
    let request = attempt.request(first.chain(ReceiverStream::new(requests)));
    // Connecting has a limit of its own; this one is for a server that then does not answer.
    let limit = servers.connect_timeout() * 2;
    let failure = match timeout(limit, attempt.client.watch(request)).await {
        Ok(Ok(response)) => {
            return Ok(Session {
                up,
                down: response.into_inner(),
                assembly: Assembly::default(),
                server: attempt.server,
                opened: Instant::now(),
            });
        }
        Ok(Err(status)) => Failure::of(status, &attempt.server).because_of(&attempt.trouble),
        Err(_) => Failure::TimedOut,
    };
    Err(failure.into_error(vec![attempt.server], limit))
}

impl Session {
    /// The next whole state.
    async fn update(&mut self) -> Result<Update, ApiError> {
        loop {
            let chunk = match self.down.message().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    return Err(ApiError::Ended {
                        server: self.server.clone(),
                    });
                }
                Err(status) => {
                    let failure = Failure::of(status, &self.server);
                    return Err(failure.into_error(vec![self.server.clone()], HEALTHY_AFTER));
                }
            };
            match self.assembly.push(chunk) {
                Ok(Some(update)) => return Ok(update),
                Ok(None) => {}
                Err(broken) => return Err(self.broken(&broken)),
            }
        }
    }

    fn broken(&self, broken: &Broken) -> ApiError {
        ApiError::Protocol {
            server: self.server.clone(),
            reason: broken.to_string(),
        }
    }
}
