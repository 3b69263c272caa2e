//! What a caller can do about a driver's error.

use std::fmt;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::{Error, postgres::PgDatabaseError};

use crate::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let passes = match &error {
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => true,
            Error::Database(answer) => passes(answer.as_ref()),
            _ => false,
        };
        if passes {
            Self::Unavailable(error.into())
        } else {
            Self::Damaged(error.to_string())
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::ExecuteMigration(Error::Database(answer), version)
                if !passes(answer.as_ref()) =>
            {
                Self::Damaged(format!("migration {version} fails: {answer}"))
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Why the database at a place can't be reached, and what to do.
#[derive(Debug)]
pub(crate) struct At<E> {
    pub(crate) place: String,
    pub(crate) error: E,
}

impl<E: fmt::Display> fmt::Display for At<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, error } = self;
        write!(
            f,
            "`{place}`: {error}; start the database, or correct its address"
        )
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for At<E> {}

/// Fails as unavailable when `verb` takes longer than `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    verb: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, verb)
        .await
        .unwrap_or_else(|_| Err(silent(limit)))
}

/// The database gave no answer in time.
pub(crate) fn silent(limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {limit:?}").into())
}

/// Says whether the database may answer the same request otherwise later.
fn passes(answer: &dyn DatabaseError) -> bool {
    let Some(code) = answer.code() else {
        return false;
    };
    if answer.try_downcast_ref::<PgDatabaseError>().is_some() {
        passes_in_postgres(&code)
    } else {
        // The low byte is the primary code, the rest details it.
        code.parse::<u32>()
            .is_ok_and(|code| passes_in_sqlite(code & 0xff))
    }
}

fn passes_in_postgres(code: &str) -> bool {
    // Connection, authorisation, no such database, transaction rolled back, out of resources, lock
    // not available, operator (shutdown, timeout), system, a read-only standby, and a transaction
    // that waited too long or failed before: both end with the connection.
    let classes = ["08", "28", "3D", "40", "53", "55", "57", "58"];
    classes.iter().any(|class| code.starts_with(class))
        || ["25006", "25P02", "25P03"].contains(&code)
}

fn passes_in_sqlite(primary: u32) -> bool {
    // Busy, locked, read-only, I/O error, full, cannot open.
    [5, 6, 8, 10, 13, 14].contains(&primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in [
            "57P01", "57014", "40001", "3D000", "28P01", "53300", "25006", "25P02",
        ] {
            assert!(passes_in_postgres(code), "{code}");
        }
        for code in ["42P01", "23505", "22021", "42501"] {
            assert!(!passes_in_postgres(code), "{code}");
        }
        for (code, expected) in [(5, true), (261, true), (14, true), (11, false), (26, false)] {
            assert_eq!(passes_in_sqlite(code & 0xff), expected, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_unavailable() {
        let error = within::<()>(Duration::from_secs(2), std::future::pending()).await;
        let Err(StoreError::Unavailable(cause)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(cause.to_string(), "no answer within 2s");
    }
}
