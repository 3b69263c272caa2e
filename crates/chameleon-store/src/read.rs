//! The queries that both databases answer alike.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{
    Change, Commit, HoldChange, Known, Operation, Prefix, Revision, Scope, Session, SessionChange,
    SessionId, Snapshot, SnapshotParts, SourceMarker, Stamp, Transaction,
};

use crate::backend::{Argument, Sql, Tx};
use crate::records::{epoch_number, number};
use crate::rows::{
    self, ChangeRow, Head, HeadRow, HoldRow, LockDelayRow, RenewalRow, RevisionRow, SessionRow,
    SourceRow, StampRow, TombstoneRow, TransactionRow,
};
use crate::{Changes, HistoryQuery, REPLAY_LIMIT, StoreError, requests};

macro_rules! transactions {
    ($where:literal) => {
        concat!(
            "SELECT revision, epoch, tag, at_micros, request_id, author, message, via, repository, \
             branch, git_commit, source_name, source_expected, source_commit, source_profiles, \
             stages FROM transactions WHERE ",
            $where
        )
    };
}

macro_rules! changes {
    ($rest:literal) => {
        concat!(
            "SELECT c.key, c.revision, c.value, c.flags, c.create_revision, c.lock_index, \
             c.session, c.owner FROM ",
            $rest
        )
    };
}

macro_rules! sessions {
    ($rest:literal) => {
        concat!(
            "SELECT c.session, c.revision, c.live, c.name, c.behavior, c.ttl_nanos, \
             c.lock_delay_nanos, c.create_revision, c.opened_by FROM session_changes c ",
            $rest
        )
    };
}

macro_rules! holds {
    ($rest:literal) => {
        concat!(
            "SELECT c.key, c.revision, c.held, c.source, c.git_value, c.git_flags, \
             c.against_value, c.against_flags, c.author, c.reason, c.since_micros, \
             c.expires_micros FROM hold_changes c ",
            $rest
        )
    };
}

pub(crate) async fn head<T: Tx>(tx: &mut T) -> Result<Head, StoreError> {
    let rows: Vec<HeadRow> = tx.rows(T::HEAD, Vec::new()).await?;
    let row = (rows.into_iter().next())
        .ok_or_else(|| StoreError::Damaged("table `head` has no row".to_owned()))?;
    row.try_into()
}

/// The newest change of each live key, which SQLite finds in this order of the tables without going
/// through the history.
const LIVE: &str = changes!(
    "latest l CROSS JOIN changes c \
     WHERE c.key = l.key AND c.revision = l.revision AND NOT l.deleted"
);

/// The newest state.
pub(crate) async fn newest<T: Tx>(tx: &mut T) -> Result<Snapshot, StoreError> {
    let head = head(tx).await?;
    let tombstones = "SELECT key, revision FROM latest WHERE deleted AND revision > $1";
    let sessions =
        sessions!("JOIN sessions l ON c.session = l.session AND c.revision = l.revision");
    let sessions_changed = "SELECT COALESCE(max(revision), 0) AS revision FROM session_changes";
    let holds = holds!("JOIN holds l ON c.key = l.key AND c.revision = l.revision");
    let floor = Argument::Number(number(head.floor));
    let parts = Parts {
        changes: tx.rows(LIVE, Vec::new()).await?,
        tombstones: tx.rows(tombstones, vec![floor]).await?,
        sessions: tx.rows(sessions, Vec::new()).await?,
        sessions_changed: tx.rows(sessions_changed, Vec::new()).await?,
        holds: tx.rows(holds, Vec::new()).await?,
    };
    parts.snapshot(head.stamp, head.floor)
}

