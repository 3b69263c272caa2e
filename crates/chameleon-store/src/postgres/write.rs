//! Everything that a group writes, as one statement, whatever the size of the group.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::pooler::Path;
use crate::records::Batch;
use crate::rows::TimeRow;

/// Moves the head, on which all else rests: no other part of the statement has a row to write if the
/// head is another one, or one of the requests was answered before.
///
/// Whoever waits here for the head goes on with the tables as they were before the wait. That is
/// enough for all but the head's own row, which is looked at again: every commit gives it another
/// tag. Only an answer can have come without a commit, and the answers' primary key refuses to take
/// it a second time.
const MOVE: &str = "WITH moved AS ( \
     UPDATE head SET revision = $4, tag = $5 WHERE epoch = $1 AND revision = $2 AND tag = $3";
/// Looks each of them up for itself, by the index from a few pages on. Planned for any number of them
/// while there are few answers, as kept statements are, it would go on searching through all answers.
const IF_UNANSWERED: &str = " AND NOT EXISTS (SELECT FROM UNNEST($6::uuid[]) AS asked (id), LATERAL \
     (SELECT FROM requests WHERE requests.id = asked.id OFFSET 0) AS answered)";
/// The clock is read when the head is ours, so that times rise with revisions.
const AT: &str = " RETURNING \
     COALESCE($7, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS at_micros)";
const TRANSACTIONS: &str = ", put_transactions AS ( \
     INSERT INTO transactions (revision, epoch, tag, request_id, author, message, via, repository, \
     branch, git_commit, source_name, source_expected, source_commit, source_profiles, stages, \
     at_micros) \
     SELECT rows.*, moved.at_micros FROM moved, UNNEST($8::bigint[], $9::bigint[], $10::bigint[], \
     $11::uuid[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], \
     $18::text[], $19::text[], $20::text[], $21::jsonb[], $22::jsonb[]) AS rows)";
const CHANGES: &str = ", put_changes AS ( \
     INSERT INTO changes (key, revision, value, flags, create_revision, lock_index, session, owner) \
     SELECT rows.* FROM moved, UNNEST($23::text[], $24::bigint[], $25::bytea[], $26::bigint[], \
     $27::bigint[], $28::bigint[], $29::uuid[], $30::text[]) AS rows \
     ), put_latest AS ( \
     INSERT INTO latest (key, revision, deleted) \
     SELECT rows.* FROM moved, UNNEST($31::text[], $32::bigint[], $33::boolean[]) AS rows \
     ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted)";
const SESSIONS: &str = ", put_session_changes AS ( \
     INSERT INTO session_changes (session, revision, live, name, behavior, ttl_nanos, \
     lock_delay_nanos, create_revision, opened_by) \
     SELECT rows.* FROM moved, UNNEST($34::uuid[], $35::bigint[], $36::boolean[], $37::text[], \
     $38::text[], $39::bigint[], $40::bigint[], $41::bigint[], $58::text[]) AS rows \
     ), ended AS ( \
     DELETE FROM sessions USING moved WHERE session = ANY($42::uuid[]) \
     ), opened AS ( \
     INSERT INTO sessions (session, revision, renewed_micros) \
     SELECT rows.*, moved.at_micros FROM moved, UNNEST($43::uuid[], $44::bigint[]) AS rows \
     ON CONFLICT (session) DO UPDATE \
     SET revision = excluded.revision, renewed_micros = excluded.renewed_micros)";
const LOCK_DELAYS: &str = ", over AS ( \
     DELETE FROM lock_delays USING moved \
     WHERE until_micros <= moved.at_micros AND key <> ALL($45::text[]) \
     ), put_lock_delays AS ( \
     INSERT INTO lock_delays (key, until_micros) \
     SELECT rows.* FROM moved, UNNEST($45::text[], $46::bigint[]) AS rows \
     ON CONFLICT (key) DO UPDATE SET until_micros = excluded.until_micros)";
