//! The task that writes the trail to the store.

use std::collections::VecDeque;
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

    /// Writes one batch; if the store refuses it, record by record, so that one that it can't hold takes
    /// no others with it.
    ///
    /// # Errors
    /// The store is away, and what was not written waits again; or it refuses every record, and they
    /// are lost.
    async fn write(&self, at_once: bool) -> Result<Written, StoreError> {
        let batch = self.trail.lock().take(at_once, Instant::now());
        if batch.records.is_empty() {
            return Ok(Written::Nothing);
        }
        let together = batch.records.len();
        // Given back also by who is cancelled here; what was written all the same is not written twice.
        let mut hand = Hand {
            trail: &self.trail,
            batches: VecDeque::from([batch]),
        };
        match self.write_next(&mut hand).await {
            Ok(()) => return Ok(Written::Some),
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) if together == 1 => {
                hand.give_up_next();
                return Err(error);
            }
            Err(_) => hand.split(),
        }
        let (mut refused, mut last) = (0, None);
        while !hand.batches.is_empty() {
            match self.write_next(&mut hand).await {
                Ok(()) => {}
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    hand.give_up_next();
                    refused += 1;
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if refused == together => Err(error),
            Some(error) => {
                tracing::warn!(
                    "the store refuses {refused} records of the audit, which are in the log only: \
                     {error}"
                );
                Ok(Written::Some)
            }
            None => Ok(Written::Some),
        }
    }

    /// Writes the first batch in `hand`, which stays there after an error.
    async fn write_next(&self, hand: &mut Hand<'_>) -> Result<(), StoreError> {
        let records = hand.batches.front().map_or(&[][..], |batch| &batch.records);
        let append = self.store.append_audit(records);
        let answer = timeout(self.store_timeout, append).await;
        answer.unwrap_or_else(|_| {
            let silent = format!("no answer within {:?}", self.store_timeout);
            Err(StoreError::Unavailable(silent.into()))
        })?;
        hand.written_next();
        Ok(())
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

/// Batches on their way, oldest first, which go back unless they have arrived.
struct Hand<'a> {
    trail: &'a Trail,
    batches: VecDeque<Batch>,
}