/// The state as it was at `revision`.
pub(crate) async fn state_at<T: Tx>(
    tx: &mut T,
    revision: Revision,
) -> Result<Snapshot, StoreError> {
    let head = head(tx).await?;
    if revision < head.floor || revision > head.stamp.revision {
        return Err(StoreError::NoSuchRevision(revision));
    }
    let stamp = stamp_of(tx, revision).await?;
    let changes = changes!(
        "changes c \
         JOIN (SELECT key, max(revision) AS revision FROM changes WHERE revision <= $1 GROUP BY key) l \
         ON c.key = l.key AND c.revision = l.revision"
    );
    let sessions = sessions!(
        "JOIN (SELECT session, max(revision) AS revision FROM session_changes WHERE revision <= $1 \
         GROUP BY session) l ON c.session = l.session AND c.revision = l.revision WHERE c.live"
    );
    let sessions_changed =
        "SELECT COALESCE(max(revision), 0) AS revision FROM session_changes WHERE revision <= $1";
    let holds = holds!(
        "JOIN (SELECT key, max(revision) AS revision FROM hold_changes WHERE revision <= $1 \
         GROUP BY key) l ON c.key = l.key AND c.revision = l.revision WHERE c.held"
    );
    let at = Argument::Number(number(revision));
    let parts = Parts {
        changes: tx.rows(changes, vec![at.clone()]).await?,
        tombstones: Vec::new(),
        sessions: tx.rows(sessions, vec![at.clone()]).await?,
        sessions_changed: tx.rows(sessions_changed, vec![at.clone()]).await?,
        holds: tx.rows(holds, vec![at]).await?,
    };
    parts.snapshot(stamp, head.floor)
}

/// The revision before the first kept one that is younger than `age`: the look begins at the oldest,
/// because with regular compaction only a few are older.
pub(crate) async fn newest_older_than<T: Tx>(
    tx: &mut T,
    age: Duration,
) -> Result<Revision, StoreError> {
    let head = head(tx).await?;
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let younger = "SELECT revision FROM transactions WHERE revision > $1 AND at_micros >= $2 \
                   ORDER BY revision LIMIT 1";
    let from = vec![
        Argument::Number(number(head.floor)),
        Argument::Number(head.now.0.saturating_sub(age)),
    ];
    let rows: Vec<RevisionRow> = tx.rows(younger, from).await?;
    match rows.first() {
        Some(row) => rows::revision(row.revision - 1),
        None => Ok(head.stamp.revision),
    }
}

struct Parts {
    changes: Vec<ChangeRow>,
    tombstones: Vec<TombstoneRow>,
    sessions: Vec<SessionRow>,
    sessions_changed: Vec<RevisionRow>,
    holds: Vec<HoldRow>,
}

impl Parts {
    fn snapshot(self, stamp: Stamp, floor: Revision) -> Result<Snapshot, StoreError> {
        let mut parts = SnapshotParts {
            stamp,
            floor,
            tombstones: (self.tombstones.into_iter())
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            entries: Vec::with_capacity(self.changes.len()),
            sessions: Vec::new(),
            holds: Vec::new(),
            sessions_changed: match self.sessions_changed.first() {
                Some(row) => rows::revision(row.revision)?,
                None => Revision::ZERO,
            },
        };
        for row in self.changes {
            let revision = rows::revision(row.revision)?;
            match row.try_into()? {
                Change::Put(entry) => parts.entries.push(Arc::unwrap_or_clone(entry)),
                Change::Delete(key) if revision > floor => parts.tombstones.push((key, revision)),
                Change::Delete(_) => {}
            }
        }
        for row in self.sessions {
            if let SessionChange::Opened(session) = row.try_into()? {
                parts.sessions.push(Arc::unwrap_or_clone(session));
            }
        }
        for row in self.holds {
            if let HoldChange::Put(hold) = row.try_into()? {
                parts.holds.push(Arc::unwrap_or_clone(hold));
            }
        }
        Ok(parts.into())
    }
}

/// The name of the state at a kept revision: that of the last epoch which began there, if any did.
async fn stamp_of<T: Tx>(tx: &mut T, revision: Revision) -> Result<Stamp, StoreError> {
    let names = "SELECT epoch, revision, tag FROM transactions WHERE revision = $1 \
                 UNION ALL SELECT epoch, revision, tag FROM epochs WHERE revision = $1 \
                 ORDER BY epoch DESC";
    let at = Argument::Number(number(revision));
    let rows: Vec<StampRow> = tx.rows(names, vec![at]).await?;
    (rows.into_iter().next())
        .ok_or(StoreError::NoSuchRevision(revision))?
        .try_into()
}

