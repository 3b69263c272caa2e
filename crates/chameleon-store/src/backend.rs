//! What a database must offer for the verbs in [`crate::verbs`].
//!
//! The verbs and their queries exist once, in SQL that both databases understand; only opening a
//! transaction, inserting rows in bulk and waking followers differ.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::board::Board;
use crate::records::Batch;
use crate::rows::{AuditRow, StoredRule};
use crate::{Notice, Notifications};

/// A database that the verbs run on.
pub(crate) trait Backend: Send + Sync + 'static {
    /// One of its transactions; dropping it rolls it back.
    type Tx: Tx;

    /// Begins a transaction that sees one state throughout and writes nothing.
    fn begin_read(&self) -> impl Future<Output = Result<Self::Tx, sqlx::Error>> + Send;

    /// Begins a transaction that holds the head's lock: nobody else commits until it ends.
    ///
    /// Its first query already sees everything that was committed before the lock was granted.
    fn begin_write(&self) -> impl Future<Output = Result<Self::Tx, sqlx::Error>> + Send;

    /// Writes `batch` in a transaction of its own, in one round trip, and returns when it did; the
    /// commits of `batch` carry that time.
    ///
    /// Writes nothing and returns `None` if the head is not the one that `batch` was decided on, or
    /// if one of the requests `asked` was answered before.
    fn write_at_once(
        &self,
        batch: &Batch<'_>,
        asked: &[Uuid],
    ) -> impl Future<Output = Result<Option<Timestamp>, sqlx::Error>> + Send;

    /// Begins a transaction beside commits: it deletes what no reader needs, or beats a heart.
    fn begin_beside(&self) -> impl Future<Output = Result<Self::Tx, sqlx::Error>> + Send;

    /// Adds `rows` to the audit in a transaction of its own, in one round trip where the way to the
    /// database allows it. Those that are there already, by their id, are left as they are.
    fn append_at_once(
        &self,
        rows: &[AuditRow],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Tells followers that the transaction's own notice does not reach.
    fn wake(&self, notice: Notice);

    /// See [`crate::Store::notifications`].
    fn follow(&self) -> Notifications;

    /// See [`crate::Store::board`].
    fn board(&self) -> Option<Arc<dyn Board>>;

    /// How long verbs may take.
    fn patience(&self) -> Patience;
}

/// How long verbs may take before they fail as unavailable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Verbs that a person or a follower waits for.
    pub(crate) verb: Duration,
    /// Verbs that read or delete a whole store.
    pub(crate) bulk: Duration,
}

/// A transaction at work.
pub(crate) trait Tx: Send {
    /// Reads the head with the database's clock, as a [`crate::rows::HeadRow`].
    const HEAD: &'static str;

    /// Says whether a statement may stay prepared beyond this transaction.
    fn keeps_prepared(&self) -> bool;

    /// Reads all rows.
    fn rows<T: StoredRow>(
        &mut self,
        sql: impl Into<Sql> + Send,
        arguments: Vec<Argument>,
    ) -> impl Future<Output = Result<Vec<T>, sqlx::Error>> + Send;

    /// Runs a statement and answers how many rows it touched.
    fn run(
        &mut self,
        sql: impl Into<Sql> + Send,
        arguments: Vec<Argument>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Writes a decided group as of `now`, the new head and the notice to followers, and says
    /// whether it did: not if the head is not the one that `batch` was decided on.
    fn write(
        &mut self,
        batch: &Batch<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Tells followers of this transaction's end; nothing happens if it is rolled back.
    fn notify(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Makes everything durable.
    fn commit(self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A row that both databases yield.
pub(crate) trait StoredRow:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

impl<T> StoredRow for T where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

/// A statement with `$1`, `$2`, … for its arguments. Constant ones are kept prepared.
pub(crate) struct Sql(Cow<'static, str>);

impl Sql {
    /// The statement for sqlx, and whether to keep it prepared.
    pub(crate) fn parts(self) -> (sqlx::SqlStr, bool) {
        use sqlx::SqlSafeStr;
        match self.0 {
            Cow::Borrowed(text) => (text.into_sql_str(), true),
            // Built in this crate of constants and numbers only, never of a caller's text.
            Cow::Owned(text) => (AssertSqlSafe(text).into_sql_str(), false),
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// The value of one `$n`.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    Number(i64),
    MaybeNumber(Option<i64>),
    Text(String),
    Bytes(Vec<u8>),
    Id(Uuid),
    Rules(Json<Vec<StoredRule>>),
}

/// Implements the parts of [`Tx`] that read alike for both drivers; `tx` is the transaction,
/// and the expression its connection.
macro_rules! common_tx {
    (|$tx:ident| $connection:expr) => {
        async fn rows<T: $crate::backend::StoredRow>(
            &mut self,
            sql: impl Into<$crate::backend::Sql> + Send,
            arguments: Vec<$crate::backend::Argument>,
        ) -> Result<Vec<T>, sqlx::Error> {
            let (text, keep) = sql.into().parts();
            let mut query = sqlx::query_as(text).persistent(keep && self.keeps_prepared());
            for argument in arguments {
                query = match argument {
                    $crate::backend::Argument::Number(value) => query.bind(value),
                    $crate::backend::Argument::Text(value) => query.bind(value),
                    $crate::backend::Argument::Id(value) => query.bind(value),
                    $crate::backend::Argument::MaybeNumber(value) => query.bind(value),
                    $crate::backend::Argument::Bytes(value) => query.bind(value),
                    $crate::backend::Argument::Rules(value) => query.bind(value),
                };
            }
            let $tx = self;
            query.fetch_all($connection).await
        }

        async fn run(
            &mut self,
            sql: impl Into<$crate::backend::Sql> + Send,
            arguments: Vec<$crate::backend::Argument>,
        ) -> Result<u64, sqlx::Error> {
            let (text, keep) = sql.into().parts();
            let mut query = sqlx::query(text).persistent(keep && self.keeps_prepared());
            for argument in arguments {
                query = match argument {
                    $crate::backend::Argument::Number(value) => query.bind(value),
                    $crate::backend::Argument::Text(value) => query.bind(value),
                    $crate::backend::Argument::Id(value) => query.bind(value),
                    $crate::backend::Argument::MaybeNumber(value) => query.bind(value),
                    $crate::backend::Argument::Bytes(value) => query.bind(value),
                    $crate::backend::Argument::Rules(value) => query.bind(value),
                };
            }
            let $tx = self;
            Ok(query.execute($connection).await?.rows_affected())
        }
    };
}

pub(crate) use common_tx;
