//! The audit's new records, as one statement, however many there are.

use sqlx::PgConnection;

use super::pooler::Path;
use super::write::column;
use crate::rows::AuditRow;

/// A row that is there already was written by a try whose answer was lost.
const APPEND: &str = "INSERT INTO audit (id, at_micros, who, dialect, peer, action, target_kind, \
     target, outcome, revision, times, detail) \
     SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], \
     $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[]) \
     ON CONFLICT (id) DO NOTHING";

/// Adds `rows`, in the transaction that `to` is in, or else in the statement's own.
pub(super) async fn append(
    to: &mut PgConnection,
    path: Path,
    rows: &[AuditRow],
) -> Result<(), sqlx::Error> {
    sqlx::query(APPEND)
        .persistent(path.keeps_prepared())
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.at_micros))
        .bind(column(rows, |row| &*row.who))
        .bind(column(rows, |row| &*row.dialect))
        .bind(column(rows, |row| &*row.peer))
        .bind(column(rows, |row| &*row.action))
        .bind(column(rows, |row| &*row.target_kind))
        .bind(column(rows, |row| &*row.target))
        .bind(column(rows, |row| &*row.outcome))
        .bind(column(rows, |row| row.revision))
        .bind(column(rows, |row| row.times))
        .bind(column(rows, |row| &*row.detail))
        .execute(to)
        .await
        .map(drop)
}