/// The way from `from` to the head.
pub(crate) async fn way_from<T: Tx>(
    tx: &mut T,
    from: Stamp,
    head: &Head,
) -> Result<Changes, StoreError> {
    if from == head.stamp {
        return Ok(Changes::Since(Vec::new()));
    }
    if from.epoch != head.stamp.epoch || from.revision >= head.stamp.revision {
        return Ok(Changes::OtherLineage);
    }
    if from.revision < head.floor {
        return Ok(Changes::Compacted);
    }
    if !is_ours(tx, from).await? {
        return Ok(Changes::OtherLineage);
    }
    if head.stamp.revision.0 - from.revision.0 > REPLAY_LIMIT {
        return Ok(Changes::Compacted);
    }
    let range = vec![
        Argument::Number(number(from.revision)),
        Argument::Number(number(head.stamp.revision)),
    ];
    let commits = commits(
        tx,
        transactions!("revision > $1 AND revision <= $2"),
        changes!("changes c WHERE c.revision > $1 AND c.revision <= $2 ORDER BY c.revision, c.key"),
        sessions!("WHERE c.revision > $1 AND c.revision <= $2 ORDER BY c.revision, c.session"),
        holds!("WHERE c.revision > $1 AND c.revision <= $2 ORDER BY c.revision, c.key"),
        range,
    );
    Ok(Changes::Since(commits.await?))
}

/// Says whether this database went through the state that `stamp` names.
async fn is_ours<T: Tx>(tx: &mut T, stamp: Stamp) -> Result<bool, StoreError> {
    let ours = "SELECT revision FROM transactions WHERE revision = $1 AND epoch = $2 AND tag = $3 \
                UNION ALL \
                SELECT revision FROM epochs WHERE revision = $1 AND epoch = $2 AND tag = $3";
    let name = vec![
        Argument::Number(number(stamp.revision)),
        Argument::Number(epoch_number(stamp.epoch)),
        Argument::Number(stamp.tag.0.cast_signed()),
    ];
    let rows: Vec<RevisionRow> = tx.rows(ours, name).await?;
    Ok(!rows.is_empty())
}

/// Past commits, newest first.
pub(crate) async fn history<T: Tx>(
    tx: &mut T,
    query: &HistoryQuery,
) -> Result<Vec<Arc<Commit>>, StoreError> {
    let floor = head(tx).await?.floor;
    let Some((sql, arguments)) = selection(query, floor) else {
        return Ok(Vec::new());
    };
    let picked: Vec<RevisionRow> = tx.rows(sql, arguments).await?;
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    // Numbers need no escaping, and as constants they let the database plan for just these.
    let mut list = String::new();
    for row in &picked {
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}{}", row.revision);
    }
    let mut found = commits(
        tx,
        format!(transactions!("revision IN ({})"), list),
        format!(
            changes!("changes c WHERE c.revision IN ({}) ORDER BY c.revision, c.key"),
            list
        ),
        format!(
            sessions!("WHERE c.revision IN ({}) ORDER BY c.revision, c.session"),
            list
        ),
        format!(
            holds!("WHERE c.revision IN ({}) ORDER BY c.revision, c.key"),
            list
        ),
        Vec::new(),
    )
    .await?;
    found.reverse();
    Ok(found)
}

