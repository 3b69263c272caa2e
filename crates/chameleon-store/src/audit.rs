//! The audit: who did what, or was refused it. None of it takes a revision or wakes anybody.

use std::fmt::Write as _;
use std::time::Duration;

use chameleon_model::{
    AuditAction, AuditId, AuditOutcome, AuditQuery, AuditReader, AuditRecord, AuditTarget,
    AuditVerdict, Key, MAX_KEY_BYTES, Prefix, Timestamp,
};

use crate::backend::{Argument, Backend, Tx};
use crate::records::number;
use crate::rows::{self, AuditRow};
use crate::{StoreError, clean, read, steps};

/// How far the times of a record and of its id may differ: the clock is read twice, and may be set in
/// between. Ids of a clock that was set back further run ahead of the times, and are pruned later.
const SKEW: Duration = Duration::from_mins(1);

pub(crate) const COLUMNS: &str = "id, at_micros, who, dialect, peer, action, target_kind, target, \
                                  outcome, revision, times, detail";

pub(crate) async fn append(
    store: &impl Backend,
    records: &[AuditRecord],
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = records.iter().map(AuditRow::from).collect();
    Ok(store.append_at_once(&rows).await?)
}

pub(crate) async fn find(
    store: &impl Backend,
    query: &AuditQuery,
    reader: &AuditReader,
) -> Result<Vec<AuditRecord>, StoreError> {
    let (sql, arguments) = selection(query, reader);
    let rows: Vec<AuditRow> = store.begin_read().await?.rows(sql, arguments).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn prune(store: &impl Backend, age: Duration) -> Result<u64, StoreError> {
    let mut tx = store.begin_read().await?;
    let now = read::head(&mut tx).await?.now;
    drop(tx);
    prune_before(store, earlier(now, age)).await
}

/// Only ids below a bound are looked at, oldest first; among them the times decide. The bound is said
/// twice, or Postgres may look for what goes in the whole table.
const PRUNE: &str = "DELETE FROM audit WHERE id < $1 AND id IN \
     (SELECT id FROM audit WHERE id < $1 AND at_micros < $2 ORDER BY id LIMIT $3)";

async fn prune_before(store: &impl Backend, before: Timestamp) -> Result<u64, StoreError> {
    let AuditId(end) = AuditId::first_at(before.after(SKEW));
    let arguments = vec![Argument::Id(end), Argument::Number(before.0)];
    steps::delete(store, PRUNE, arguments).await
}

fn earlier(Timestamp(at): Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp(at.saturating_sub(micros))
}

/// A `WHERE` under construction.
#[derive(Default)]
struct Where {
    conditions: Vec<String>,
    arguments: Vec<Argument>,
}

impl Where {
    /// The place of one more argument.
    fn bind(&mut self, argument: Argument) -> String {
        self.arguments.push(argument);
        format!("${}", self.arguments.len())
    }

    fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        clean::text(&mut text);
        self.bind(Argument::Text(text))
    }

    fn and(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// The condition that a target begins with `prefix`.
    fn begins(&mut self, prefix: &Prefix) -> String {
        let start = self.text(prefix.as_str());
        match read::end_of(prefix) {
            None => format!("target >= {start}"),
            Some(end) => {
                let end = self.text(&end);
                format!("target >= {start} AND target < {end}")
            }
        }
    }

    /// The condition that a target is a prefix that covers all that begins with `text`.
    fn covers(&mut self, text: &str) -> String {
        let ends = (0..=text.len().min(MAX_KEY_BYTES)).filter(|end| text.is_char_boundary(*end));
        let places: Vec<_> = ends.map(|end| self.text(&text[..end])).collect();
        format!(
            "target_kind = 'prefix' AND target IN ({})",
            places.join(", ")
        )
    }

    fn about_key(&mut self, key: &Key) -> String {
        let (own, covers) = (self.text(key.as_str()), self.covers(key.as_str()));
        format!("((target_kind = 'key' AND target = {own}) OR ({covers}))")
    }

    /// What is said of keys under `prefix`, and of more that includes them.
    fn about_prefix(&mut self, prefix: &Prefix) -> String {
        let (within, covers) = (self.within(prefix), self.covers(prefix.as_str()));
        format!("({within} OR ({covers}))")
    }

    fn within(&mut self, prefix: &Prefix) -> String {
        let begins = self.begins(prefix);
        format!("(target_kind IN ('key', 'prefix') AND {begins})")
    }

    fn reader(&mut self, reader: &AuditReader) {
        let AuditReader::Token { name, scopes } = reader else {
            return;
        };
        let name = self.text(name);
        let mut any = vec![format!("who = {name}")];
        for scope in scopes {
            any.push(if let Some(prefix) = scope.prefix() {
                self.within(prefix)
            } else {
                let key = self.text(scope.as_str());
                format!("(target_kind = 'key' AND target = {key})")
            });
        }
        self.and(format!("({})", any.join(" OR ")));
    }
}

/// The query for the records that `query` asks for and `reader` may see.
fn selection(query: &AuditQuery, reader: &AuditReader) -> (String, Vec<Argument>) {
    let mut all = Where::default();
    let limit = all.bind(Argument::Number(i64::from(query.limit)));
    if let Some(who) = &query.who {
        let who = all.text(who);
        all.and(format!("who = {who}"));
    }
    if let Some(key) = &query.key {
        let about = all.about_key(key);
        all.and(about);
    }
    if let Some(prefix) = &query.prefix {
        let about = all.about_prefix(prefix);
        all.and(about);
    }
    all.conditions.extend(query.refused.map(|refused| {
        let verdicts = if refused {
            "outcome IN ('refused', 'turned_away', 'lost')"
        } else {
            "outcome NOT IN ('refused', 'turned_away')"
        };
        verdicts.to_owned()
    }));
    if let Some(since) = query.since {
        let AuditId(first) = AuditId::first_at(earlier(since, SKEW));
        let first = all.bind(Argument::Id(first));
        let since = all.bind(Argument::Number(since.0));
        all.and(format!("id >= {first} AND at_micros >= {since}"));
    }
    if let Some(AuditId(before)) = query.before {
        let before = all.bind(Argument::Id(before));
        all.and(format!("id < {before}"));
    }
    all.reader(reader);
    let mut sql = format!("SELECT {COLUMNS} FROM audit");
    for (index, condition) in all.conditions.iter().enumerate() {
        let joint = if index == 0 { "WHERE" } else { "AND" };
        let _ = write!(sql, " {joint} {condition}");
    }
    let _ = write!(sql, " ORDER BY id DESC LIMIT {limit}");
    (sql, all.arguments)
}

impl From<&AuditRecord> for AuditRow {
    fn from(record: &AuditRecord) -> Self {
        let (kind, target) = record.target.parts();
        let peer = record.peer.map(|peer| peer.to_string());
        Self {
            id: record.id.0,
            at_micros: record.at.0,
            who: clean::cleaned(&record.who),
            dialect: clean::cleaned(&record.dialect),
            // Empty where it is not known.
            peer: peer.unwrap_or_default(),
            action: record.action.name().to_owned(),
            target_kind: kind.to_owned(),
            target: clean::cleaned(&target),
            outcome: record.outcome.verdict.name().to_owned(),
            revision: record.outcome.revision.map(number),
            times: i64::try_from(record.times).unwrap_or(i64::MAX),
            detail: clean::cleaned(&record.detail),
        }
    }
}

impl TryFrom<AuditRow> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: AuditId(row.id),
            at: Timestamp(row.at_micros),
            who: row.who,
            dialect: row.dialect,
            // Empty where it is not known.
            peer: row.peer.parse().ok(),
            action: AuditAction::from_name(&row.action),
            target: AuditTarget::from_parts(&row.target_kind, &row.target),
            outcome: AuditOutcome {
                verdict: AuditVerdict::from_name(&row.outcome),
                revision: row.revision.map(rows::revision).transpose()?,
            },
            times: row.times.cast_unsigned(),
            detail: row.detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SqliteStore, Store};

    async fn store() -> SqliteStore {
        SqliteStore::open("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn pruning_ends_at_its_border() {
        let store = store().await;
        let border = 1_790_000_000_000_500;
        let skew = i64::try_from(SKEW.as_micros()).unwrap();
        // The times decide, whatever the ids are within the skew.
        let records = [
            (border - 1, -skew),
            (border - 1, 0),
            (border - 1, skew - 1_000),
            (border, -2 * skew),
            (border, 1_000),
            (border + 1, -skew - 1_000),
        ]
        .map(|(at, apart)| AuditRecord {
            id: AuditId::first_at(Timestamp(at + apart)),
            at: Timestamp(at),
            who: String::new(),
            dialect: String::new(),
            peer: None,
            action: AuditAction::Put,
            target: AuditTarget::Nothing,
            outcome: AuditVerdict::Done.into(),
            times: 1,
            detail: String::new(),
        });
        store.append_audit(&records).await.unwrap();
        assert_eq!(prune_before(&store, Timestamp(border)).await.unwrap(), 3);
        let query = AuditQuery {
            limit: 10,
            ..AuditQuery::default()
        };
        let left = Store::audit(&store, &query, &AuditReader::All).await;
        assert!(left.unwrap().iter().all(|one| one.at.0 >= border));
        assert_eq!(prune_before(&store, Timestamp(border)).await.unwrap(), 0);
        // Ids of times before there were any, and after the last one.
        assert_eq!(prune_before(&store, Timestamp(i64::MIN)).await.unwrap(), 0);
        assert_eq!(prune_before(&store, Timestamp(i64::MAX)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_time_is_looked_up_by_ids() {
        let store = store().await;
        let id = || Argument::Id(uuid::Uuid::nil());
        let pruning = vec![id(), Argument::Number(0), Argument::Number(1)];
        let since = AuditQuery {
            since: Some(Timestamp(1)),
            ..AuditQuery::default()
        };
        let (finding, arguments) = selection(&since, &AuditReader::All);
        for (sql, arguments, searched) in [
            (PRUNE, pruning, "PRIMARY KEY (id<?)"),
            (&finding, arguments, "PRIMARY KEY (id>?)"),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let mut tx = store.begin_read().await.unwrap();
            let steps: Vec<(i64, i64, i64, String)> = tx.rows(explain, arguments).await.unwrap();
            let steps: Vec<_> = steps.into_iter().map(|(.., step)| step).collect();
            let is_searched = |step: &String| step.ends_with(searched);
            assert!(steps.iter().any(is_searched), "{steps:?}");
            let costs = |step: &String| step.contains("SCAN") || step.contains("TEMP B-TREE");
            assert!(!steps.iter().any(costs), "{steps:?}");
        }
    }

    #[test]
    fn nothing_of_a_query_becomes_part_of_the_statement() {
        let text = "x' OR '1'='1";
        let query = AuditQuery {
            who: Some(text.to_owned()),
            key: Some(Key::new(text).unwrap()),
            prefix: Some(Prefix::new(text)),
            refused: Some(true),
            since: Some(Timestamp(1)),
            before: Some(AuditId(uuid::Uuid::nil())),
            limit: 5,
        };
        let reader = AuditReader::Token {
            name: text.to_owned(),
            scopes: vec![chameleon_model::Scope::new(text).unwrap()],
        };
        let (sql, arguments) = selection(&query, &reader);
        assert!(!sql.contains("'1'='1"), "{sql}");
        assert!(sql.contains(&format!("${}", arguments.len())), "{sql}");
        let (sql, _) = selection(&AuditQuery::default(), &AuditReader::All);
        assert!(!sql.contains("WHERE"), "{sql}");
    }
}
