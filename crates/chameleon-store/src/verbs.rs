//! The verbs of the contract, once for both databases.

use std::sync::Arc;

use async_trait::async_trait;
use chameleon_model::{
    Commit, Decided, Epoch, Revision, Snapshot, SourceMarker, Stamp, Tag, Transaction, decide,
};

use crate::backend::{Argument, Backend, Tx};
use crate::failure::within;
use crate::records::{Batch, epoch_number, number};
use crate::{Changes, Committed, HistoryQuery, Notifications, Store, StoreError, clean, read};

#[async_trait]
impl<B: Backend> Store for B {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        within(self.patience().bulk, async {
            read::newest(&mut self.begin_read().await?).await
        })
        .await
    }

    async fn commit(
        &self,
        base: &Snapshot,
        group: Vec<Transaction>,
    ) -> Result<Committed, StoreError> {
        within(self.patience().verb, commit(self, base, group)).await
    }

    async fn changes_since(&self, stamp: Stamp) -> Result<Changes, StoreError> {
        within(self.patience().verb, async {
            let mut tx = self.begin_read().await?;
            let head = read::head(&mut tx).await?;
            read::way_from(&mut tx, stamp, &head).await
        })
        .await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Arc<Commit>>, StoreError> {
        within(self.patience().verb, async {
            read::history(&mut self.begin_read().await?, query).await
        })
        .await
    }

    async fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, StoreError> {
        within(self.patience().bulk, async {
            read::state_at(&mut self.begin_read().await?, revision).await
        })
        .await
    }

    async fn sources(&self) -> Result<Vec<SourceMarker>, StoreError> {
        within(self.patience().verb, async {
            read::sources(&mut self.begin_read().await?).await
        })
        .await
    }

    async fn compact(&self, floor: Revision) -> Result<(), StoreError> {
        within(self.patience().bulk, compact(self, floor)).await
    }

    async fn begin_epoch(&self, found: Stamp, above: Epoch) -> Result<Stamp, StoreError> {
        within(self.patience().verb, begin_epoch(self, found, above)).await
    }

    fn notifications(&self) -> Notifications {
        self.follow()
    }
}

async fn commit(
    store: &impl Backend,
    base: &Snapshot,
    mut group: Vec<Transaction>,
) -> Result<Committed, StoreError> {
    group.iter_mut().for_each(clean::transaction);
    let mut tx = store.begin_write().await?;
    let head = read::head(&mut tx).await?;
    let Changes::Since(missed) = read::way_from(&mut tx, base.stamp(), &head).await? else {
        return Err(StoreError::BaseLost { held: base.stamp() });
    };
    let base = replay(base, &missed)?;
    let known = read::known(&mut tx, &group, &head).await?;
    let decided = decide(&base, group, known, new_tag);
    let batch = Batch::of(&decided, head.now);
    if !batch.is_empty() {
        tx.write(&batch).await?;
        tx.commit().await?;
    }
    if batch.head.is_some() {
        store.wake();
    }
    drop(batch);
    Ok(committed(missed, decided))
}

fn replay(base: &Snapshot, missed: &[Arc<Commit>]) -> Result<Snapshot, StoreError> {
    missed.iter().try_fold(base.clone(), |state, commit| {
        (state.apply(commit)).map_err(|gap| StoreError::Damaged(gap.to_string()))
    })
}

fn committed(mut missed: Vec<Arc<Commit>>, decided: Decided) -> Committed {
    missed.extend(decided.commits);
    Committed {
        outcomes: decided.outcomes,
        commits: missed,
        snapshot: decided.snapshot,
    }
}

fn new_tag() -> Tag {
    Tag(rand::random())
}

async fn begin_epoch(
    store: &impl Backend,
    found: Stamp,
    above: Epoch,
) -> Result<Stamp, StoreError> {
    let mut tx = store.begin_write().await?;
    let head = read::head(&mut tx).await?;
    if head.stamp != found {
        return Err(StoreError::BaseLost { held: found });
    }
    let stamp = Stamp {
        epoch: Epoch(found.epoch.max(above).0 + 1),
        revision: found.revision,
        tag: new_tag(),
    };
    let epoch = Argument::Number(epoch_number(stamp.epoch));
    let tag = Argument::Number(stamp.tag.0.cast_signed());
    let began = vec![
        epoch.clone(),
        Argument::Number(number(stamp.revision)),
        tag.clone(),
        Argument::Number(head.now.0),
    ];
    let insert = "INSERT INTO epochs (epoch, revision, tag, began_micros) VALUES ($1, $2, $3, $4)";
    tx.run(insert, began).await?;
    tx.run("UPDATE head SET epoch = $1, tag = $2", vec![epoch, tag])
        .await?;
    tx.notify().await?;
    tx.commit().await?;
    store.wake();
    Ok(stamp)
}

/// The rows that a step of a compaction deletes, so that no transaction lasts long.
const STEP: u64 = 10_000;

/// Deletes what no state from `$1` on needs, `$2` rows at a time.
///
/// The order matters: were a deletion forgotten before the values that it ended, these would be
/// live again.
const COMPACTION: [&str; 6] = [
    "DELETE FROM transactions WHERE revision IN \
     (SELECT revision FROM transactions WHERE revision < $1 LIMIT $2)",
    "DELETE FROM changes WHERE (key, revision) IN (\
     SELECT c.key, c.revision FROM changes c WHERE c.revision < $1 AND EXISTS (\
     SELECT 1 FROM changes n WHERE n.key = c.key AND n.revision > c.revision AND n.revision <= $1) \
     LIMIT $2)",
    "DELETE FROM changes WHERE (key, revision) IN (\
     SELECT key, revision FROM changes WHERE revision < $1 AND value IS NULL LIMIT $2)",
    "DELETE FROM latest WHERE key IN (\
     SELECT key FROM latest WHERE deleted AND revision <= $1 LIMIT $2) \
     AND deleted AND revision <= $1",
    "DELETE FROM session_changes WHERE (session, revision) IN (\
     SELECT c.session, c.revision FROM session_changes c WHERE c.revision < $1 AND EXISTS (\
     SELECT 1 FROM session_changes n \
     WHERE n.session = c.session AND n.revision > c.revision AND n.revision <= $1) LIMIT $2)",
    "DELETE FROM session_changes WHERE (session, revision) IN (\
     SELECT session, revision FROM session_changes WHERE revision < $1 AND NOT live LIMIT $2)",
];

async fn compact(store: &impl Backend, floor: Revision) -> Result<(), StoreError> {
    let mut tx = store.begin_write().await?;
    let head = read::head(&mut tx).await?;
    if floor > head.stamp.revision {
        return Err(StoreError::NoSuchRevision(floor));
    }
    let floor = Argument::Number(number(floor.max(head.floor)));
    tx.run("UPDATE head SET floor = $1", vec![floor.clone()])
        .await?;
    tx.commit().await?;
    for statement in COMPACTION {
        loop {
            let mut tx = store.begin_delete().await?;
            let arguments = vec![floor.clone(), Argument::Number(number(Revision(STEP)))];
            let deleted = tx.run(statement, arguments).await?;
            tx.commit().await?;
            if deleted < STEP {
                break;
            }
        }
    }
    Ok(())
}