/// The query for the revisions that `query` asks for; `None` where no key can match.
fn selection(query: &HistoryQuery, floor: Revision) -> Option<(String, Vec<Argument>)> {
    let before = query.before.unwrap_or(Revision(u64::MAX));
    let mut arguments = vec![
        Argument::Number(number(floor)),
        Argument::Number(number(before)),
        Argument::Number(i64::from(query.limit)),
    ];
    let mut sql =
        "SELECT revision FROM transactions WHERE revision >= $1 AND revision < $2".to_owned();
    if let Some(key) = &query.key {
        arguments.push(Argument::Text(key.as_str().to_owned()));
        touching(&mut sql, &format!("key = ${}", arguments.len()));
    }
    if let Some(prefix) = &query.prefix {
        // Keys have no control characters, and Postgres refuses some in its text.
        if prefix.as_str().chars().any(char::is_control) {
            return None;
        }
        if !prefix.as_str().is_empty() {
            arguments.push(Argument::Text(prefix.as_str().to_owned()));
            let mut under = format!("key >= ${}", arguments.len());
            if let Some(end) = end_of(prefix) {
                arguments.push(Argument::Text(end));
                let _ = write!(under, " AND key < ${}", arguments.len());
            }
            touching(&mut sql, &under);
        }
    }
    if let Some(scopes) = &query.within {
        let mut any = Vec::with_capacity(scopes.len());
        for scope in scopes {
            any.push(condition(scope, &mut arguments));
        }
        // Nothing lies in no scope.
        let any = if any.is_empty() {
            "1 = 0".to_owned()
        } else {
            any.join(" OR ")
        };
        touching(&mut sql, &any);
    }
    sql.push_str(" ORDER BY revision DESC LIMIT $3");
    Some((sql, arguments))
}

/// Adds that a transaction has changed a key, or its hold, that meets `condition`.
fn touching(sql: &mut String, condition: &str) {
    let _ = write!(
        sql,
        " AND revision IN (SELECT revision FROM changes WHERE {condition} \
         UNION ALL SELECT revision FROM hold_changes WHERE {condition})"
    );
}

/// The condition on a change's key to lie in `scope`.
fn condition(scope: &Scope, arguments: &mut Vec<Argument>) -> String {
    let mut bind = |text: String| {
        arguments.push(Argument::Text(text));
        arguments.len()
    };
    let start = bind(scope.as_str().to_owned());
    match scope.prefix().map(end_of) {
        None => format!("key = ${start}"),
        Some(None) => format!("key >= ${start}"),
        Some(Some(end)) => format!("(key >= ${start} AND key < ${})", bind(end)),
    }
}

