//! Everything that a group writes, as one query of several statements, whatever the size of the
//! group.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::records::{
    Batch, ChangeRecord, HoldRecord, SessionRecord, StampRecord, TransactionRecord,
};

/// The rows of one statement; SQLite takes 32,766 arguments, and no table has more than 16 columns.
const ROWS: usize = 1_000;

/// Groups of up to so many rows come up again and again, and parsing their query costs as much as
/// running it.
pub(super) const KEPT_ROWS: usize = 64;

/// Who begins and ends the transaction.
pub(super) enum Transaction {
    /// The query itself. Where it fails or is cancelled, it may leave the transaction open.
    Own,
    /// The caller.
    Given,
}

/// Writes `batch` if the head is the one that it was decided on and none of the requests `asked` is
/// answered, and says whether it was. All of it is one query: each costs two changes of thread.
/// Its only row is its last answer, which nothing waits behind.
pub(super) async fn write(
    to: &mut SqliteConnection,
    transaction: Transaction,
    batch: &Batch<'_>,
    asked: &[Uuid],
    now: i64,
) -> Result<bool, sqlx::Error> {
    let mut query = Query {
        sql: QueryBuilder::new(""),
        now,
        head: batch.to,
        keep: asked.len() <= KEPT_ROWS,
    };
    if let Transaction::Own = &transaction {
        query.sql.push("BEGIN IMMEDIATE; ");
    }
    query.move_head(batch.from, asked);
    query.rows_of(batch);
    if let Transaction::Own = &transaction {
        query.sql.push("COMMIT; ");
    }
    match transaction {
        Transaction::Own => query.is_there(),
        Transaction::Given => query.has_moved(),
    }
    let moved = (query.sql.build_query_scalar())
        .persistent(query.keep)
        .fetch_optional(to)
        .await?;
    Ok(moved.unwrap_or(false))
}

/// A query at work. Its arguments are numbered through all its statements.
struct Query {
    sql: QueryBuilder<Sqlite>,
    now: i64,
    /// The head that shows that it was moved, and that the rest is to be written.
    head: StampRecord,
    /// Whether it is worth keeping prepared.
    keep: bool,
}

type Row<'a, 'b> = Separated<'a, Sqlite, &'b str>;

impl Query {
    fn move_head(&mut self, from: StampRecord, asked: &[Uuid]) {
        let StampRecord { revision, tag, .. } = self.head;
        let sql = &mut self.sql;
        sql.push("UPDATE head SET revision = ").push_bind(revision);
        sql.push(", tag = ").push_bind(tag);
        sql.push(" WHERE epoch = ").push_bind(from.epoch);
        sql.push(" AND revision = ").push_bind(from.revision);
        sql.push(" AND tag = ").push_bind(from.tag);
        if !asked.is_empty() {
            sql.push(" AND NOT EXISTS (SELECT 1 FROM requests WHERE id IN (");
            let mut ids = sql.separated(", ");
            for id in asked {
                ids.push_bind(*id);
            }
            sql.push("))");
        }
        sql.push("; ");
    }

    fn rows_of(&mut self, batch: &Batch<'_>) {
        let now = self.now;
        self.insert(TRANSACTIONS, &batch.transactions, "", |row, record| {
            transaction(row, record, now);
        });
        self.insert(CHANGES, &batch.changes, "", change);
        self.insert(LATEST, &batch.latest, LATEST_MOVES, |mut row, latest| {
            row.push_bind(latest.key);
            row.push_bind(latest.revision).push_bind(latest.deleted);
        });
        self.insert(SESSION_CHANGES, &batch.session_changes, "", session);
        self.keep &= batch.ended.len() <= 1;
        for session in &batch.ended {
            self.delete("sessions", |sql| {
                sql.push("session = ").push_bind(*session);
            });
        }
        self.insert(SESSIONS, &batch.opened, SESSION_MOVES, |mut row, opened| {
            row.push_bind(opened.0).push_bind(opened.1).push_bind(now);
        });
        if !batch.delayed.is_empty() {
            self.delete("lock_delays", |sql| {
                sql.push("until_micros <= ").push_bind(now);
            });
        }
        self.insert(
            LOCK_DELAYS,
            &batch.delayed,
            LOCK_DELAY_MOVES,
            |mut row, (key, until)| {
                row.push_bind(*key).push_bind(*until);
            },
        );
        self.insert(HOLD_CHANGES, &batch.hold_changes, "", hold);
        self.keep &= batch.released.len() <= 1;
        for key in &batch.released {
            self.delete("holds", |sql| {
                sql.push("key = ").push_bind(*key);
            });
        }
        self.insert(
            HOLDS,
            &batch.held,
            HOLD_MOVES,
            |mut row, (key, revision)| {
                row.push_bind(*key).push_bind(*revision);
            },
        );
        self.insert(SOURCES, &batch.sources, SOURCE_MOVES, |mut row, source| {
            row.push_bind(source.name).push_bind(source.git_commit);
            row.push_bind(source.profiles).push_bind(source.epoch);
            row.push_bind(source.revision);
            row.push_bind(source.tag).push_bind(now);
        });
        self.insert(REQUESTS, &batch.requests, "", |mut row, request| {
            row.push_bind(request.id).push_bind(request.committed);
            row.push_bind(request.epoch).push_bind(request.revision);
            row.push_bind(request.tag).push_bind(now);
        });
    }

