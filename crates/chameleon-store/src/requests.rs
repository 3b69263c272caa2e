//! The first answers to requests, by which a retry is recognised.

use std::fmt::Write as _;

use chameleon_model::{Outcome, RequestId};
use uuid::Uuid;

use crate::backend::{Argument, Backend, Tx};
use crate::rows::{RequestIdRow, RequestRow};
use crate::{REQUEST_MEMORY, StoreError, read};

/// How many requests one statement names: both databases bound the number of its arguments.
const AT_ONCE: usize = 500;

/// How many old answers are looked for at a time.
const STEP: i64 = 10_000;

/// The answers to those of `ids` that were answered before.
pub(crate) async fn answered<C: FromIterator<(RequestId, Outcome)>>(
    tx: &mut impl Tx,
    ids: &[Uuid],
) -> Result<C, StoreError> {
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let sql = with(
            "SELECT id, committed, epoch, revision, tag FROM requests",
            ids,
        );
        let rows: Vec<RequestRow> = tx.rows(sql, arguments(ids)).await?;
        found.extend(rows);
    }
    found.into_iter().map(TryInto::try_into).collect()
}

/// Forgets the answers from before [`REQUEST_MEMORY`], and says how many. It is done beside the
/// commits, which would else each look for old ones.
pub(crate) async fn prune(store: &impl Backend) -> Result<u64, StoreError> {
    let memory = i64::try_from(REQUEST_MEMORY.as_micros()).unwrap_or(i64::MAX);
    let mut pruned = 0;
    loop {
        let mut tx = store.begin_read().await?;
        let before = read::head(&mut tx).await?.now.0 - memory;
        let old = "SELECT id FROM requests WHERE at_micros < $1 ORDER BY at_micros LIMIT $2";
        let limits = vec![Argument::Number(before), Argument::Number(STEP)];
        let old: Vec<RequestIdRow> = tx.rows(old, limits).await?;
        drop(tx);
        if old.is_empty() {
            return Ok(pruned);
        }
        let ids: Vec<_> = old.into_iter().map(|row| row.id).collect();
        for ids in ids.chunks(AT_ONCE) {
            let mut tx = store.begin_beside().await?;
            let sql = with("DELETE FROM requests", ids);
            pruned += tx.run(sql, arguments(ids)).await?;
            tx.commit().await?;
        }
    }
}

fn arguments(ids: &[Uuid]) -> Vec<Argument> {
    ids.iter().map(|id| Argument::Id(*id)).collect()
}

/// `statement`, but only for the requests that as many arguments name.
fn with(statement: &str, ids: &[Uuid]) -> String {
    let mut sql = format!("{statement} WHERE id IN (");
    for n in 1..=ids.len() {
        let comma = if n == 1 { "" } else { ", " };
        let _ = write!(sql, "{comma}${n}");
    }
    sql.push(')');
    sql
}
