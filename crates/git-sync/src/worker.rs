//! The task that keeps one source in step: woken by pushes and by the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chameleon_client::HeldKey;
use chameleon_model::SourceName;
use service_kit::Backoff;
use service_kit::health::Check;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{SourceMetrics, Turn};
use crate::sync::{Doorbell, Notice, Outcome, SyncError, Syncer, held_line, short};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Which sources are out of step, told by the process's readiness as a warning.
#[derive(Clone)]
pub(crate) struct Board {
    problems: Arc<Mutex<BTreeMap<SourceName, &'static str>>>,
    check: Check,
}

impl Board {
    pub(crate) fn new(check: Check) -> Self {
        check.pass();
        Self {
            problems: Arc::default(),
            check,
        }
    }

    /// Takes down what is wrong with a source; nothing, if `problem` is `None`.
    fn set(&self, source: &SourceName, problem: Option<&'static str>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => problems.insert(source.clone(), problem),
            None => problems.remove(source),
        };
        if problems.is_empty() {
            return self.check.pass();
        }
        let list: Vec<_> = problems
            .iter()
            .map(|(source, problem)| format!("source `{source}` {problem}"))
            .collect();
        self.check.warn(list.join("; "));
    }
}

/// Keeps a source in step until `soft` is cancelled.
///
/// A turn that failed is repeated with growing pauses; a push or the next look at the newest commit
/// takes its place.
pub(crate) async fn work(
    mut syncer: Syncer,
    bell: Arc<Doorbell>,
    metrics: SourceMetrics,
    board: Board,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let source = syncer.source().name.clone();
    let interval = syncer.source().poll_interval;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut told = Told::default();
    let mut notice: Option<Notice> = None;
    loop {
        let Some(result) = soft.run_until_cancelled(syncer.turn(notice)).await else {
            return Ok(());
        };
        let (turn, problem) = sort(&result);
        metrics.turn(turn);
        board.set(&source, problem);
        told.tell(&source, &result);
        let pause = match &result {
            Ok(outcome) => {
                backoff.reset();
                notice = None;
                pause_after(outcome, interval)
            }
            Err(_) => backoff.next_delay(),
        };
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            newer = bell.answer() => notice = Some(newer),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn pause_after(outcome: &Outcome, interval: Duration) -> Duration {
    match outcome {
        Outcome::Waiting { until, .. } => {
            interval.min(until.saturating_duration_since(Instant::now()))
        }
        _ => interval,
    }
}

/// How a turn is counted, and what is wrong with the source after it.
fn sort(result: &Result<Outcome, SyncError>) -> (Turn, Option<&'static str>) {
    match result {
        Ok(Outcome::Applied(_)) => (Turn::applied, None),
        Ok(Outcome::Unchanged { .. }) => (Turn::unchanged, None),
        Ok(Outcome::Rejected(_)) => (Turn::rejected, Some("has a rejected commit")),
        Ok(Outcome::Waiting { .. }) => (Turn::waiting, Some("looks older than what is applied")),
        Err(SyncError::Git(_)) => (Turn::failed, Some("can't be fetched")),
        Err(SyncError::Server(_)) => (Turn::failed, Some("can't reach the config server")),
        Err(SyncError::Contended { .. }) => (Turn::failed, Some("is synced by another, too")),
    }
}

/// Remembers the last failure, so that one that goes on is told once.
#[derive(Default)]
struct Told {
    failure: Option<String>,
}

impl Told {
    fn tell(&mut self, source: &SourceName, result: &Result<Outcome, SyncError>) {
        let name = &*source.0;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return self.tell_failure(name, error),
        };
        if self.failure.take().is_some() {
            tracing::info!(source = name, "source `{name}` can be synced again");
        }
        match outcome {
            Outcome::Applied(applied) => {
                let (commit, files) = (short(&applied.commit.id), applied.files);
                let revision = applied.stamp.revision.0;
                tell_held(name, commit, &applied.held);
                for key in &applied.released {
                    tracing::info!(
                        source = name, commit, %key,
                        "key `{key}` is held no more: the commit changes its file"
                    );
                }
                for warning in &applied.warnings {
                    tracing::warn!(source = name, commit, "{warning}");
                }
                tracing::info!(
                    source = name,
                    commit,
                    revision,
                    files,
                    "applied commit {commit} of source `{name}` at revision {revision}: {}",
                    applied.commit.subject()
                );
            }
            Outcome::Unchanged { commit, held, .. } => {
                let commit = short(commit);
                tell_held(name, commit, held);
                tracing::debug!(
                    source = name,
                    commit,
                    "source `{name}` is at commit {commit}"
                );
            }
            Outcome::Rejected(rejected) if rejected.again => {}
            Outcome::Rejected(rejected) => {
                let (commit, faults) = (short(&rejected.commit), rejected.faults.len());
                tracing::warn!(
                    source = name,
                    commit,
                    faults,
                    "rejected commit {commit} of source `{name}`; what was live stays"
                );
                for fault in &rejected.faults {
                    tracing::warn!(source = name, commit, "{fault}");
                }
            }
            Outcome::Waiting {
                commit, applied, ..
            } => {
                let (commit, applied) = (short(commit), short(applied));
                tracing::warn!(
                    source = name,
                    commit,
                    "commit {commit} of source `{name}` does not follow the applied {applied}; \
                     looking again, the remote may lag"
                );
            }
        }
    }

    fn tell_failure(&mut self, name: &str, error: &SyncError) {
        let text = one_line(error);
        if self.failure.as_ref() == Some(&text) {
            tracing::debug!(
                source = name,
                "failed to sync source `{name}` again: {text}"
            );
            return;
        }
        tracing::warn!(
            source = name,
            "failed to sync source `{name}`, trying again: {text}"
        );
        self.failure = Some(text);
    }
}

fn tell_held(source: &str, commit: &str, held: &[HeldKey]) {
    for held in held {
        let (key, author) = (&held.key, held.author.as_str());
        tracing::warn!(source, commit, %key, author, "{}", held_line(held));
    }
}

/// An error with its causes.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
