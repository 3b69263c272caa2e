//! The verbs of the contract, once for both databases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chameleon_model::{
    AuditQuery, AuditReader, AuditRecord, Commit, Decided, Epoch, Known, Operation, Origin,
    Revision, Session, SessionId, Snapshot, SourceMarker, Stamp, Tag, Token, TokenHash, TokenName,
    Transaction, decide,
};

use crate::backend::{Argument, Backend, Tx};
use crate::board::Board;
use crate::failure::within;
use crate::records::{Batch, epoch_number, number};
use crate::rows::Head;
use crate::{
    Changes, Committed, HistoryQuery, NewToken, Notice, Notifications, Store, StoreError, audit,
    clean, read, requests, steps, tokens,
};

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

    async fn newest_older_than(&self, age: Duration) -> Result<Revision, StoreError> {
        within(self.patience().bulk, async {
            read::newest_older_than(&mut self.begin_read().await?, age).await
        })
        .await
    }

    async fn compact(&self, floor: Revision) -> Result<(), StoreError> {
        within(self.patience().bulk, compact(self, floor)).await
    }

    async fn begin_epoch(&self, found: Stamp, above: Epoch) -> Result<Stamp, StoreError> {
        within(self.patience().verb, begin_epoch(self, found, above)).await
    }

    async fn renew_session(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        within(self.patience().verb, renew(self, id)).await
    }

    async fn end_overdue_sessions(
        &self,
        base: &Snapshot,
        renewable: Duration,
    ) -> Result<Committed, StoreError> {
        within(self.patience().verb, end_overdue(self, base, renewable)).await
    }

    async fn prune_requests(&self) -> Result<u64, StoreError> {
        within(self.patience().bulk, requests::prune(self)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        within(self.patience().verb, tokens::all(self)).await
    }

    async fn create_token(&self, token: NewToken) -> Result<Option<Token>, StoreError> {
        within(self.patience().verb, tokens::create(self, token)).await
    }

    async fn rotate_token(
        &self,
        name: &TokenName,
        hash: TokenHash,
        grace: Duration,
    ) -> Result<Option<Token>, StoreError> {
        within(
            self.patience().verb,
            tokens::rotate(self, name, hash, grace),
        )
        .await
    }

    async fn revoke_token(&self, name: &TokenName) -> Result<bool, StoreError> {
        within(self.patience().verb, tokens::revoke(self, name)).await
    }

    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        within(self.patience().verb, audit::append(self, records)).await
    }

    async fn audit(
        &self,
        query: &AuditQuery,
        reader: &AuditReader,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        within(self.patience().verb, audit::find(self, query, reader)).await
    }

    async fn prune_audit(&self, age: Duration) -> Result<u64, StoreError> {
        within(self.patience().bulk, audit::prune(self, age)).await
    }

    async fn board(&self) -> Result<Option<Arc<dyn Board>>, StoreError> {
        Ok(Backend::board(self))
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
    if let Some(committed) = commit_at_once(store, base, &group).await? {
        return Ok(committed);
    }
    let mut tx = store.begin_write().await?;
    let head = read::head(&mut tx).await?;
    commit_locked(store, tx, &head, base, group).await
}

/// The most transactions that are committed at once: a larger group does not mind a few more round
/// trips, and all databases bound the number of requests that one query can ask for.
const AT_ONCE: usize = 1_000;

/// Commits `group` in one round trip, where `base` is the head and tells all that decides.
///
/// The usual commit is one of these. `None` where it is not: nothing is written then, and it takes
/// the head's lock to decide.
async fn commit_at_once(
    store: &impl Backend,
    base: &Snapshot,
    group: &[Transaction],
) -> Result<Option<Committed>, StoreError> {
    if group.len() > AT_ONCE || !group.iter().all(read::is_decided_by_snapshot) {
        return Ok(None);
    }
    // The time is not known yet. It decides nothing here, and the commits get it below.
    let mut decided = decide(base, group.to_vec(), Known::default(), new_tag);
    // Whoever holds a key does so from the time on that the database tells.
    if decided
        .commits
        .iter()
        .any(|commit| !commit.holds.is_empty())
    {
        return Ok(None);
    }
    let batch = Batch::of(base.stamp(), &decided);
    if !batch.moves_head() {
        return Ok(None);
    }
    // Also of those that are refused on this state: their first outcome may have been another.
    let asked: Vec<_> = (group.iter())
        .filter_map(|one| one.request_id.map(|id| id.0))
        .collect();
    let Some(at) = store.write_at_once(&batch, &asked).await? else {
        return Ok(None);
    };
    store.wake(Notice::Head(decided.snapshot.stamp()));
    drop(batch);
    for commit in &mut decided.commits {
        Arc::make_mut(commit).at = at;
    }
    Ok(Some(committed(Vec::new(), decided)))
}