    fn insert<R>(
        &mut self,
        into: &str,
        rows: &[R],
        conflict: &str,
        bind: impl Fn(Row<'_, '_>, &R),
    ) {
        self.keep &= rows.len() <= KEPT_ROWS;
        for rows in rows.chunks(ROWS) {
            self.sql.push("INSERT INTO ").push(into);
            self.sql.push(" SELECT * FROM (");
            self.sql.push_values(rows, &bind);
            self.sql.push(") WHERE ");
            self.if_moved();
            self.sql.push(conflict).push("; ");
        }
    }

    fn delete(&mut self, from: &str, which: impl FnOnce(&mut QueryBuilder<Sqlite>)) {
        self.sql.push("DELETE FROM ").push(from).push(" WHERE ");
        self.if_moved();
        self.sql.push(" AND ");
        which(&mut self.sql);
        self.sql.push("; ");
    }

    /// Asks whether the commit that moves the head is there: by now another process may have moved it on.
    fn is_there(&mut self) {
        let sql = &mut self.sql;
        sql.push("SELECT EXISTS (SELECT 1 FROM transactions WHERE revision = ");
        sql.push_bind(self.head.revision).push(" AND tag = ");
        sql.push_bind(self.head.tag).push(")");
    }

    fn has_moved(&mut self) {
        self.sql.push("SELECT ");
        self.if_moved();
    }

    /// Holds if the head is where this query would move it: nobody else's has its tag.
    fn if_moved(&mut self) {
        self.sql.push("(SELECT (revision, tag) = (");
        self.sql.push_bind(self.head.revision).push(", ");
        self.sql.push_bind(self.head.tag).push(") FROM head)");
    }
}

const TRANSACTIONS: &str = "transactions (revision, epoch, tag, at_micros, request_id, author, \
     message, via, repository, branch, git_commit, source_name, source_expected, source_commit, \
     source_profiles, stages)";
const CHANGES: &str =
    "changes (key, revision, value, flags, create_revision, lock_index, session, owner)";
const LATEST: &str = "latest (key, revision, deleted)";
const LATEST_MOVES: &str = " ON CONFLICT (key) DO UPDATE \
     SET revision = excluded.revision, deleted = excluded.deleted";
const SESSION_CHANGES: &str = "session_changes (session, revision, live, name, behavior, \
     ttl_nanos, lock_delay_nanos, create_revision, opened_by)";
const SESSIONS: &str = "sessions (session, revision, renewed_micros)";
const SESSION_MOVES: &str = " ON CONFLICT (session) DO UPDATE \
     SET revision = excluded.revision, renewed_micros = excluded.renewed_micros";
const LOCK_DELAYS: &str = "lock_delays (key, until_micros)";
const LOCK_DELAY_MOVES: &str =
    " ON CONFLICT (key) DO UPDATE SET until_micros = excluded.until_micros";
const HOLD_CHANGES: &str = "hold_changes (key, revision, held, source, git_value, git_flags, \
     against_value, against_flags, author, reason, since_micros, expires_micros)";
const HOLDS: &str = "holds (key, revision)";
const HOLD_MOVES: &str = " ON CONFLICT (key) DO UPDATE SET revision = excluded.revision";
const SOURCES: &str = "sources (name, git_commit, profiles, epoch, revision, tag, at_micros)";
const SOURCE_MOVES: &str = " ON CONFLICT (name) DO UPDATE SET git_commit = excluded.git_commit, \
     profiles = excluded.profiles, epoch = excluded.epoch, revision = excluded.revision, \
     tag = excluded.tag, at_micros = excluded.at_micros";
const REQUESTS: &str = "requests (id, committed, epoch, revision, tag, at_micros)";

fn transaction(mut to: Row<'_, '_>, row: &TransactionRecord<'_>, now: i64) {
    to.push_bind(row.revision)
        .push_bind(row.epoch)
        .push_bind(row.tag);
    to.push_bind(now).push_bind(row.request_id);
    to.push_bind(row.author)
        .push_bind(row.message)
        .push_bind(row.via);
    to.push_bind(row.repository)
        .push_bind(row.branch)
        .push_bind(row.git_commit);
    to.push_bind(row.source_name)
        .push_bind(row.source_expected)
        .push_bind(row.source_commit);
    to.push_bind(row.source_profiles)
        .push_bind(row.stages.clone());
}

fn change(mut to: Row<'_, '_>, row: &ChangeRecord<'_>) {
    to.push_bind(row.key)
        .push_bind(row.revision)
        .push_bind(row.value);
    to.push_bind(row.flags)
        .push_bind(row.create_revision)
        .push_bind(row.lock_index);
    to.push_bind(row.session).push_bind(row.owner);
}

fn session(mut to: Row<'_, '_>, row: &SessionRecord<'_>) {
    to.push_bind(row.session)
        .push_bind(row.revision)
        .push_bind(row.live);
    to.push_bind(row.name)
        .push_bind(row.behavior)
        .push_bind(row.ttl_nanos);
    to.push_bind(row.lock_delay_nanos)
        .push_bind(row.create_revision)
        .push_bind(row.opened_by);
}

fn hold(mut to: Row<'_, '_>, row: &HoldRecord<'_>) {
    to.push_bind(row.key)
        .push_bind(row.revision)
        .push_bind(row.held);
    to.push_bind(row.source)
        .push_bind(row.git_value)
        .push_bind(row.git_flags);
    to.push_bind(row.against_value)
        .push_bind(row.against_flags)
        .push_bind(row.author);
    to.push_bind(row.reason)
        .push_bind(row.since_micros)
        .push_bind(row.expires_micros);
}
