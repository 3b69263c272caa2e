//! Deleting much, a bit at a time.

use crate::StoreError;
use crate::backend::{Argument, Backend, Tx};

/// The rows that a step deletes, so that no transaction lasts long.
const STEP: i64 = 10_000;

/// Runs `statement`, which deletes as many rows as its last argument says at most, beside the commits
/// until nothing is left to delete; answers how many went. `arguments` are those before the last.
pub(crate) async fn delete(
    store: &impl Backend,
    statement: &'static str,
    mut arguments: Vec<Argument>,
) -> Result<u64, StoreError> {
    arguments.push(Argument::Number(STEP));
    let mut all = 0;
    loop {
        let mut tx = store.begin_beside().await?;
        let deleted = tx.run(statement, arguments.clone()).await?;
        tx.commit().await?;
        all += deleted;
        if deleted < STEP.cast_unsigned() {
            return Ok(all);
        }
    }
}