/// Commits `group` in a transaction that holds the head's lock.
async fn commit_locked<B: Backend>(
    store: &B,
    mut tx: B::Tx,
    head: &Head,
    base: &Snapshot,
    group: Vec<Transaction>,
) -> Result<Committed, StoreError> {
    let Changes::Since(missed) = read::way_from(&mut tx, base.stamp(), head).await? else {
        return Err(StoreError::BaseLost { held: base.stamp() });
    };
    let base = replay(base, &missed)?;
    let known = read::known(&mut tx, &group, head).await?;
    let decided = decide(&base, group, known, new_tag);
    let batch = Batch::of(base.stamp(), &decided);
    if !batch.is_empty() {
        if !tx.write(&batch, head.now).await? {
            return Err(StoreError::Damaged(
                "the kept commits do not lead to the head".to_owned(),
            ));
        }
        tx.commit().await?;
    }
    if batch.moves_head() {
        store.wake(Notice::Head(decided.snapshot.stamp()));
    }
    drop(batch);
    Ok(committed(missed, decided))
}

async fn renew(store: &impl Backend, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
    let mut tx = store.begin_beside().await?;
    let now = Argument::Number(read::head(&mut tx).await?.now.0);
    // Never back: of two renewals the one that waited for the other may carry the earlier time.
    let renew =
        "UPDATE sessions SET renewed_micros = $1 WHERE session = $2 AND renewed_micros < $1";
    tx.run(renew, vec![now, Argument::Id(id.0)]).await?;
    let session = read::session(&mut tx, id).await?;
    tx.commit().await?;
    Ok(session)
}

async fn end_overdue(
    store: &impl Backend,
    base: &Snapshot,
    renewable: Duration,
) -> Result<Committed, StoreError> {
    let renewable = i64::try_from(renewable.as_micros()).unwrap_or(i64::MAX);
    // Looked for without the lock first: mostly there are none.
    let mut tx = store.begin_read().await?;
    let head = read::head(&mut tx).await?;
    let none = read::overdue(&mut tx, &head, renewable).await?.is_empty();
    drop(tx);
    if none {
        return Ok(Committed {
            outcomes: Vec::new(),
            commits: Vec::new(),
            snapshot: base.clone(),
        });
    }
    let mut tx = store.begin_write().await?;
    let head = read::head(&mut tx).await?;
    let mut operations = Vec::new();
    for row in read::overdue(&mut tx, &head, renewable).await? {
        // Holds the row until the end: a renewal at the same moment either comes first, and the
        // session lives, or finds that it has ended.
        let hold = "UPDATE sessions SET renewed_micros = renewed_micros \
                    WHERE session = $1 AND renewed_micros = $2";
        let same = vec![
            Argument::Id(row.session),
            Argument::Number(row.renewed_micros),
        ];
        if tx.run(hold, same).await? > 0 {
            operations.push(Operation::EndSession(SessionId(row.session)));
        }
    }
    let end = Transaction {
        operations,
        origin: Origin {
            author: "chameleon".to_owned(),
            message: "Sessions were not renewed in time".to_owned(),
            via: "expiry".to_owned(),
            ..Origin::default()
        },
        ..Transaction::default()
    };
    commit_locked(store, tx, &head, base, vec![end]).await
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
    store.wake(Notice::Look);
    Ok(stamp)
}

/// Deletes what no state from `$1` on needs, `$2` rows at a time.
///
/// The order matters: were a deletion forgotten before the values that it ended, these would be
/// live again.
const COMPACTION: [&str; 8] = [
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
    "DELETE FROM hold_changes WHERE (key, revision) IN (\
     SELECT c.key, c.revision FROM hold_changes c WHERE c.revision < $1 AND EXISTS (\
     SELECT 1 FROM hold_changes n WHERE n.key = c.key AND n.revision > c.revision \
     AND n.revision <= $1) LIMIT $2)",
    "DELETE FROM hold_changes WHERE (key, revision) IN (\
     SELECT key, revision FROM hold_changes WHERE revision < $1 AND NOT held LIMIT $2)",
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
        steps::delete(store, statement, vec![floor.clone()]).await?;
    }
    Ok(())
}