impl Hand<'_> {
    fn split(&mut self) {
        let batches = std::mem::take(&mut self.batches);
        self.batches = batches.into_iter().flat_map(Batch::singles).collect();
    }

    fn written_next(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.trail.lock().written(&batch);
        }
    }

    fn give_up_next(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.trail.update(|pending| pending.give_up(&batch));
        }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        // The newest first, as each goes before all else.
        while let Some(batch) = self.batches.pop_back() {
            self.trail
                .update(|pending| pending.give_back(batch, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use chameleon_model::{
        AuditAction, AuditId, AuditQuery, AuditReader, AuditRecord, AuditTarget, AuditVerdict,
        Commit, Epoch, Revision, Session, SessionId, Snapshot, SourceMarker, Stamp, Token,
        TokenHash, TokenName, Transaction,
    };
    use chameleon_store::{Board, Changes, Committed, HistoryQuery, NewToken, Notifications};

    use test_kit::eventually;

    use super::*;
    use crate::app::access::Peer;
    use crate::app::audit::Event;

    const ROOM: usize = 20;

    /// A store for the audit only, which can't hold the record `2`.
    struct Refusing {
        written: Mutex<BTreeMap<AuditId, AuditRecord>>,
        /// How often it answers before it is away.
        answers_left: AtomicU32,
    }

    impl Default for Refusing {
        fn default() -> Self {
            Self {
                written: Mutex::default(),
                answers_left: AtomicU32::new(u32::MAX),
            }
        }
    }

    impl Refusing {
        /// What was done, in its order.
        fn kept(&self) -> Vec<String> {
            let written = self.written.lock().unwrap();
            (written.values())
                .filter(|record| record.outcome.verdict != AuditVerdict::Lost)
                .map(|record| record.detail.clone())
                .collect()
        }

        /// How many each loss stands for.
        fn lost(&self) -> impl Iterator<Item = u64> + use<> {
            let written = self.written.lock().unwrap();
            let lost: Vec<_> = (written.values())
                .filter(|record| record.outcome.verdict == AuditVerdict::Lost)
                .map(|record| record.times)
                .collect();
            lost.into_iter()
        }
    }

    #[async_trait]
    impl Store for Refusing {
        async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
            let left = self.answers_left.load(Ordering::Relaxed);
            let Some(left) = left.checked_sub(1) else {
                return Err(StoreError::Unavailable("it was taken away".into()));
            };
            self.answers_left.store(left, Ordering::Relaxed);
            if records.iter().any(|record| record.detail == "2") {
                return Err(StoreError::Damaged("it is too long".to_owned()));
            }
            let told = records.iter().map(|record| (record.id, record.clone()));
            self.written.lock().unwrap().extend(told);
            Ok(())
        }

        async fn load(&self) -> Result<Snapshot, StoreError> {
            unreachable!()
        }

        async fn commit(&self, _: &Snapshot, _: Vec<Transaction>) -> Result<Committed, StoreError> {
            unreachable!()
        }

        async fn changes_since(&self, _: Stamp) -> Result<Changes, StoreError> {
            unreachable!()
        }

        async fn history(&self, _: &HistoryQuery) -> Result<Vec<Arc<Commit>>, StoreError> {
            unreachable!()
        }

        async fn snapshot_at(&self, _: Revision) -> Result<Snapshot, StoreError> {
            unreachable!()
        }

        async fn sources(&self) -> Result<Vec<SourceMarker>, StoreError> {
            unreachable!()
        }

        async fn newest_older_than(&self, _: Duration) -> Result<Revision, StoreError> {
            unreachable!()
        }

        async fn compact(&self, _: Revision) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn begin_epoch(&self, _: Stamp, _: Epoch) -> Result<Stamp, StoreError> {
            unreachable!()
        }

        async fn renew_session(&self, _: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
            unreachable!()
        }

        async fn end_overdue_sessions(
            &self,
            _: &Snapshot,
            _: Duration,
        ) -> Result<Committed, StoreError> {
            unreachable!()
        }

        async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
            unreachable!()
        }

        async fn create_token(&self, _: NewToken) -> Result<Option<Token>, StoreError> {
            unreachable!()
        }

        async fn rotate_token(
            &self,
            _: &TokenName,
            _: TokenHash,
            _: Duration,
        ) -> Result<Option<Token>, StoreError> {
            unreachable!()
        }

        async fn revoke_token(&self, _: &TokenName) -> Result<bool, StoreError> {
            unreachable!()
        }

        async fn audit(
            &self,
            _: &AuditQuery,
            _: &AuditReader,
        ) -> Result<Vec<AuditRecord>, StoreError> {
            unreachable!()
        }

        async fn prune_requests(&self) -> Result<u64, StoreError> {
            unreachable!()
        }

        async fn prune_audit(&self, _: Duration) -> Result<u64, StoreError> {
            unreachable!()
        }

        async fn board(&self) -> Result<Option<Arc<dyn Board>>, StoreError> {
            unreachable!()
        }

        fn notifications(&self) -> Notifications {
            unreachable!()
        }
    }

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
    async fn a_record_that_the_store_refuses_takes_no_others_with_it() {
        let store = Arc::new(Refusing::default());
        let trail = Arc::new(Trail::new());
        for n in 0..5 {
            trail.take(act(n));
        }
        let keeper = Keeper {
            trail: Arc::clone(&trail),
            store: store.clone(),
            store_timeout: Duration::from_secs(30),
        };
        // The store goes away between two records, and comes back.
        store.answers_left.store(3, Ordering::Relaxed);
        let away = keeper.write(false).await;
        assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
        store.answers_left.store(u32::MAX, Ordering::Relaxed);
        trail.take(act(5));
        keeper.write(false).await.unwrap();
        assert_eq!(store.kept(), ["0", "1", "3", "4", "5"]);
        assert_eq!(trail.dropped().get(), 1);
        // The loss is told with the next batch, also if one more is refused with it.
        trail.take(act(2));
        keeper.write(false).await.unwrap();
        keeper.write(false).await.unwrap();
        assert!(!trail.lock().has_some());
        let told: Vec<_> = store.lost().collect();
        assert_eq!(told, [1, 1]);
        assert_eq!(trail.dropped().get(), 2);
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
