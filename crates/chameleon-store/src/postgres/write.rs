//! One set-based insert for each table, whatever the size of the group.

use sqlx::PgConnection;

use crate::records::{Batch, LatestRecord, SourceRecord, TransactionRecord};

pub(super) async fn write(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    if !batch.transactions.is_empty() {
        transactions(to, &batch.transactions).await?;
    }
    if !batch.changes.is_empty() {
        changes(to, batch).await?;
    }
    if !batch.session_changes.is_empty() {
        sessions(to, batch).await?;
    }
    if !batch.delayed.is_empty() {
        lock_delays(to, batch).await?;
    }
    if !batch.sources.is_empty() {
        sources(to, &batch.sources, batch.now_micros).await?;
    }
    if !batch.requests.is_empty() {
        requests(to, batch).await?;
    }
    if batch.head.is_some() {
        head(to, batch).await?;
    }
    Ok(())
}

async fn transactions(
    to: &mut PgConnection,
    rows: &[TransactionRecord<'_>],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO transactions (revision, epoch, tag, at_micros, request_id, author, message, \
         via, repository, branch, git_commit, source_name, source_expected, source_commit, \
         source_profiles, stages) \
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], \
         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], \
         $13::text[], $14::text[], $15::jsonb[], $16::jsonb[])",
    )
    .bind(column(rows, |row| row.revision))
    .bind(column(rows, |row| row.epoch))
    .bind(column(rows, |row| row.tag))
    .bind(column(rows, |row| row.at_micros))
    .bind(column(rows, |row| row.request_id))
    .bind(column(rows, |row| row.author))
    .bind(column(rows, |row| row.message))
    .bind(column(rows, |row| row.via))
    .bind(column(rows, |row| row.repository))
    .bind(column(rows, |row| row.branch))
    .bind(column(rows, |row| row.git_commit))
    .bind(column(rows, |row| row.source_name))
    .bind(column(rows, |row| row.source_expected))
    .bind(column(rows, |row| row.source_commit))
    .bind(column(rows, |row| row.source_profiles))
    .bind(column(rows, |row| row.stages.clone()))
    .execute(to)
    .await
    .map(drop)
}

