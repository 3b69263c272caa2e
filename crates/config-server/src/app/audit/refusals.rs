//! Refusals that are alike become one record: thousands of wrong tokens a second are few rows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use chameleon_model::{
    AuditAction, AuditId, AuditOutcome, AuditRecord, AuditTarget, AuditVerdict, Timestamp,
};
use tokio::time::Instant;

/// How long equal ones are waited for.
const FOLD: Duration = Duration::from_secs(1);

/// How many kinds are told apart at a time, by all that they tell; and as many more by who and from
/// where only. What is beyond both is told by its action.
const APART: usize = 200;

/// How many records may go out at once after a quiet time.
const BURST: f64 = 200.0;

/// How many records may go out a second in the long run. What has to wait for it is folded on.
const A_SECOND: f64 = 2.0;

/// Refusals that wait for their like. Of a bounded number of kinds, whatever comes.
#[derive(Debug)]
pub(super) struct Refusals {
    held: HashMap<Like, Held>,
    /// How many records may go out by now.
    allowance: f64,
    reckoned: Instant,
}

/// What equal ones have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Like {
    who: String,
    dialect: String,
    peer: Option<IpAddr>,
    action: AuditAction,
    target: AuditTarget,
    verdict: AuditVerdict,
    detail: String,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    id: AuditId,
    at: Timestamp,
    since: Instant,
    times: u64,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            held: HashMap::new(),
            allowance: BURST,
            reckoned: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn add(&mut self, record: AuditRecord, now: Instant) {
        let new = Held {
            id: record.id,
            at: record.at,
            since: now,
            times: 0,
        };
        let times = record.times;
        let mut like = Like {
            who: record.who,
            dialect: record.dialect,
            peer: record.peer,
            action: record.action,
            target: record.target,
            verdict: record.outcome.verdict,
            detail: record.detail,
        };
        if self.held.len() >= APART && !self.held.contains_key(&like) {
            like.target = AuditTarget::Nothing;
            "several that differ".clone_into(&mut like.detail);
            if self.held.len() >= 2 * APART && !self.held.contains_key(&like) {
                like.who.clear();
                like.dialect.clear();
                like.peer = None;
                "several of many callers".clone_into(&mut like.detail);
            }
        }
        let held = self.held.entry(like).or_insert(new);
        held.times = held.times.saturating_add(times);
    }

    /// Those that have waited long enough, oldest first and no more than may go out; all if `at_once`.
    pub(super) fn take(&mut self, most: usize, at_once: bool, now: Instant) -> Vec<AuditRecord> {
        let passed = now.saturating_duration_since(self.reckoned).as_secs_f64();
        self.allowance = (self.allowance + passed * A_SECOND).min(BURST);
        self.reckoned = now;
        let is_due = |held: &Held| at_once || now.saturating_duration_since(held.since) >= FOLD;
        let mut due: Vec<_> = (self.held.iter())
            .filter(|(_, held)| is_due(held))
            .map(|(like, held)| (held.id, like.clone()))
            .collect();
        due.sort_unstable_by_key(|(id, _)| *id);
        due.truncate(most);
        let mut taken = Vec::new();
        for (_, like) in due {
            if !at_once {
                if self.allowance < 1.0 {
                    break;
                }
                self.allowance -= 1.0;
            }
            if let Some(held) = self.held.remove(&like) {
                taken.push(like.record(held));
            }
        }
        taken
    }
}

impl Like {
    fn record(self, held: Held) -> AuditRecord {
        AuditRecord {
            id: held.id,
            at: held.at,
            who: self.who,
            dialect: self.dialect,
            peer: self.peer,
            action: self.action,
            target: self.target,
            outcome: AuditOutcome::from(self.verdict),
            times: held.times,
            detail: self.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::Key;
    use uuid::Uuid;

    use super::*;

    fn refusal(who: &str, peer: u32, key: u32) -> AuditRecord {
        AuditRecord {
            id: AuditId(Uuid::now_v7()),
            at: Timestamp(1),
            who: who.to_owned(),
            dialect: "grpc".to_owned(),
            peer: Some(IpAddr::V4(peer.into())),
            action: AuditAction::Read,
            target: AuditTarget::Key(Key::new(&key.to_string()).unwrap()),
            outcome: AuditVerdict::Refused.into(),
            times: 1,
            detail: String::new(),
        }
    }

    fn counts(records: &[AuditRecord]) -> Vec<u64> {
        records.iter().map(|record| record.times).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn equal_ones_within_a_second_are_one_record() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let first = refusal("a", 1, 1);
        refusals.add(first.clone(), start);
        for _ in 0..999 {
            refusals.add(refusal("a", 1, 1), start);
        }
        refusals.add(refusal("a", 2, 1), start);
        refusals.add(refusal("b", 1, 1), start);
        assert_eq!(refusals.take(10, false, start + FOLD / 2), []);
        let taken = refusals.take(10, false, start + FOLD);
        assert_eq!(counts(&taken), [1000, 1, 1]);
        assert_eq!((taken[0].id, taken[0].at), (first.id, first.at));
        refusals.add(refusal("a", 1, 1), start + FOLD);
        assert_eq!(counts(&refusals.take(10, true, start + FOLD)), [1]);
        assert_eq!(refusals.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_any_kind_takes_bounded_room_and_counts_all() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        for n in 0..2_000 {
            refusals.add(refusal("a", 1, n), start);
            refusals.add(refusal("a", n, 0), start);
        }
        assert!(refusals.len() <= 2 * APART + 1, "{}", refusals.len());
        let taken = refusals.take(usize::MAX, true, start);
        assert_eq!(counts(&taken).iter().sum::<u64>(), 4_000);
        // Who it was stays told as long as there is room for it.
        let several = (taken.iter()).find(|one| one.detail == "several that differ");
        assert_eq!(several.unwrap().who, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_long_run_few_records_go_out() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let (mut written, mut counted) = (0, 0);
        for second in 0..600_u32 {
            let now = start + Duration::from_secs(second.into());
            for n in 0..20 {
                refusals.add(refusal("a", 1, 20 * (second % 50) + n), now);
            }
            let taken = refusals.take(usize::MAX, false, now);
            written += taken.len();
            counted += counts(&taken).iter().sum::<u64>();
        }
        assert!((1_200..=1_400).contains(&written), "{written}");
        counted += counts(&refusals.take(usize::MAX, true, start))
            .iter()
            .sum::<u64>();
        assert_eq!(counted, 12_000);
    }
}