const HOLDS: &str = ", put_hold_changes AS ( \
     INSERT INTO hold_changes (key, revision, held, source, git_value, git_flags, against_value, \
     against_flags, author, reason, since_micros, expires_micros) \
     SELECT rows.* FROM moved, UNNEST($59::text[], $60::bigint[], $61::boolean[], $62::text[], \
     $63::bytea[], $64::bigint[], $65::bytea[], $66::bigint[], $67::text[], $68::text[], \
     $69::bigint[], $70::bigint[]) AS rows \
     ), released AS ( \
     DELETE FROM holds USING moved WHERE key = ANY($71::text[]) \
     ), put_holds AS ( \
     INSERT INTO holds (key, revision) \
     SELECT rows.* FROM moved, UNNEST($72::text[], $73::bigint[]) AS rows \
     ON CONFLICT (key) DO UPDATE SET revision = excluded.revision)";
const SOURCES: &str = ", put_sources AS ( \
     INSERT INTO sources (name, git_commit, profiles, epoch, revision, tag, at_micros) \
     SELECT rows.*, moved.at_micros FROM moved, UNNEST($47::text[], $48::text[], $49::jsonb[], \
     $50::bigint[], $51::bigint[], $52::bigint[]) AS rows \
     ON CONFLICT (name) DO UPDATE SET git_commit = excluded.git_commit, \
     profiles = excluded.profiles, epoch = excluded.epoch, revision = excluded.revision, \
     tag = excluded.tag, at_micros = excluded.at_micros)";
const REQUESTS: &str = ", put_requests AS ( \
     INSERT INTO requests (id, committed, epoch, revision, tag, at_micros) \
     SELECT rows.*, moved.at_micros FROM moved, UNNEST($53::uuid[], $54::boolean[], \
     $55::bigint[], $56::bigint[], $57::bigint[]) AS rows)";
const DONE: &str = " SELECT at_micros FROM moved";
/// The notice goes out with the commit, and names the new head.
const DONE_WITH_NOTICE: &str =
    " SELECT at_micros, pg_notify('chameleon_changed', concat_ws('/', $1, $4, $5)) FROM moved";

/// The statement for what there is to write. A part costs its share also where it writes no row;
/// few of the combinations come up, and each is kept prepared.
fn statement(batch: &Batch<'_>, asked: &[Uuid]) -> String {
    let mut sql = MOVE.to_owned();
    for (part, wanted) in [
        (IF_UNANSWERED, !asked.is_empty()),
        (AT, true),
        (TRANSACTIONS, !batch.transactions.is_empty()),
        (CHANGES, !batch.changes.is_empty()),
        (SESSIONS, !batch.session_changes.is_empty()),
        (LOCK_DELAYS, !batch.delayed.is_empty()),
        (HOLDS, !batch.hold_changes.is_empty()),
        (SOURCES, !batch.sources.is_empty()),
        (REQUESTS, !batch.requests.is_empty()),
        (DONE, !batch.moves_head()),
        (DONE_WITH_NOTICE, batch.moves_head()),
    ] {
        if wanted {
            sql.push_str(part);
        }
    }
    sql
}

