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
use crate::{StoreError, clean, read};

/// The records that one statement takes: SQLite looks each argument up among all of a statement.
const AT_ONCE: usize = 50;

/// The rows that a step of pruning deletes, so that no transaction lasts long.
const STEP: u64 = 10_000;

const COLUMNS: &str = "id, at_micros, who, dialect, peer, action, target_kind, target, outcome, \
                       revision, times, detail";

/// The columns' number.
const WIDTH: usize = 12;

pub(crate) async fn append(
    store: &impl Backend,
    records: &[AuditRecord],
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin_beside().await?;
    for part in records.chunks(AT_ONCE) {
        let mut sql = format!("INSERT INTO audit ({COLUMNS}) VALUES ");
        for row in 0..part.len() {
            let first = row * WIDTH + 1;
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for column in first..first + WIDTH {
                let comma = if column == first { "" } else { ", " };
                let _ = write!(sql, "{comma}${column}");
            }
            sql.push(')');
        }
        // Written before, by a try whose answer was lost.
        sql.push_str(" ON CONFLICT (id) DO NOTHING");
        tx.run(sql, part.iter().flat_map(arguments).collect())
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

fn arguments(record: &AuditRecord) -> [Argument; WIDTH] {
    let (kind, target) = record.target.parts();
    let text = |text: &str| {
        let mut text = text.to_owned();
        clean::text(&mut text);
        Argument::Text(text)
    };
    [
        Argument::Id(record.id.0),
        Argument::Number(record.at.0),
        text(&record.who),
        text(&record.dialect),
        text(&record.peer.map(|peer| peer.to_string()).unwrap_or_default()),
        text(record.action.name()),
        text(kind),
        text(&target),
        text(record.outcome.verdict.name()),
        Argument::MaybeNumber(record.outcome.revision.map(number)),
        Argument::Number(i64::try_from(record.times).unwrap_or(i64::MAX)),
        text(&record.detail),
    ]
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
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let before = Argument::Number(now.0.saturating_sub(age));
    let mut pruned = 0;
    loop {
        let mut tx = store.begin_beside().await?;
        let step = i64::try_from(STEP).unwrap_or(i64::MAX);
        let delete = "DELETE FROM audit WHERE id IN \
                      (SELECT id FROM audit WHERE at_micros < $1 LIMIT $2)";
        let deleted = tx
            .run(delete, vec![before.clone(), Argument::Number(step)])
            .await?;
        tx.commit().await?;
        pruned += deleted;
        if deleted < STEP {
            return Ok(pruned);
        }
    }
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
    if let Some(Timestamp(since)) = query.since {
        let since = all.bind(Argument::Number(since));
        all.and(format!("at_micros >= {since}"));
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
