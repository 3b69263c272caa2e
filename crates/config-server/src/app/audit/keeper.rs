//! The task that writes the trail to the store.

use std::sync::Arc;
use std::time::Duration;

use chameleon_store::{Store, StoreError};
use service_kit::Backoff;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Trail;
use super::pending::{BATCH, Batch};

/// How long a record waits for others to be written with.
const PAUSE: Duration = Duration::from_millis(200);

/// How long acts that have begun may take to end when the server ends.
const ENDING: Duration = Duration::from_secs(1);

/// How long writing what is left may take when the server ends.
const FLUSH: Duration = Duration::from_millis(2_500);

/// Writes what comes along a trail, in batches. While the store is away it tries again and again; the
/// trail keeps the newest records meanwhile.
pub(crate) struct Keeper {
    pub(crate) trail: Arc<Trail>,
    pub(crate) store: Arc<dyn Store>,
    /// How long the store may take to answer.
    pub(crate) store_timeout: Duration,
}

impl Keeper {
    /// Runs until `settled` is cancelled, when no more is stored; then writes what is left, as far as
    /// that goes within a few seconds.
    pub(crate) async fn run(self, settled: CancellationToken) -> anyhow::Result<()> {
        settled.run_until_cancelled(self.keep()).await;
        // Whoever has been answered just now tells the trail a moment later.
        self.trail.acts.close();
        let _ = timeout(ENDING, self.trail.acts.wait()).await;
        self.trail.lock().close();
        let flushed = timeout(FLUSH, self.flush()).await;
        let left = self.trail.update(|pending| {
            pending.give_up_all();
            pending.lost()
        });
        match flushed {
            _ if left == 0 => {}
            Ok(Err(error)) => tracing::warn!(
                "failed to write the audit: {error}; {left} records are in the log only"
            ),
            _ => tracing::warn!("{left} records of the audit are in the log only"),
        }
        Ok(())
    }

    async fn keep(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut is_away = false;
        loop {
            if !self.trail.lock().has_some() {
                self.trail.some.notified().await;
            }
            if self.trail.lock().waiting() < BATCH {
                let _ = timeout(PAUSE, self.trail.many.notified()).await;
            }
            match self.write(false).await {
                Ok(Written::Some) if is_away => {
                    is_away = false;
                    backoff.reset();
                    tracing::info!("the audit is written again");
                }
                Ok(_) => {}
                Err(error) => {
                    if !is_away {
                        tracing::warn!(
                            "failed to write the audit: {error}; it is tried again, and the log has \
                             every event"
                        );
                    }
                    is_away = true;
                    backoff.wait().await;
                }
            }
        }
    }

    /// Writes one batch.
    ///
    /// # Errors
    /// The store is away, and what was not written waits again; or it is broken, and the batch is lost.
    async fn write(&self, at_once: bool) -> Result<Written, StoreError> {
        let batch = self.trail.lock().take(at_once, Instant::now());
        if batch.records.is_empty() {
            return Ok(Written::Nothing);
        }
        // Given back also by who is cancelled here; what was written all the same is not written twice.
        let mut hand = Hand {
            trail: &self.trail,
            batch: Some(batch),
        };
        let records = hand.batch.as_ref().map_or(&[][..], |batch| &batch.records);
        let append = self.store.append_audit(records);
        match timeout(self.store_timeout, append).await {
            Ok(Ok(())) => {
                hand.written();
                Ok(Written::Some)
            }
            Ok(Err(error)) => {
                if !matches!(error, StoreError::Unavailable(_)) {
                    hand.give_up();
                }
                Err(error)
            }
            Err(_) => {
                let silent = format!("no answer within {:?}", self.store_timeout);
                Err(StoreError::Unavailable(silent.into()))
            }
        }
    }

    async fn flush(&self) -> Result<(), StoreError> {
        while self.trail.lock().has_some() {
            self.write(true).await?;
        }
        Ok(())
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
enum Written {
    Some,
    /// There was none.
    Nothing,
}

/// A batch on its way, which goes back unless it has arrived.
struct Hand<'a> {
    trail: &'a Trail,
    batch: Option<Batch>,
}

impl Hand<'_> {
    fn written(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.trail.lock().written(&batch);
        }
    }

    fn give_up(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.trail.update(|pending| pending.give_up(&batch));
        }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.trail
                .update(|pending| pending.give_back(batch, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{AuditAction, AuditQuery, AuditReader, AuditTarget, AuditVerdict};

    use test_kit::eventually;

    use super::*;
    use crate::app::access::Peer;
    use crate::app::audit::Event;

    const ROOM: usize = 20;

    fn act(n: usize) -> Event<'static> {
        Event {
            who: "ada",
            from: Peer {
                dialect: "grpc",
                address: None,
            },
            action: AuditAction::Write,
            target: AuditTarget::Nothing,
            outcome: AuditVerdict::Done.into(),
            times: 1,
            detail: n.to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_lost_is_counted_and_told_in_the_store() {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let trail = Arc::new(Trail::with_room(ROOM));
        for n in 0..ROOM + 7 {
            trail.take(act(n));
        }
        let keeper = Keeper {
            trail: Arc::clone(&trail),
            store: Arc::clone(&store),
            store_timeout: Duration::from_secs(30),
        };
        let settled = CancellationToken::new();
        let written = async {
            eventually("all is written", async || {
                let is_empty = !trail.lock().has_some();
                is_empty.then_some(())
            })
            .await;
            settled.cancel();
        };
        let (ended, ()) = tokio::join!(keeper.run(settled.clone()), written);
        ended.unwrap();
        assert_eq!(trail.dropped().get(), 7);
        let query = AuditQuery {
            limit: u32::MAX,
            ..AuditQuery::default()
        };
        let kept = store.audit(&query, &AuditReader::All).await.unwrap();
        let (lost, kept): (Vec<_>, Vec<_>) =
            (kept.into_iter()).partition(|record| record.outcome.verdict == AuditVerdict::Lost);
        let lost: Vec<_> = lost.iter().map(|record| record.times).collect();
        assert_eq!(lost, [7]);
        assert_eq!(kept.len(), ROOM);
        assert_eq!(kept.last().unwrap().detail, "7", "the oldest went");
        // What comes after the end can only be counted.
        trail.take(act(0));
        assert_eq!(trail.dropped().get(), 8);
    }

    #[tokio::test]
    async fn the_end_waits_for_what_has_begun() {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let trail = Arc::new(Trail::new());
        let begun = trail.act();
        let keeper = Keeper {
            trail: Arc::clone(&trail),
            store: Arc::clone(&store),
            store_timeout: Duration::from_secs(30),
        };
        let settled = CancellationToken::new();
        settled.cancel();
        let answered = async {
            tokio::task::yield_now().await;
            trail.take(act(1));
            drop(begun);
        };
        let (ended, ()) = tokio::join!(keeper.run(settled), answered);
        ended.unwrap();
        let query = AuditQuery {
            limit: 10,
            ..AuditQuery::default()
        };
        let kept = store.audit(&query, &AuditReader::All).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(trail.dropped().get(), 0);
    }
}