/// Writes `batch` if the head is the one that it was decided on and none of the requests `asked`
/// is answered, and returns the time that it carries: `now_micros`, or else the clock's.
pub(super) async fn write(
    to: &mut PgConnection,
    path: Path,
    batch: &Batch<'_>,
    asked: &[Uuid],
    now_micros: Option<i64>,
) -> Result<Option<i64>, sqlx::Error> {
    // Made of the constants above.
    let statement = AssertSqlSafe(statement(batch, asked));
    let transactions = &batch.transactions;
    let (changes, latest) = (&batch.changes, &batch.latest);
    let (sessions, opened) = (&batch.session_changes, &batch.opened);
    let (holds, held) = (&batch.hold_changes, &batch.held);
    let (delayed, sources, requests) = (&batch.delayed, &batch.sources, &batch.requests);
    let written: Vec<TimeRow> = sqlx::query_as(statement)
        .persistent(path.keeps_prepared())
        .bind(batch.from.epoch)
        .bind(batch.from.revision)
        .bind(batch.from.tag)
        .bind(batch.to.revision)
        .bind(batch.to.tag)
        .bind(asked)
        .bind(now_micros)
        .bind(column(transactions, |row| row.revision))
        .bind(column(transactions, |row| row.epoch))
        .bind(column(transactions, |row| row.tag))
        .bind(column(transactions, |row| row.request_id))
        .bind(column(transactions, |row| row.author))
        .bind(column(transactions, |row| row.message))
        .bind(column(transactions, |row| row.via))
        .bind(column(transactions, |row| row.repository))
        .bind(column(transactions, |row| row.branch))
        .bind(column(transactions, |row| row.git_commit))
        .bind(column(transactions, |row| row.source_name))
        .bind(column(transactions, |row| row.source_expected))
        .bind(column(transactions, |row| row.source_commit))
        .bind(column(transactions, |row| row.source_profiles))
        .bind(column(transactions, |row| row.stages.clone()))
        .bind(column(changes, |row| row.key))
        .bind(column(changes, |row| row.revision))
        .bind(column(changes, |row| row.value))
        .bind(column(changes, |row| row.flags))
        .bind(column(changes, |row| row.create_revision))
        .bind(column(changes, |row| row.lock_index))
        .bind(column(changes, |row| row.session))
        .bind(column(changes, |row| row.owner))
        .bind(column(latest, |row| row.key))
        .bind(column(latest, |row| row.revision))
        .bind(column(latest, |row| row.deleted))
        .bind(column(sessions, |row| row.session))
        .bind(column(sessions, |row| row.revision))
        .bind(column(sessions, |row| row.live))
        .bind(column(sessions, |row| row.name))
        .bind(column(sessions, |row| row.behavior))
        .bind(column(sessions, |row| row.ttl_nanos))
        .bind(column(sessions, |row| row.lock_delay_nanos))
        .bind(column(sessions, |row| row.create_revision))
        .bind(&batch.ended)
        .bind(column(opened, |(session, _)| *session))
        .bind(column(opened, |(_, revision)| *revision))
        .bind(column(delayed, |(key, _)| *key))
        .bind(column(delayed, |(_, until)| *until))
        .bind(column(sources, |row| row.name))
        .bind(column(sources, |row| row.git_commit))
        .bind(column(sources, |row| row.profiles))
        .bind(column(sources, |row| row.epoch))
        .bind(column(sources, |row| row.revision))
        .bind(column(sources, |row| row.tag))
        .bind(column(requests, |row| row.id))
        .bind(column(requests, |row| row.committed))
        .bind(column(requests, |row| row.epoch))
        .bind(column(requests, |row| row.revision))
        .bind(column(requests, |row| row.tag))
        .bind(column(sessions, |row| row.opened_by))
        .bind(column(holds, |row| row.key))
        .bind(column(holds, |row| row.revision))
        .bind(column(holds, |row| row.held))
        .bind(column(holds, |row| row.source))
        .bind(column(holds, |row| row.git_value))
        .bind(column(holds, |row| row.git_flags))
        .bind(column(holds, |row| row.against_value))
        .bind(column(holds, |row| row.against_flags))
        .bind(column(holds, |row| row.author))
        .bind(column(holds, |row| row.reason))
        .bind(column(holds, |row| row.since_micros))
        .bind(column(holds, |row| row.expires_micros))
        .bind(&batch.released)
        .bind(column(held, |(key, _)| *key))
        .bind(column(held, |(_, revision)| *revision))
        // All, and not the first row: the database's own commit comes after that.
        .fetch_all(to)
        .await?;
    Ok(written.first().map(|row| row.at_micros))
}

/// Says whether [`write`] failed only because somebody else was quicker: the same request was
/// answered while it waited, or the database isolates more strictly by default, and refuses to look
/// again at a head that was moved.
pub(super) fn was_late(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["23505", "40001"].contains(&&*code))
}

pub(super) fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
