//! Forgets the history, the audit and the answers to requests that nobody wants to keep.

use std::sync::Arc;

use chameleon_model::Revision;
use chameleon_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::replica::Replica;
use crate::settings::Keep;

/// Compacts the store from time to time. Any number of servers may do this at once: what one has
/// forgotten is gone for all, and each forgets in its own memory too.
pub(crate) struct Compactor {
    pub(crate) replica: Arc<Replica>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keep: Keep,
}

impl Compactor {
    /// Runs until `soft` is cancelled; a compaction that is cut off is finished by the next.
    pub(crate) async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        let forever = async {
            loop {
                if self.replica.link().is_available() {
                    if let Err(error) = self.compact().await {
                        tracing::warn!("failed to forget old history: {error}; it is tried again");
                    }
                    if let Err(error) = self.prune_audit().await {
                        tracing::warn!(
                            "failed to forget the old audit: {error}; it is tried again"
                        );
                    }
                    if let Err(error) = self.prune_requests().await {
                        tracing::warn!(
                            "failed to forget the old answers to requests: {error}; it is tried again"
                        );
                    }
                }
                // Not in step with other servers.
                let share = 0.5 + rand::random::<f64>() / 2.0;
                tokio::time::sleep(self.keep.every.mul_f64(share)).await;
            }
        };
        soft.run_until_cancelled(forever).await;
        Ok(())
    }

    async fn prune_audit(&self) -> Result<(), StoreError> {
        let pruned = self.store.prune_audit(self.keep.audit).await?;
        if pruned > 0 {
            tracing::info!(pruned, "forgot {pruned} old records of the audit");
        }
        Ok(())
    }

    async fn prune_requests(&self) -> Result<(), StoreError> {
        let pruned = self.store.prune_requests().await?;
        if pruned > 0 {
            tracing::info!(pruned, "forgot {pruned} old answers to requests");
        }
        Ok(())
    }

    async fn compact(&self) -> Result<(), StoreError> {
        if !self.keep.forgets() {
            return Ok(());
        }
        let snapshot = self.replica.snapshot();
        let head = snapshot.stamp().revision;
        let Some(floor) = oldest_kept(self.keep, &*self.store, head).await? else {
            return Ok(());
        };
        if floor <= snapshot.floor() {
            return Ok(());
        }
        self.store.compact(floor).await?;
        self.replica.forget(floor);
        tracing::info!(%floor, "forgot history before revision {floor}");
        Ok(())
    }
}

/// The oldest revision that either setting asks for; `None` if all are kept.
async fn oldest_kept(
    keep: Keep,
    store: &dyn Store,
    head: Revision,
) -> Result<Option<Revision>, StoreError> {
    let by_age = match keep.history {
        Some(age) => Some(store.newest_older_than(age).await?),
        None => None,
    };
    let by_count = (keep.revisions).map(|count| Revision((head.0 + 1).saturating_sub(count.get())));
    Ok(match (by_age, by_count) {
        (Some(by_age), Some(by_count)) => Some(by_age.min(by_count)),
        (by_age, by_count) => by_age.or(by_count),
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use chameleon_model::{Key, Operation, Transaction};
    use test_kit::eventually;

    use super::*;

    #[tokio::test]
    async fn what_either_setting_asks_for_is_kept() {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let mut state = store.load().await.unwrap();
        for value in ["1", "2", "3", "4"] {
            let put = Operation::Put {
                key: Key::new("a").unwrap(),
                value: value.into(),
                flags: 0,
            };
            let transaction = Transaction {
                operations: vec![put],
                ..Transaction::default()
            };
            state = (store.commit(&state, vec![transaction]).await.unwrap()).snapshot;
        }
        let head = state.stamp().revision;
        eventually("all are older than nothing", async || {
            let newest = store.newest_older_than(Duration::ZERO).await.unwrap();
            (newest == head).then_some(())
        })
        .await;
        let (hour, nothing) = (Some(Duration::from_hours(1)), Some(Duration::ZERO));
        for (history, revisions, oldest) in [
            (None, 0, None),
            (hour, 0, Some(0)),
            (nothing, 0, Some(4)),
            (None, 1, Some(4)),
            (None, 3, Some(2)),
            (None, 9, Some(0)),
            (hour, 1, Some(0)),
            (nothing, 3, Some(2)),
        ] {
            let keep = Keep {
                history,
                revisions: NonZeroU64::new(revisions),
                ..Keep::default()
            };
            let found = oldest_kept(keep, &*store, head).await.unwrap();
            assert_eq!(found, oldest.map(Revision), "{keep:?}");
        }
    }
}
