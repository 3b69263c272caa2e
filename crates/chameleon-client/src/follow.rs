//! The client's one background task: follows the servers, applies, answers and keeps.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::document::Fault;
use chameleon_proto::v1;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::{Update, Watch, WatchEvent};
use crate::engine::{Engine, Rejection, Verdict};
use crate::last_good::LastGoodFile;
use crate::outcomes::Outcomes;

/// If applying takes longer, the server is told that the state has arrived.
const SLOW_APPLY: Duration = Duration::from_secs(1);
/// A service binds its types one after the other; only when all are bound is a state proven good.
const BINDINGS_SETTLE: Duration = Duration::from_secs(1);
/// How long the last outcome may take at shutdown.
const GOODBYE: Duration = Duration::from_millis(250);

pub(crate) struct Follower {
    pub(crate) watch: Watch,
    pub(crate) engine: Arc<Engine>,
    pub(crate) outcomes: Outcomes,
    pub(crate) keeper: Keeper,
}

impl Follower {
    /// Follows until `stop`; dropping the future ends it too, without a last word to the server.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.watch.event() => self.handle(event).await,
                () = until(self.outcomes.due()) => self.answer(),
                () = self.engine.bound() => self.after_bind(),
                () = self.keeper.turn(&self.engine) => {}
            }
        }
        self.answer();
        let closing = self.watch.close();
        // Ended or not within its time: the server takes a missing outcome as "not known".
        let _ = timeout(GOODBYE, closing).await;
        self.keeper.finish(&self.engine).await;
        self.engine.disconnected();
    }

    async fn handle(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Opened { server } => {
                tracing::info!(%server, "watching at `{server}`");
            }
            WatchEvent::Updated(update) => {
                self.apply(&update).await;
                // Not when the stream opens: a server that lags behind has nothing to follow.
                self.engine.connected();
            }
            WatchEvent::Lost(error) => {
                // Verdicts belong to the stream that brought their state.
                self.outcomes.take(Instant::now());
                self.engine.disconnected();
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(
                    source,
                    "failed to watch, the last good values stay in use: {error}"
                );
            }
        }
    }

    async fn apply(&mut self, update: &Update) {
        let stamp = update.stamp;
        let judged = self.engine.verdict();
        let verdict = match judged.filter(|verdict| verdict.stamp() == stamp) {
            // A new server has sent what the one before had sent.
            Some(verdict) => verdict,
            None => self.judge(update).await,
        };
        let took = update.arrived.elapsed();
        log(&verdict, took);
        self.outcomes.spread_over(update.outcome_within);
        self.outcomes.schedule(&verdict, took, Instant::now());
        self.keeper.wake(Instant::now());
    }

    /// Applies beside the runtime's workers, because a service's own checks may be slow.
    async fn judge(&mut self, update: &Update) -> Verdict {
        let stamp = update.stamp;
        let documents = (self.engine.layers()).select(stamp, self.watch.entries());
        let engine = Arc::clone(&self.engine);
        let mut applying = spawn_blocking(move || engine.apply(documents));
        let verdict = if let Ok(verdict) = timeout(SLOW_APPLY, &mut applying).await {
            verdict
        } else {
            self.watch.report(v1::Outcome {
                stamp: Some(stamp.into()),
                verdict: Some(v1::outcome::Verdict::Received(v1::Received {})),
                ..v1::Outcome::default()
            });
            applying.await
        };
        verdict.unwrap_or_else(|_| {
            let key = &self.engine.layers().keys()[3];
            let reason = "applying the state was broken off; see the service's log";
            Verdict::Rejected(Rejection {
                stamp,
                faults: vec![Fault::of_file(key.as_str(), reason)],
            })
        })
    }

    fn answer(&mut self) {
        if let Some(outcome) = self.outcomes.take(Instant::now()) {
            self.watch.report(outcome);
        }
    }

    /// A binding may have found that the newest state is not good after all.
    fn after_bind(&mut self) {
        if let Some(verdict @ Verdict::Rejected(_)) = self.engine.verdict() {
            (self.outcomes).schedule(&verdict, Duration::ZERO, Instant::now());
        }
        self.keeper.wake(Instant::now() + BINDINGS_SETTLE);
    }
}

fn log(verdict: &Verdict, took: Duration) {
    let stamp = verdict.stamp();
    let revision = stamp.revision.0;
    let took_us = took.as_micros();
    match verdict {
        Verdict::Applied(_) => {
            tracing::info!(%stamp, revision, took_us, "applied revision {revision}");
        }
        Verdict::Rejected(rejection) => tracing::warn!(
            %stamp,
            revision,
            took_us,
            "rejected revision {revision}, the last good values stay in use: {rejection}"
        ),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// Keeps the last good state on disk, one write at a time.
pub(crate) struct Keeper {
    file: Option<Arc<LastGoodFile>>,
    due: Option<Instant>,
    writing: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn new(file: Option<LastGoodFile>) -> Self {
        Self {
            file: file.map(Arc::new),
            due: None,
            writing: None,
        }
    }

    /// Asks for a write at `due`, or earlier if one was asked for earlier.
    fn wake(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Does the next thing that there is to do; cancelling loses nothing.
    async fn turn(&mut self, engine: &Engine) {
        if let Some(writing) = &mut self.writing {
            // A write that failed has told so.
            let _ = writing.await;
            self.writing = None;
            return;
        }
        until(self.due).await;
        self.due = None;
        if let (Some(file), Some(documents)) = (&self.file, engine.worth_keeping()) {
            let file = Arc::clone(file);
            self.writing = Some(spawn_blocking(move || {
                if let Err(error) = file.save(&documents) {
                    let path = file.path().display();
                    tracing::warn!("failed to keep the last good state in `{path}`: {error}");
                }
            }));
        }
    }

    /// Writes what was still to be written.
    async fn finish(mut self, engine: &Engine) {
        if self.due.is_some() {
            self.due = Some(Instant::now());
        }
        while self.due.is_some() || self.writing.is_some() {
            self.turn(engine).await;
        }
    }
}