async fn changes(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let (rows, latest): (_, &[LatestRecord<'_>]) = (&batch.changes, &batch.latest);
    sqlx::query(
        "WITH written AS ( \
         INSERT INTO changes (key, revision, value, flags, create_revision, lock_index, session, \
         owner) \
         SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], \
         $6::bigint[], $7::uuid[], $8::text[])) \
         INSERT INTO latest (key, revision, deleted) \
         SELECT * FROM UNNEST($9::text[], $10::bigint[], $11::boolean[]) \
         ON CONFLICT (key) DO UPDATE \
         SET revision = excluded.revision, deleted = excluded.deleted",
    )
    .bind(column(rows, |row| row.key))
    .bind(column(rows, |row| row.revision))
    .bind(column(rows, |row| row.value))
    .bind(column(rows, |row| row.flags))
    .bind(column(rows, |row| row.create_revision))
    .bind(column(rows, |row| row.lock_index))
    .bind(column(rows, |row| row.session))
    .bind(column(rows, |row| row.owner))
    .bind(column(latest, |row| row.key))
    .bind(column(latest, |row| row.revision))
    .bind(column(latest, |row| row.deleted))
    .execute(to)
    .await
    .map(drop)
}

async fn sessions(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let rows = &batch.session_changes;
    sqlx::query(
        "WITH written AS ( \
         INSERT INTO session_changes (session, revision, live, name, behavior, ttl_nanos, \
         lock_delay_nanos, create_revision) \
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::boolean[], $4::text[], $5::text[], \
         $6::bigint[], $7::bigint[], $8::bigint[])), \
         ended AS (DELETE FROM sessions WHERE session = ANY($9::uuid[])) \
         INSERT INTO sessions (session, revision, renewed_micros) \
         SELECT session, revision, $12 FROM UNNEST($10::uuid[], $11::bigint[]) \
         AS opened (session, revision) \
         ON CONFLICT (session) DO UPDATE \
         SET revision = excluded.revision, renewed_micros = excluded.renewed_micros",
    )
    .bind(column(rows, |row| row.session))
    .bind(column(rows, |row| row.revision))
    .bind(column(rows, |row| row.live))
    .bind(column(rows, |row| row.name))
    .bind(column(rows, |row| row.behavior))
    .bind(column(rows, |row| row.ttl_nanos))
    .bind(column(rows, |row| row.lock_delay_nanos))
    .bind(column(rows, |row| row.create_revision))
    .bind(&batch.ended)
    .bind(column(&batch.opened, |(session, _)| *session))
    .bind(column(&batch.opened, |(_, revision)| *revision))
    .bind(batch.now_micros)
    .execute(to)
    .await
    .map(drop)
}

async fn lock_delays(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM lock_delays WHERE until_micros <= $1")
        .bind(batch.now_micros)
        .execute(&mut *to)
        .await?;
    sqlx::query(
        "INSERT INTO lock_delays (key, until_micros) \
         SELECT * FROM UNNEST($1::text[], $2::bigint[]) \
         ON CONFLICT (key) DO UPDATE SET until_micros = excluded.until_micros",
    )
    .bind(column(&batch.delayed, |(key, _)| *key))
    .bind(column(&batch.delayed, |(_, until)| *until))
    .execute(to)
    .await
    .map(drop)
}

async fn sources(
    to: &mut PgConnection,
    rows: &[SourceRecord<'_>],
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sources (name, git_commit, profiles, epoch, revision, tag, at_micros) \
         SELECT name, git_commit, profiles, epoch, revision, tag, $7 \
         FROM UNNEST($1::text[], $2::text[], $3::jsonb[], $4::bigint[], $5::bigint[], \
         $6::bigint[]) AS moved (name, git_commit, profiles, epoch, revision, tag) \
         ON CONFLICT (name) DO UPDATE SET git_commit = excluded.git_commit, \
         profiles = excluded.profiles, epoch = excluded.epoch, revision = excluded.revision, \
         tag = excluded.tag, at_micros = excluded.at_micros",
    )
    .bind(column(rows, |row| row.name))
    .bind(column(rows, |row| row.git_commit))
    .bind(column(rows, |row| row.profiles))
    .bind(column(rows, |row| row.epoch))
    .bind(column(rows, |row| row.revision))
    .bind(column(rows, |row| row.tag))
    .bind(now_micros)
    .execute(to)
    .await
    .map(drop)
}

/// Remembers the answers, and forgets a bounded number of old ones.
async fn requests(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let rows = &batch.requests;
    sqlx::query(
        "WITH pruned AS (DELETE FROM requests WHERE id IN ( \
         SELECT id FROM requests WHERE at_micros < $7 ORDER BY at_micros LIMIT 1000)) \
         INSERT INTO requests (id, committed, epoch, revision, tag, at_micros) \
         SELECT id, committed, epoch, revision, tag, $6 \
         FROM UNNEST($1::uuid[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[]) \
         AS answered (id, committed, epoch, revision, tag)",
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.committed))
    .bind(column(rows, |row| row.epoch))
    .bind(column(rows, |row| row.revision))
    .bind(column(rows, |row| row.tag))
    .bind(batch.now_micros)
    .bind(batch.forget_micros)
    .execute(to)
    .await
    .map(drop)
}

/// Moves the head and tells the followers; the notice goes out with the commit.
async fn head(to: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let newest = batch.transactions.last();
    sqlx::query(
        "WITH moved AS (UPDATE head SET revision = $1, tag = $2) \
         SELECT pg_notify('chameleon_changed', '')",
    )
    .bind(newest.map(|row| row.revision))
    .bind(newest.map(|row| row.tag))
    .execute(to)
    .await
    .map(drop)
}

fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
