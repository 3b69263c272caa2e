//! Where the stores of one test live.

use std::sync::Arc;

use chameleon_model::{Commit, Outcome, Snapshot, Stamp, Transaction};
use chameleon_store::{Changes, Committed, Store, StoreError};

/// A database of its own.
pub(crate) trait Place {
    /// An empty one.
    async fn new() -> Self;

    /// Another store on it, as another replica would open.
    async fn open(&self) -> Arc<dyn Store>;

    /// Another store that has to use one connection for everything, where it can be told to.
    async fn open_narrow(&self) -> Arc<dyn Store>;

    /// Runs SQL behind the stores' backs.
    async fn execute(&self, statements: &[String]);
}

/// A store with the state that its user holds.
pub(crate) struct Replica {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) state: Snapshot,
}

impl Replica {
    pub(crate) async fn at(place: &impl Place) -> Self {
        let store = place.open().await;
        let state = store.load().await.expect("the store can be loaded");
        Self { store, state }
    }

    /// Commits `group` on the held state, and moves to the new one.
    pub(crate) async fn commit(&mut self, group: Vec<Transaction>) -> Committed {
        let committed =
            (self.store.commit(&self.state, group).await).expect("the group is decided");
        assert_eq!(
            replay(&self.state, &committed.commits),
            committed.snapshot.stamp()
        );
        self.state = committed.snapshot.clone();
        committed
    }

    /// Commits one transaction that changes something, and returns the new head.
    pub(crate) async fn apply(&mut self, transaction: Transaction) -> Stamp {
        match self.outcome(transaction).await {
            Outcome::Committed(stamp) => stamp,
            other => panic!("not committed: {other:?}"),
        }
    }

    /// What becomes of one transaction.
    pub(crate) async fn outcome(&mut self, transaction: Transaction) -> Outcome {
        let committed = self.commit(vec![transaction]).await;
        let [outcome] = <[_; 1]>::try_from(committed.outcomes).expect("one outcome for each");
        outcome
    }

    /// Looks again, as after a nudge.
    pub(crate) async fn look(&mut self) {
        match self.store.changes_since(self.state.stamp()).await {
            Ok(Changes::Since(commits)) => {
                for commit in commits {
                    self.state = self.state.apply(&commit).expect("commits are contiguous");
                }
            }
            Ok(Changes::Compacted | Changes::OtherLineage) => {
                self.state = self.store.load().await.expect("the store can be loaded");
            }
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn replay(base: &Snapshot, commits: &[Arc<Commit>]) -> Stamp {
    let mut state = base.clone();
    for commit in commits {
        state = state.apply(commit).expect("commits are contiguous");
    }
    state.stamp()
}

/// Everything that a snapshot says, to compare two.
pub(crate) fn content(state: &Snapshot) -> impl PartialEq + std::fmt::Debug + use<> {
    let all = chameleon_model::Prefix::all();
    (
        state.stamp(),
        state.under(&all).cloned().collect::<Vec<_>>(),
        state.sessions().cloned().collect::<Vec<_>>(),
        state.holds().cloned().collect::<Vec<_>>(),
        (state.deleted_under(&all))
            .map(|(key, revision)| (key.clone(), revision))
            .filter(|(_, revision)| *revision > state.floor())
            .collect::<Vec<_>>(),
    )
}

/// A statement that notes a migration of a later version as one that ran.
pub(crate) fn newer(version: i64, name: &str) -> String {
    format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ({version}, '{name}', TRUE, '', 0)"
    )
}
