//! One watch stream: states go down, outcomes come up.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chameleon_model::Stamp;
use chameleon_proto::v1;
use futures::Stream as _;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tonic::{Status, Streaming};

use super::convert::{identity, selection, verdict};
use super::error::invalid;
use super::states::{Encoded, States, Way};
use crate::app::App;
use crate::app::access::Caller;
use crate::app::error::Error;
use crate::app::fleet::Connection;
use crate::app::watch::{Watcher, Woken};

/// How long a client may take to say what it wants to watch.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the subscription and starts the stream; the first state is due at once.
pub(super) async fn watch(
    app: Arc<App>,
    states: Arc<States>,
    caller: Caller,
    mut requests: Streaming<v1::WatchRequest>,
) -> Result<Watch, Status> {
    use v1::watch_request::Message;
    let first = tokio::time::timeout(SUBSCRIBE_LIMIT, requests.message())
        .await
        .map_err(|_| Status::deadline_exceeded("subscribe: did not come within 10 s"))??;
    let Some(Message::Subscribe(subscribe)) = first.and_then(|request| request.message) else {
        return Err(invalid("subscribe", "is missing; send it first").into());
    };
    let selection = selection("subscribe", &subscribe.keys, &subscribe.prefixes)?;
    caller.may_read(&selection).map_err(Error::from)?;
    let selection = Arc::new(selection);
    let identity = subscribe.identity.map(identity).transpose()?;
    // A state of another lineage, or one that can't be proven to be of this, is no base.
    let last = (subscribe.last)
        .map(Stamp::from)
        .filter(|last| app.replica.knows(*last));
    let place = app.access.watch_place(&caller).map_err(Error::from)?;
    let watcher = (app.replica.hub()).watch(Arc::clone(&selection), place)?;
    // A token that ended before the watch was open has woken it in vain.
    app.access.still_admits(&caller)?;
    let connection =
        identity.map(|identity| app.fleet.connect(identity, Arc::clone(&selection), last));
    let feed = Feed {
        app,
        states,
        caller,
        watcher,
        connection,
        requests: Some(requests),
        way: Way {
            selection,
            base: last,
            outcome_within_ms: 0,
        },
        sending: None,
        started: false,
    };
    Ok(Watch(Some(feed)))
}

/// The body of the answer: the states, and at the end why there will be no more.
///
/// It hands on the bytes that all watchers of a state share, for which tonic has no way.
#[derive(Default)]
pub(super) struct Watch(Option<Feed>);

/// The stream's own state. Nothing is queued for a slow client but the chunks of one state.
struct Feed {
    app: Arc<App>,
    states: Arc<States>,
    /// Whose token may end before the stream does.
    caller: Caller,
    watcher: Watcher,
    /// Clients that say who they are count as instances; a person's `watch` does not.
    connection: Option<Connection>,
    /// Gone when the client has said that nothing more will come; it still watches.
    requests: Option<Streaming<v1::WatchRequest>>,
    /// From the state that the client has when it has received all that was sent.
    way: Way,
    /// The state that is being sent, and the place of its next chunk.
    sending: Option<(Arc<Encoded>, usize)>,
    started: bool,
}

impl Body for Watch {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(feed) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = match feed.poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(chunk)) => Frame::data(chunk),
            Poll::Ready(Err(status)) => {
                self.0 = None;
                Frame::trailers(trailers(&status))
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Feed {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        loop {
            if let Some(chunk) = self.next_chunk() {
                return Poll::Ready(Ok(chunk));
            }
            if !self.started {
                self.started = true;
                self.prepare(true);
                continue;
            }
            // A state goes first, without a look for outcomes; changes that come quickly are one
            // state, so that outcomes get their turn.
            match self.watcher.poll_woken(context) {
                Poll::Ready(Woken::Changed) => {
                    self.app.access.still_admits(&self.caller)?;
                    self.prepare(false);
                    continue;
                }
                Poll::Ready(Woken::Stopping) => {
                    let reason = "the server is shutting down; use another";
                    return Poll::Ready(Err(Status::unavailable(reason)));
                }
                Poll::Pending => {}
            }
            let Some(requests) = &mut self.requests else {
                return Poll::Pending;
            };
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(request)) => self.take(request?)?,
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Makes the newest state ready to be sent. The first one is sent even if it changes nothing,
    /// so that a client that returns knows that it is up to date.
    fn prepare(&mut self, first: bool) {
        let snapshot = self.app.replica.snapshot();
        if !first && self.way.base == Some(snapshot.stamp()) {
            return;
        }
        if self.connection.is_some() {
            let within = self.app.fleet.outcome_within().as_millis();
            self.way.outcome_within_ms = u32::try_from(within).unwrap_or(u32::MAX);
        }
        let encoded = self.states.encoded(&self.way, &snapshot);
        if first || !encoded.is_empty {
            self.sending = Some((encoded, 0));
        }
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        let (encoded, place) = self.sending.as_mut()?;
        let chunk = encoded.chunk(*place);
        *place += 1;
        if *place >= encoded.chunks() {
            self.sent();
        }
        chunk
    }

    fn sent(&mut self) {
        let Some((encoded, _)) = self.sending.take() else {
            return;
        };
        self.way.base = Some(encoded.stamp);
        if let Some(connection) = &self.connection {
            connection.sent(encoded.stamp, Arc::clone(&encoded.revisions));
        }
    }

    fn take(&mut self, request: v1::WatchRequest) -> Result<(), Status> {
        use v1::watch_request::Message;
        match request.message {
            Some(Message::Outcome(outcome)) => {
                let verdict = verdict(outcome)?;
                if let Some(connection) = &self.connection {
                    connection.judged(verdict);
                }
                Ok(())
            }
            Some(Message::Subscribe(_)) => {
                Err(invalid("subscribe", "came twice; open another stream").into())
            }
            None => Err(invalid("message", "is missing").into()),
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    match status.add_header(&mut trailers) {
        Ok(()) => trailers,
        // Its text can't be sent, its code can.
        Err(_) => {
            Status::new(status.code(), "")
                .into_http::<()>()
                .into_parts()
                .0
                .headers
        }
    }
}
