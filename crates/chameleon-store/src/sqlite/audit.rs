//! The audit's new records, as one query of several statements: each query costs two changes of
//! thread, and all commits wait for it.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::audit::COLUMNS;
use crate::rows::AuditRow;

/// The rows of one statement; SQLite takes 32,766 arguments, and each row has 12.
const ROWS: usize = 100;

/// Adds `rows` in a transaction of the query's own. Where it fails or is cancelled, it may leave the
/// transaction open.
pub(super) async fn append(
    to: &mut SqliteConnection,
    rows: &[AuditRow],
) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::new("BEGIN IMMEDIATE; ");
    for rows in rows.chunks(ROWS) {
        sql.push("INSERT INTO audit (").push(COLUMNS).push(") ");
        sql.push_values(rows, put);
        // Written before, by a try whose answer was lost.
        sql.push(" ON CONFLICT (id) DO NOTHING; ");
    }
    sql.push("COMMIT");
    // Full batches follow one another under load, and parsing one costs as much as running it. Others
    // come a few times a second, in any size.
    let keep = rows.len().is_multiple_of(ROWS);
    sql.build().persistent(keep).execute(to).await.map(drop)
}

fn put(mut to: Separated<'_, Sqlite, &str>, row: &AuditRow) {
    to.push_bind(row.id).push_bind(row.at_micros);
    to.push_bind(&row.who).push_bind(&row.dialect);
    to.push_bind(&row.peer).push_bind(&row.action);
    to.push_bind(&row.target_kind).push_bind(&row.target);
    to.push_bind(&row.outcome).push_bind(row.revision);
    to.push_bind(row.times).push_bind(&row.detail);
}