/// The least text above all that begin with `prefix`, in bytewise order; `None` if there is none.
pub(crate) fn end_of(prefix: &Prefix) -> Option<String> {
    let mut text = prefix.as_str().to_owned();
    while let Some(last) = text.pop() {
        // The next character, past the gap that surrogates leave.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

async fn commits<T: Tx>(
    tx: &mut T,
    transactions: impl Into<Sql> + Send,
    changes: impl Into<Sql> + Send,
    sessions: impl Into<Sql> + Send,
    holds: impl Into<Sql> + Send,
    arguments: Vec<Argument>,
) -> Result<Vec<Arc<Commit>>, StoreError> {
    let transactions: Vec<TransactionRow> = tx.rows(transactions, arguments.clone()).await?;
    let changes: Vec<ChangeRow> = tx.rows(changes, arguments.clone()).await?;
    let sessions: Vec<SessionRow> = tx.rows(sessions, arguments.clone()).await?;
    let holds: Vec<HoldRow> = tx.rows(holds, arguments).await?;
    rows::commits(transactions, changes, sessions, holds)
}

/// What the database knows of the sources and requests that `group` names.
pub(crate) async fn known<T: Tx>(
    tx: &mut T,
    group: &[Transaction],
    head: &Head,
) -> Result<Known, StoreError> {
    let mut known = Known {
        now: head.now,
        ..Known::default()
    };
    if group.iter().any(|transaction| transaction.source.is_some()) {
        let markers = sources(tx).await?;
        known.markers = (markers.into_iter())
            .map(|marker| (marker.name, marker.commit))
            .collect();
    }
    if group.iter().any(takes_a_lock) {
        let running = "SELECT key, until_micros FROM lock_delays WHERE until_micros > $1";
        let now = Argument::Number(head.now.0);
        let rows: Vec<LockDelayRow> = tx.rows(running, vec![now]).await?;
        for row in rows {
            let (key, until) = row.try_into()?;
            known.lock_delays.insert(key, until);
        }
    }
    let ids: BTreeSet<_> = group.iter().filter_map(|one| one.request_id).collect();
    let ids: Vec<_> = ids.into_iter().map(|id| id.0).collect();
    known.answered = requests::answered(tx, &ids).await?;
    Ok(known)
}

/// Says whether a transaction is decided by the snapshot alone, but for its request: by nothing that
/// changes without a commit, and not by the time.
pub(crate) fn is_decided_by_snapshot(transaction: &Transaction) -> bool {
    let by_time = (transaction.operations.iter())
        .any(|operation| matches!(operation, Operation::Lock { .. } | Operation::EndSession(_)));
    transaction.source.is_none() && !by_time
}

fn takes_a_lock(transaction: &Transaction) -> bool {
    (transaction.operations.iter()).any(|operation| matches!(operation, Operation::Lock { .. }))
}

/// A live session.
pub(crate) async fn session<T: Tx>(
    tx: &mut T,
    id: SessionId,
) -> Result<Option<Arc<Session>>, StoreError> {
    let one = sessions!(
        "JOIN sessions l ON c.session = l.session AND c.revision = l.revision WHERE l.session = $1"
    );
    let rows: Vec<SessionRow> = tx.rows(one, vec![Argument::Id(id.0)]).await?;
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    Ok(match row.try_into()? {
        SessionChange::Opened(session) => Some(session),
        SessionChange::Ended(_) => None,
    })
}

/// The sessions that have not been renewed for twice their time to live, as Consul waits, and that
/// could have been: their life fits into `renewable`.
pub(crate) async fn overdue<T: Tx>(
    tx: &mut T,
    head: &Head,
    renewable_micros: i64,
) -> Result<Vec<RenewalRow>, StoreError> {
    let overdue = "SELECT l.session, l.renewed_micros FROM sessions l \
                   JOIN session_changes c ON c.session = l.session AND c.revision = l.revision \
                   WHERE c.ttl_nanos / 500 <= $1 - l.renewed_micros AND c.ttl_nanos / 500 <= $2";
    let limits = vec![
        Argument::Number(head.now.0),
        Argument::Number(renewable_micros),
    ];
    Ok(tx.rows(overdue, limits).await?)
}

/// The applied commits of all sources, by name.
pub(crate) async fn sources<T: Tx>(tx: &mut T) -> Result<Vec<SourceMarker>, StoreError> {
    let sources = "SELECT name, git_commit, profiles, epoch, revision, tag, at_micros FROM sources \
                   ORDER BY name";
    let rows: Vec<SourceRow> = tx.rows(sources, Vec::new()).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

#[cfg(test)]
mod tests {
    use chameleon_model::Key;

    use super::*;
    use crate::SqliteStore;
    use crate::backend::Backend as _;

    #[tokio::test]
    async fn the_newest_state_is_found_without_its_history() {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let mut tx = store.begin_read().await.unwrap();
        let plan = format!("EXPLAIN QUERY PLAN {LIVE}");
        let steps: Vec<(i64, i64, i64, String)> = tx.rows(plan, Vec::new()).await.unwrap();
        let steps: Vec<_> = steps.into_iter().map(|(.., step)| step).collect();
        assert_eq!(
            steps,
            [
                "SCAN l",
                "SEARCH c USING INDEX sqlite_autoindex_changes_1 (key=? AND revision=?)"
            ]
        );
    }

    #[test]
    fn a_prefix_ends_where_the_next_text_begins() {
        for (prefix, end) in [
            ("config/", Some("config0")),
            ("a", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(end_of(&Prefix::new(prefix)).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_selection_binds_what_it_names() {
        let query = HistoryQuery {
            key: Some(Key::new("a/b").unwrap()),
            prefix: Some(Prefix::new("a/")),
            within: Some(vec![Scope::new("a/").unwrap(), Scope::new("a/c").unwrap()]),
            before: Some(Revision(9)),
            limit: 5,
        };
        let (sql, arguments) = selection(&query, Revision(2)).unwrap();
        assert_eq!(arguments.len(), 9);
        for n in 1..=9 {
            assert!(sql.contains(&format!("${n}")), "{sql}");
        }
    }

    #[test]
    fn no_key_has_a_prefix_with_a_control_character() {
        let query = HistoryQuery {
            prefix: Some(Prefix::new("a\0")),
            ..HistoryQuery::default()
        };
        assert!(selection(&query, Revision::ZERO).is_none());
    }
}
