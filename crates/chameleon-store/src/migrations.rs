//! The numbered files of `/migrations`, embedded.
//!
//! sqlx's migrator runs each once, in order, under a lock of the database, and refuses files that
//! were changed after they ran. A database that is ahead of this program is accepted: migrations
//! run while the previous version still serves.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;
use sqlx::{PgConnection, SqlSafeStr as _};

type Embedded = (i64, &'static str, &'static str);

macro_rules! embedded {
    ($folder:literal, $version:literal, $name:literal) => {
        (
            $version,
            $name,
            include_str!(concat!("../../../migrations/", $folder, "/", $name, ".sql")),
        )
    };
}

const POSTGRES: &[Embedded] = &[
    embedded!("postgres", 1, "0001_history"),
    embedded!("postgres", 2, "0002_access_and_fleet"),
    embedded!("postgres", 3, "0003_lock_delays"),
    embedded!("postgres", 4, "0004_tokens_and_sessions"),
    embedded!("postgres", 5, "0005_holds"),
];

const SQLITE: &[Embedded] = &[
    embedded!("sqlite", 1, "0001_history"),
    embedded!("sqlite", 2, "0002_access"),
    embedded!("sqlite", 3, "0003_lock_delays"),
    embedded!("sqlite", 4, "0004_tokens_and_sessions"),
    embedded!("sqlite", 5, "0005_holds"),
];

pub(crate) async fn run_on_postgres(connection: &mut PgConnection) -> Result<(), MigrateError> {
    run(POSTGRES, connection).await
}

pub(crate) async fn run_on_sqlite(pool: &SqlitePool) -> Result<(), MigrateError> {
    run(SQLITE, &mut *pool.acquire().await?).await
}

/// By sqlx's own way around a limit of the compiler: the future of `Migrator::run` can't move between
/// threads, and a store is opened in tasks that do.
async fn run(embedded: &[Embedded], connection: &mut impl Migrate) -> Result<(), MigrateError> {
    migrator(embedded).run_direct(None, connection, false).await
}

/// The migration that this program's Postgres queries need.
pub(crate) fn newest_postgres() -> i64 {
    POSTGRES
        .iter()
        .map(|(version, ..)| *version)
        .max()
        .unwrap_or(0)
}

fn migrator(embedded: &[Embedded]) -> Migrator {
    let migrations = (embedded.iter())
        .map(|(version, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(*version, (*name).into(), kind, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_embedded_under_its_number() {
        for (folder, embedded) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../migrations")
                .join(folder);
            let files: BTreeSet<_> = (std::fs::read_dir(path).unwrap())
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            let named: BTreeSet<_> = (embedded.iter())
                .map(|(version, name, _)| {
                    assert!(name.starts_with(&format!("{version:04}_")), "{name}");
                    format!("{name}.sql")
                })
                .collect();
            assert_eq!(files, named);
        }
    }
}
