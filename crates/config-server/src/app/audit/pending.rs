//! Records that wait for the store, in bounded room.

use std::collections::VecDeque;

use chameleon_model::{AuditRecord, AuditVerdict};
use tokio::time::Instant;

use super::loss;
use super::refusals::Refusals;

/// How many records of what was done may wait; a few megabytes.
pub(super) const QUEUED: usize = 10_000;

/// How many records are written together.
pub(super) const BATCH: usize = 500;

/// The queue. What was refused has its own room in it, so that no flood of refusals pushes out what
/// was done.
#[derive(Debug)]
pub(super) struct Pending {
    /// How many records of what was done may wait.
    room: usize,
    done: VecDeque<AuditRecord>,
    refused: Refusals,
    /// How many were dropped and are not told of in the store yet.
    lost: u64,
    is_closed: bool,
}

/// Some of what waits, for the store.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<AuditRecord>,
    /// How many lost ones the last of the records tells of.
    lost: u64,
}

impl Batch {
    /// Each record as a batch of its own, in the same order.
    pub(super) fn singles(self) -> VecDeque<Self> {
        let lost = self.lost;
        let single = |record: AuditRecord| {
            let tells = record.outcome.verdict == AuditVerdict::Lost;
            Self {
                lost: if tells { lost } else { 0 },
                records: vec![record],
            }
        };
        self.records.into_iter().map(single).collect()
    }
}

impl Pending {
    pub(super) fn new(room: usize, now: Instant) -> Self {
        Self {
            room,
            done: VecDeque::new(),
            refused: Refusals::new(now),
            lost: 0,
            is_closed: false,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.done.len() + self.refused.len()
    }

    pub(super) fn has_some(&self) -> bool {
        self.waiting() > 0 || self.lost > 0
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Takes no more from now on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn push(&mut self, record: AuditRecord, now: Instant) {
        if self.is_closed {
            self.lost += 1;
        } else if is_refusal(&record) {
            self.refused.add(record, now);
        } else {
            if self.done.len() >= self.room {
                self.done.pop_front();
                self.lost += 1;
            }
            self.done.push_back(record);
        }
    }

    /// What is to be written next; of the refusals also those that wait for their like if `at_once`.
    pub(super) fn take(&mut self, at_once: bool, now: Instant) -> Batch {
        let most = self.done.len().min(BATCH);
        let mut records: Vec<_> = self.done.drain(..most).collect();
        records.extend(self.refused.take(BATCH - most, at_once, now));
        if self.lost > 0 {
            records.push(loss(self.lost));
        }
        Batch {
            records,
            lost: self.lost,
        }
    }

    /// The store has all of `batch`.
    pub(super) fn written(&mut self, batch: &Batch) {
        self.lost -= batch.lost;
    }

    /// The store has none of `batch`, and may take it later. As much of it as there is room for waits
    /// again, before all else.
    pub(super) fn give_back(&mut self, batch: Batch, now: Instant) {
        for record in batch.records.into_iter().rev() {
            if record.outcome.verdict == AuditVerdict::Lost {
                // Told anew by the next batch.
            } else if is_refusal(&record) {
                self.refused.add(record, now);
            } else if self.done.len() < self.room {
                self.done.push_front(record);
            } else {
                self.lost += 1;
            }
        }
    }

    /// The store will never take `batch`.
    pub(super) fn give_up(&mut self, batch: &Batch) {
        let told = usize::from(batch.lost > 0);
        self.lost += (batch.records.len() - told) as u64;
    }

    /// Nothing of what waits will be written.
    pub(super) fn give_up_all(&mut self) {
        self.lost += self.waiting() as u64;
        self.done.clear();
    }
}

fn is_refusal(record: &AuditRecord) -> bool {
    matches!(
        record.outcome.verdict,
        AuditVerdict::Refused | AuditVerdict::TurnedAway
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chameleon_model::{AuditAction, AuditId, AuditTarget, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn record(n: usize, verdict: AuditVerdict) -> AuditRecord {
        AuditRecord {
            id: AuditId(Uuid::now_v7()),
            at: Timestamp(1),
            who: n.to_string(),
            dialect: "grpc".to_owned(),
            peer: None,
            action: AuditAction::Write,
            target: AuditTarget::Nothing,
            outcome: verdict.into(),
            times: 1,
            detail: String::new(),
        }
    }

    fn who(batch: &Batch) -> Vec<usize> {
        let numbers = batch
            .records
            .iter()
            .filter_map(|record| record.who.parse().ok());
        numbers.collect()
    }

    fn told(batch: &Batch) -> Option<u64> {
        let lost = |record: &&AuditRecord| record.outcome.verdict == AuditVerdict::Lost;
        batch.records.iter().find(lost).map(|record| record.times)
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_are_kept_and_the_loss_is_told_once() {
        let now = Instant::now();
        let mut pending = Pending::new(QUEUED, now);
        for n in 0..QUEUED + 7 {
            pending.push(record(n, AuditVerdict::Done), now);
        }
        let batch = pending.take(false, now);
        assert_eq!(who(&batch), (7..BATCH + 7).collect::<Vec<_>>());
        assert_eq!(told(&batch), Some(7));
        // The store is away, and more comes meanwhile.
        for n in 0..BATCH - 3 {
            pending.push(record(QUEUED + 7 + n, AuditVerdict::Done), now);
        }
        pending.give_back(batch, now);
        assert_eq!(pending.lost(), 7 + BATCH as u64 - 3);
        let again = pending.take(false, now);
        assert_eq!(who(&again)[0], BATCH + 4, "the oldest went");
        assert_eq!(told(&again), Some(7 + BATCH as u64 - 3));
        pending.written(&again);
        assert_eq!(told(&pending.take(false, now)), None);
        assert_eq!(pending.lost(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_push_out_nothing_and_come_back_as_one() {
        let now = Instant::now();
        let mut pending = Pending::new(QUEUED, now);
        pending.push(record(1, AuditVerdict::Committed), now);
        for _ in 0..2 * QUEUED {
            pending.push(record(2, AuditVerdict::TurnedAway), now);
        }
        assert_eq!(
            who(&pending.take(false, now)),
            [1],
            "the others wait for their like"
        );
        let later = now + Duration::from_secs(2);
        let batch = pending.take(false, later);
        assert_eq!((who(&batch), batch.records[0].times), (vec![2], 20_000));
        pending.give_back(batch, later);
        pending.push(record(2, AuditVerdict::TurnedAway), later);
        let batch = pending.take(true, later);
        assert_eq!((who(&batch), batch.records[0].times), (vec![2], 20_001));
        assert_eq!(pending.lost(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_counts_as_lost() {
        let now = Instant::now();
        let mut pending = Pending::new(QUEUED, now);
        pending.push(record(1, AuditVerdict::Done), now);
        let batch = pending.take(true, now);
        pending.give_up(&batch);
        assert_eq!(pending.lost(), 1);
        let told = pending.take(true, now);
        pending.give_up(&told);
        assert_eq!(pending.lost(), 1, "a loss is no loss of its own");
        pending.push(record(2, AuditVerdict::Done), now);
        pending.close();
        pending.push(record(3, AuditVerdict::Done), now);
        pending.give_up_all();
        assert_eq!(pending.lost(), 3);
    }
}
