//! Keys that are held against their git source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chameleon_model::{Hold, HoldChange, Key, Outcome, Right, Snapshot, SourceName, Timestamp};
use tokio_util::sync::CancellationToken;

use super::App;
use super::access::Caller;
use super::replica::{Answered, Replica};

/// The longest time between two looks at the holds: one that was put meanwhile may expire before.
const LOOK: Duration = Duration::from_secs(10);

/// What became of a transaction, and what it did to holds.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) outcome: Outcome,
    /// Holds that it has put, renewed or moved.
    pub(crate) held: Vec<Arc<Hold>>,
    /// Keys whose holds it has ended.
    pub(crate) released: Vec<Key>,
    /// Of a source's new state: the holds that it did not reach.
    pub(crate) skipped: Vec<Arc<Hold>>,
}

impl Effects {
    /// `source` is the one whose new state it was, `state` what is served since.
    pub(super) fn new(answered: Answered, source: Option<&SourceName>, state: &Snapshot) -> Self {
        let Answered { outcome, holds } = answered;
        let mut effects = Self {
            skipped: match (&outcome, source) {
                (Outcome::Committed(_) | Outcome::Unchanged(_), Some(source)) => state
                    .holds()
                    .filter(|hold| hold.source == *source)
                    .cloned()
                    .collect(),
                _ => Vec::new(),
            },
            outcome,
            held: Vec::new(),
            released: Vec::new(),
        };
        for change in holds {
            match change {
                HoldChange::Put(hold) => effects.held.push(hold),
                HoldChange::Ended(key) => effects.released.push(key),
            }
        }
        effects
    }
}

impl App {
    /// The holds on keys that the caller may read, by key.
    pub(crate) fn holds(&self, caller: &Caller) -> Vec<Arc<Hold>> {
        let state = self.replica.snapshot();
        (state
            .holds()
            .filter(|hold| caller.sees(Right::Read, &hold.key)))
        .cloned()
        .collect()
    }

    /// How many keys are held, and how many of them for longer than they were meant to.
    pub(crate) fn count_holds(&self) -> (usize, usize) {
        let (state, now) = (self.replica.snapshot(), SystemTime::now().into());
        let expired = state.holds().filter(|hold| hold.is_expired(now)).count();
        (state.holds().count(), expired)
    }
}

/// Says once of each hold that its time is over. It stays in force: git must not come back in the
/// middle of an incident.
pub(crate) struct Watchman {
    replica: Arc<Replica>,
    /// The holds that were told, by the end of their time.
    told: BTreeMap<Key, Timestamp>,
}

impl Watchman {
    pub(crate) fn new(replica: Arc<Replica>) -> Self {
        Self {
            replica,
            told: BTreeMap::new(),
        }
    }

    /// Runs until `soft` is cancelled, by the clock `now`.
    pub(crate) async fn run(
        mut self,
        now: impl Fn() -> Timestamp + Send,
        soft: CancellationToken,
    ) -> anyhow::Result<()> {
        let forever = async {
            loop {
                let state = self.replica.snapshot();
                let at = now();
                for hold in self.newly_expired(&state, at) {
                    warn(&hold);
                }
                let next = (state.holds())
                    .filter(|hold| !hold.is_expired(at))
                    .map(|hold| at.until(hold.expires))
                    .min();
                tokio::time::sleep(next.unwrap_or(LOOK).min(LOOK)).await;
            }
        };
        soft.run_until_cancelled(forever).await;
        Ok(())
    }

    /// The holds of `state` whose time is over and of which that was not told yet.
    fn newly_expired(&mut self, state: &Snapshot, now: Timestamp) -> Vec<Arc<Hold>> {
        // One that was renewed is told again in its time.
        self.told.retain(|key, expires| {
            (state.hold(key.as_str())).is_some_and(|hold| hold.expires == *expires)
        });
        let mut expired = Vec::new();
        for hold in state.holds().filter(|hold| hold.is_expired(now)) {
            if self.told.insert(hold.key.clone(), hold.expires) != Some(hold.expires) {
                expired.push(Arc::clone(hold));
            }
        }
        expired
    }
}

