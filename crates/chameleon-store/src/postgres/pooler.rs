//! Whether the database is reached directly or through a pooler, such as `PgBouncer`.
//!
//! A pooler may give each transaction another server's session. What is left in a session then is
//! lost, or found by others: prepared statements, settings, locks of a session, LISTEN.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// What is between this process and the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Nothing that takes part: a connection is a session.
    Direct,
    /// A pooler: only within a transaction is it sure that one session does all.
    Pooled,
}

impl Path {
    /// Says whether a prepared statement is still there after the transaction.
    pub(super) fn keeps_prepared(self) -> bool {
        self == Self::Direct
    }
}

/// A setting that means nothing to the database. No pooler passes on one that it does not know: it
/// drops it, or refuses it.
const SETTING: &str = "chameleon.session";

/// What `PgBouncer` answers to a start with a setting that it does not know.
const REFUSAL: &str = "unsupported startup parameter";

/// How often two connections are asked which session they have. The one that is asked is drawn, so
/// that a pooler which takes its sessions in turn is noticed too.
const ROUNDS: u32 = 20;

/// Connects, and finds out what is in between.
pub(super) async fn connect(
    options: PgConnectOptions,
) -> Result<(PgConnection, Path), sqlx::Error> {
    let session = Uuid::new_v4().to_string();
    let marked = options.clone().options([(SETTING, &session)]);
    let mut connection = match marked.connect().await {
        Err(sqlx::Error::Database(answer)) if answer.message().contains(REFUSAL) => {
            return Ok((options.connect().await?, Path::Pooled));
        }
        connected => connected?,
    };
    let mut tx = connection.begin().await?;
    let found: Option<String> = sqlx::query_scalar("SELECT current_setting($1, true)")
        .bind(SETTING)
        .persistent(false)
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    let path = if found == Some(session) {
        Path::Direct
    } else {
        Path::Pooled
    };
    Ok((connection, path))
}

/// Says whether a connection has a session as long as it lives.
///
/// A LISTEN elsewhere would not only be lost: whoever gets that session next gets its notices, which
/// no driver expects.
pub(super) async fn keeps_sessions(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, path) = connect(options.clone()).await?;
    if path == Path::Direct {
        one.close().await?;
        return Ok(true);
    }
    let mut other = options.connect().await?;
    let (first, second) = (session(&mut one).await?, session(&mut other).await?);
    let mut keeps = first != second;
    for _ in 0..ROUNDS {
        keeps = keeps
            && if rand::random() {
                session(&mut one).await? == first
            } else {
                session(&mut other).await? == second
            };
    }
    one.close().await?;
    other.close().await?;
    Ok(keeps)
}

async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection.fetch_one("SELECT pg_backend_pid()").await?;
    row.try_get(0)
}
