//! The first answers to requests, by which a retry is recognised.

use std::fmt::Write as _;

use chameleon_model::{Outcome, RequestId};
use uuid::Uuid;

use crate::backend::{Argument, Backend, Tx};
use crate::rows::RequestRow;
use crate::{REQUEST_MEMORY, StoreError, read, steps};

/// How many requests one statement names: both databases bound the number of its arguments.
const AT_ONCE: usize = 500;

/// The answers to those of `ids` that were answered before.
pub(crate) async fn answered<C: FromIterator<(RequestId, Outcome)>>(
    tx: &mut impl Tx,
    ids: &[Uuid],
) -> Result<C, StoreError> {
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let arguments = ids.iter().map(|id| Argument::Id(*id)).collect();
        let rows: Vec<RequestRow> = tx.rows(question(ids), arguments).await?;
        found.extend(rows);
    }
    found.into_iter().map(TryInto::try_into).collect()
}

/// The bound is said twice, or Postgres may look for what goes in the whole table.
const PRUNE: &str = "DELETE FROM requests WHERE at_micros < $1 AND id IN \
     (SELECT id FROM requests WHERE at_micros < $1 ORDER BY at_micros LIMIT $2)";

/// Forgets the answers from before [`REQUEST_MEMORY`], and says how many. It is done beside the
/// commits, which would else each look for old ones.
pub(crate) async fn prune(store: &impl Backend) -> Result<u64, StoreError> {
    let mut tx = store.begin_read().await?;
    let now = read::head(&mut tx).await?.now.0;
    drop(tx);
    let memory = i64::try_from(REQUEST_MEMORY.as_micros()).unwrap_or(i64::MAX);
    steps::delete(store, PRUNE, vec![Argument::Number(now - memory)]).await
}

/// The question for the answers to as many requests as `ids` names.
fn question(ids: &[Uuid]) -> String {
    let mut sql =
        String::from("SELECT id, committed, epoch, revision, tag FROM requests WHERE id IN (");
    for n in 1..=ids.len() {
        let comma = if n == 1 { "" } else { ", " };
        let _ = write!(sql, "{comma}${n}");
    }
    sql.push(')');
    sql
}