fn warn(hold: &Hold) {
    let (key, source, author) = (&hold.key, &hold.source, hold.author.as_str());
    let hours = hold.since.until(hold.expires).as_secs_f64() / 3600.0;
    tracing::warn!(
        %key, %source, author, hold.revision = hold.revision.0,
        "the hold on key `{key}`, put by `{author}` {hours:.1} h before, has expired; it stays in \
         force: bring git to what is live (`chameleon hold --as-commit`), renew it or \
         `chameleon release {key}`"
    );
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Known, Operation, Origin, SourceUpdate, Tag, Transaction, decide};

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn after(base: &Snapshot, now: i64, transaction: Transaction) -> Snapshot {
        let known = Known {
            now: Timestamp(now),
            ..Known::default()
        };
        decide(base, vec![transaction], known, Tag::default).snapshot
    }

    fn put(text: &str, value: &'static str) -> Operation {
        Operation::Put {
            key: key(text),
            value: value.into(),
            flags: 0,
        }
    }

    fn of(operations: Vec<Operation>, micros: u64) -> Transaction {
        Transaction {
            operations,
            hold_for: Some(Duration::from_micros(micros)),
            origin: Origin {
                author: "ada".to_owned(),
                ..Origin::default()
            },
            ..Transaction::default()
        }
    }

    /// `a` and `b` are of a source.
    fn owned() -> Snapshot {
        let push = Transaction {
            source: Some(SourceUpdate {
                name: "main".into(),
                expected: None,
                commit: "1".into(),
                profiles: Vec::new(),
            }),
            ..of(vec![put("a", "1"), put("b", "1")], 0)
        };
        after(&Snapshot::default(), 0, push)
    }

    fn watchman(state: Snapshot) -> Watchman {
        Watchman::new(Replica::fixed(state))
    }

    fn names(holds: &[Arc<Hold>]) -> Vec<&str> {
        holds.iter().map(|hold| hold.key.as_str()).collect()
    }

    #[test]
    fn a_hold_is_told_once_at_its_end_and_again_after_a_renewal() {
        let one = after(&owned(), 10, of(vec![put("a", "2")], 5));
        let two = after(&one, 12, of(vec![put("b", "2")], 50));
        let mut watchman = watchman(two.clone());
        let mut told = |state: &Snapshot, now| {
            let expired = watchman.newly_expired(state, Timestamp(now));
            names(&expired).join(" ")
        };
        assert_eq!(told(&two, 14), "");
        assert_eq!(told(&two, 15), "a");
        assert_eq!(told(&two, 61), "");
        assert_eq!(told(&two, 62), "b");
        let renewed = after(&two, 70, of(vec![put("a", "3")], 5));
        assert_eq!(told(&renewed, 74), "");
        assert_eq!(told(&renewed, 75), "a");
        // It is in force all the time.
        assert_eq!(renewed.holds().count(), 2);
        let released = after(
            &renewed,
            80,
            of(vec![Operation::Release { key: key("a") }], 5),
        );
        assert_eq!(told(&released, 90), "");
        assert_eq!(watchman.told.len(), 1, "what is released is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchman_wakes_when_a_hold_expires() {
        #[derive(Clone, Default)]
        struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let (to, text) = (log.clone(), || {
            String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
        });
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || to.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);

        let four_hours = Duration::from_hours(4);
        let micros = u64::try_from(four_hours.as_micros()).unwrap();
        let held = after(&owned(), 0, of(vec![put("a", "2")], micros));
        let started = tokio::time::Instant::now();
        let now = move || Timestamp(0).after(started.elapsed());
        let soft = CancellationToken::new();
        let run = watchman(held).run(now, soft.clone());
        let story = async {
            tokio::time::sleep_until(started + four_hours / 2).await;
            assert_eq!(text(), "");
            tokio::time::sleep_until(started + four_hours + Duration::from_millis(2)).await;
            let told = text();
            assert!(
                told.contains("the hold on key `a`, put by `ada` 4.0 h before, has expired"),
                "{told}"
            );
            tokio::time::sleep(four_hours).await;
            assert_eq!(text(), told);
            soft.cancel();
        };
        let (ended, ()) = tokio::join!(run, story);
        ended.unwrap();
    }
}
