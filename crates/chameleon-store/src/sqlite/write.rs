//! Inserts of many rows at once, whatever the size of the group.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::records::{Batch, ChangeRecord, SessionRecord, TransactionRecord};

/// The rows of one statement; SQLite takes 32,766 arguments, and no table has more than 16 columns.
const ROWS: usize = 1_000;

pub(super) async fn write(to: &mut SqliteConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let now = batch.now_micros;
    insert(to, TRANSACTIONS, &batch.transactions, "", transaction).await?;
    insert(to, CHANGES, &batch.changes, "", change).await?;
    insert(
        to,
        LATEST,
        &batch.latest,
        LATEST_MOVES,
        |mut row, latest| {
            row.push_bind(latest.key);
            row.push_bind(latest.revision).push_bind(latest.deleted);
        },
    )
    .await?;
    insert(to, SESSION_CHANGES, &batch.session_changes, "", session).await?;
    for session in &batch.ended {
        sqlx::query("DELETE FROM sessions WHERE session = $1")
            .bind(session)
            .execute(&mut *to)
            .await?;
    }
    insert(
        to,
        SESSIONS,
        &batch.opened,
        SESSION_MOVES,
        |mut row, (session, revision)| {
            row.push_bind(*session).push_bind(*revision).push_bind(now);
        },
    )
    .await?;
    if !batch.delayed.is_empty() {
        sqlx::query("DELETE FROM lock_delays WHERE until_micros <= $1")
            .bind(now)
            .execute(&mut *to)
            .await?;
    }
    insert(
        to,
        LOCK_DELAYS,
        &batch.delayed,
        LOCK_DELAY_MOVES,
        |mut row, (key, until)| {
            row.push_bind(*key).push_bind(*until);
        },
    )
    .await?;
    insert(
        to,
        SOURCES,
        &batch.sources,
        SOURCE_MOVES,
        |mut row, source| {
            row.push_bind(source.name).push_bind(source.git_commit);
            row.push_bind(source.profiles).push_bind(source.epoch);
            row.push_bind(source.revision)
                .push_bind(source.tag)
                .push_bind(now);
        },
    )
    .await?;
    if !batch.requests.is_empty() {
        prune(to, batch.forget_micros).await?;
    }
    insert(to, REQUESTS, &batch.requests, "", |mut row, request| {
        row.push_bind(request.id).push_bind(request.committed);
        row.push_bind(request.epoch).push_bind(request.revision);
        row.push_bind(request.tag).push_bind(now);
    })
    .await?;
    if let Some(newest) = batch.transactions.last() {
        sqlx::query("UPDATE head SET revision = $1, tag = $2")
            .bind(newest.revision)
            .bind(newest.tag)
            .execute(to)
            .await?;
    }
    Ok(())
}

type Row<'a, 'b> = Separated<'a, Sqlite, &'b str>;

async fn insert<R>(
    to: &mut SqliteConnection,
    into: &'static str,
    rows: &[R],
    conflict: &'static str,
    bind: impl Fn(Row<'_, '_>, &R),
) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(ROWS) {
        let mut insert = QueryBuilder::new("INSERT INTO ");
        insert.push(into).push(" ");
        insert.push_values(rows, &bind);
        insert.push(conflict);
        // The usual single row is worth keeping prepared, the many other sizes are not.
        let keep = rows.len() == 1;
        insert.build().persistent(keep).execute(&mut *to).await?;
    }
    Ok(())
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
     ttl_nanos, lock_delay_nanos, create_revision)";
const SESSIONS: &str = "sessions (session, revision, renewed_micros)";
const SESSION_MOVES: &str = " ON CONFLICT (session) DO UPDATE \
     SET revision = excluded.revision, renewed_micros = excluded.renewed_micros";
const LOCK_DELAYS: &str = "lock_delays (key, until_micros)";
const LOCK_DELAY_MOVES: &str =
    " ON CONFLICT (key) DO UPDATE SET until_micros = excluded.until_micros";
const SOURCES: &str = "sources (name, git_commit, profiles, epoch, revision, tag, at_micros)";
const SOURCE_MOVES: &str = " ON CONFLICT (name) DO UPDATE SET git_commit = excluded.git_commit, \
     profiles = excluded.profiles, epoch = excluded.epoch, revision = excluded.revision, \
     tag = excluded.tag, at_micros = excluded.at_micros";
const REQUESTS: &str = "requests (id, committed, epoch, revision, tag, at_micros)";

fn transaction(mut to: Row<'_, '_>, row: &TransactionRecord<'_>) {
    to.push_bind(row.revision)
        .push_bind(row.epoch)
        .push_bind(row.tag);
    to.push_bind(row.at_micros).push_bind(row.request_id);
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
        .push_bind(row.create_revision);
}

/// Forgets a bounded number of answers that are old.
async fn prune(to: &mut SqliteConnection, before_micros: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM requests WHERE id IN ( \
         SELECT id FROM requests WHERE at_micros < $1 ORDER BY at_micros LIMIT 1000)",
    )
    .bind(before_micros)
    .execute(to)
    .await
    .map(drop)
}
