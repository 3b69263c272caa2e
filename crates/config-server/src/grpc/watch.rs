//! One watch stream: states go down, outcomes come up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Revision, Stamp};
use chameleon_proto::{state_chunks, v1};
use futures::{Stream, stream};
use tonic::{Status, Streaming};

use super::convert::{identity, selection, verdict};
use super::error::invalid;
use crate::app::App;
use crate::app::access::Caller;
use crate::app::error::Error;
use crate::app::fleet::Connection;
use crate::app::selection::{Selection, Update};
use crate::app::watch::{Watcher, Woken};

/// How long a client may take to say what it wants to watch.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the subscription and starts the stream; the first state is due at once.
pub(super) async fn watch(
    app: Arc<App>,
    caller: Caller,
    mut requests: Streaming<v1::WatchRequest>,
) -> Result<impl Stream<Item = Result<v1::State, Status>>, Status> {
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
        caller,
        selection,
        watcher,
        connection,
        requests: Some(requests),
        base: last,
        pending: VecDeque::new(),
        sending: None,
        started: false,
    };
    Ok(stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(state) => Some((Ok(state), Some(feed))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

/// The stream's own state. Nothing is queued for a slow client but the chunks of one state.
struct Feed {
    app: Arc<App>,
    /// Whose token may end before the stream does.
    caller: Caller,
    selection: Arc<Selection>,
    watcher: Watcher,
    /// Clients that say who they are count as instances; a person's `watch` does not.
    connection: Option<Connection>,
    /// Gone when the client has said that nothing more will come; it still watches.
    requests: Option<Streaming<v1::WatchRequest>>,
    /// The state that the client has when it has received all that was sent.
    base: Option<Stamp>,
    /// Chunks of the state that is being sent.
    pending: VecDeque<v1::State>,
    sending: Option<(Stamp, Vec<Revision>)>,
    started: bool,
}

impl Feed {
    async fn next(&mut self) -> Result<v1::State, Status> {
        loop {
            if let Some(chunk) = self.pending.pop_front() {
                if self.pending.is_empty() {
                    self.sent();
                }
                return Ok(chunk);
            }
            if !self.started {
                self.started = true;
                self.prepare(true);
                continue;
            }
            tokio::select! {
                // A state goes first, without a look for outcomes; changes that come quickly are
                // one state, so that outcomes get their turn.
                biased;
                woken = self.watcher.woken() => match woken {
                    Woken::Changed => {
                        self.app.access.still_admits(&self.caller)?;
                        self.prepare(false);
                    }
                    Woken::Stopping => {
                        let reason = "the server is shutting down; use another";
                        return Err(Status::unavailable(reason));
                    }
                },
                request = next_request(&mut self.requests) => match request? {
                    Some(request) => self.take(request)?,
                    None => self.requests = None,
                },
            }
        }
    }

    /// Makes the newest state ready to be sent. The first one is sent even if it changes nothing,
    /// so that a client that returns knows that it is up to date.
    fn prepare(&mut self, first: bool) {
        let snapshot = self.app.replica.snapshot();
        if !first && self.base == Some(snapshot.stamp()) {
            return;
        }
        let update = self.selection.update(&snapshot, self.base);
        if update.is_empty() && !first {
            return;
        }
        let Update {
            stamp,
            base,
            puts,
            deletes,
            revisions,
        } = update;
        let puts = puts.iter().map(|entry| v1::Entry::from(&**entry));
        let deletes = deletes.iter().map(ToString::to_string).collect();
        self.pending = state_chunks(stamp, base, puts, deletes).into();
        if let (Some(_), Some(last)) = (&self.connection, self.pending.back_mut()) {
            let within = self.app.fleet.outcome_within().as_millis();
            last.outcome_within_ms = u32::try_from(within).unwrap_or(u32::MAX);
        }
        self.sending = Some((stamp, revisions));
    }

    fn sent(&mut self) {
        let Some((stamp, revisions)) = self.sending.take() else {
            return;
        };
        self.base = Some(stamp);
        if let Some(connection) = &self.connection {
            connection.sent(stamp, revisions);
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

async fn next_request(
    requests: &mut Option<Streaming<v1::WatchRequest>>,
) -> Result<Option<v1::WatchRequest>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}
