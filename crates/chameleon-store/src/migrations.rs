//! The numbered files of `/migrations`, embedded.
//!
//! Each runs once, in order, under a lock of the database; files that were changed after they ran are
//! refused. The table that tells which ran is sqlx's.
//!
//! Migrations run while the previous version still serves, so they only add, and a database that is
//! ahead of this program is accepted. One that takes away what a previous version uses has a name
//! with [`BREAKING`] after its number: programs that do not know it refuse its database.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::StoreError;

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
    embedded!("postgres", 6, "0006_audit"),
    embedded!("postgres", 7, "0007_instances"),
    embedded!("postgres", 8, "0008_audit_by_id"),
];

const SQLITE: &[Embedded] = &[
    embedded!("sqlite", 1, "0001_history"),
    embedded!("sqlite", 2, "0002_access"),
    embedded!("sqlite", 3, "0003_lock_delays"),
    embedded!("sqlite", 4, "0004_tokens_and_sessions"),
    embedded!("sqlite", 5, "0005_holds"),
    embedded!("sqlite", 6, "0006_audit"),
    embedded!("sqlite", 7, "0007_audit_by_id"),
];

/// What stands after the number of a migration that previous versions cannot work with.
const BREAKING: &str = "breaking_";

/// Where the migrations that ran are kept, as sqlx's migrator does.
const TABLE: &str = "_sqlx_migrations";

/// The lock that lets one migrate at a time: "chamelmi" in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"chamelmi");

/// Each migration has a transaction of its own, which begins with `limits` and takes the lock: a lock
/// of the session would outlive this connection behind a pooler.
pub(crate) async fn run_on_postgres(
    connection: &mut PgConnection,
    limits: &str,
) -> Result<(), StoreError> {
    let migrator = migrator(POSTGRES);
    while apply_next(connection, &migrator, limits).await? {}
    Ok(())
}

/// Runs the first migration that did not run yet; says whether there was one.
async fn apply_next(
    connection: &mut PgConnection,
    migrator: &Migrator,
    limits: &str,
) -> Result<bool, StoreError> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; {limits}; SELECT pg_advisory_xact_lock({LOCK})"
    );
    // Made of constants and numbers only.
    let mut tx = connection.begin_with(AssertSqlSafe(begin)).await?;
    if !is_there(&mut tx).await? {
        tx.ensure_migrations_table(TABLE).await?;
    }
    let ran = ran_on_postgres(&mut tx).await?;
    ran.check(POSTGRES)?;
    let Some(migration) = ran.next(migrator)? else {
        return Ok(false);
    };
    let run = tx.execute(migration.sql.clone()).await;
    run.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
    let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                execution_time) VALUES ($1, $2, TRUE, $3, -1)";
    sqlx::query(note)
        .persistent(false)
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

async fn is_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .persistent(false)
        .fetch_one(connection)
        .await
}

async fn ran_on_postgres(connection: &mut PgConnection) -> Result<Ran, sqlx::Error> {
    sqlx::query_as(RAN)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map(Ran)
}

/// Says whether the tables are as new as this program, or newer; without changing them.
///
/// # Errors
/// [`StoreError::TooNew`] if they are newer than this program can work with.
pub(crate) async fn are_new_on_postgres(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let mut tx = connection.begin().await?;
    if !is_there(&mut tx).await? {
        return Ok(false);
    }
    let ran = ran_on_postgres(&mut tx).await?;
    ran.check(POSTGRES)?;
    Ok(ran.next(&migrator(POSTGRES))?.is_none())
}

/// By sqlx's own way around a limit of the compiler: the future of `Migrator::run` can't move between
/// threads, and a store is opened in tasks that do.
pub(crate) async fn run_on_sqlite(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    connection.ensure_migrations_table(TABLE).await?;
    let ran = sqlx::query_as(RAN).fetch_all(&mut *connection).await?;
    Ran(ran).check(SQLITE)?;
    let migrator = migrator(SQLITE);
    migrator.run_direct(None, &mut *connection, false).await?;
    Ok(())
}

/// The migrations that ran on a database, oldest first.
struct Ran(Vec<(i64, String, bool, Vec<u8>)>);

const RAN: &str =
    "SELECT version, description, success, checksum FROM _sqlx_migrations ORDER BY version";

impl Ran {
    /// Refuses a database that this program, which knows `embedded`, can't work with.
    fn check(&self, embedded: &[Embedded]) -> Result<(), StoreError> {
        let newest = embedded.last().map_or(0, |(version, ..)| *version);
        let unknown = self.0.iter().filter(|(version, ..)| *version > newest);
        match unknown
            .map(|(_, name, ..)| name)
            .find(|name| is_breaking(name))
        {
            Some(name) => Err(StoreError::TooNew {
                migration: name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The first of `migrator`'s that did not run yet.
    fn next<'m>(&self, migrator: &'m Migrator) -> Result<Option<&'m Migration>, MigrateError> {
        if let Some((version, ..)) = self.0.iter().find(|(_, _, success, _)| !success) {
            return Err(MigrateError::Dirty(*version));
        }
        for migration in migrator.iter() {
            let ran = self.0.iter().find(|ran| ran.0 == migration.version);
            match ran {
                None => return Ok(Some(migration)),
                Some((.., checksum)) if checksum[..] != migration.checksum[..] => {
                    return Err(MigrateError::VersionMismatch(migration.version));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }
}

/// Says whether programs that do not know the migration `name` cannot work with its tables.
fn is_breaking(name: &str) -> bool {
    (name.split_once('_')).is_some_and(|(_, rest)| rest.starts_with(BREAKING))
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

    /// The first version that promises to serve beside the next one.
    const PROMISED: i64 = 4;

    /// Migrations that do more than add, and why the version before does not mind.
    const HARMLESS: &[(&str, &str)] = &[
        (
            "0006_audit",
            "nothing has read or written the table that it replaces",
        ),
        (
            "0007_instances",
            "nothing has read or written the table that it replaces",
        ),
        ("0007_audit_by_id", WITHOUT_THE_TIME),
        ("0008_audit_by_id", WITHOUT_THE_TIME),
    ];

    const WITHOUT_THE_TIME: &str =
        "it does without the index on the time, and only looks for times and prunes more slowly";

    /// The statements of a file, in capitals, without comments.
    fn statements(sql: &str) -> Vec<String> {
        let lines = sql
            .lines()
            .map(|line| line.split("--").next().unwrap_or(""));
        let text = lines.collect::<Vec<_>>().join(" ").to_uppercase();
        let words = |one: &str| one.split_whitespace().collect::<Vec<_>>().join(" ");
        (text.split(';').map(words))
            .filter(|one| !one.is_empty())
            .collect()
    }

    /// Says whether a program that does not know of it is not disturbed by `statement`.
    fn only_adds(statement: &str) -> bool {
        let starts = |with: &[&str]| with.iter().any(|start| statement.starts_with(start));
        if statement.starts_with("ALTER TABLE") {
            let adds = statement.contains(" ADD COLUMN ") && !statement.contains(" DROP ");
            let is_filled = !statement.contains("NOT NULL") || statement.contains(" DEFAULT ");
            // Others would be held to it by writers that do not know it.
            let binds = ["UNIQUE", "REFERENCES", "CHECK"];
            return adds && is_filled && !binds.iter().any(|bind| statement.contains(bind));
        }
        starts(&[
            "CREATE TABLE",
            "CREATE UNLOGGED TABLE",
            "CREATE INDEX",
            "INSERT INTO",
            "COMMENT ON",
        ])
    }

    #[test]
    fn what_only_adds_is_told_from_what_takes_away() {
        let sql = "-- DROP TABLE a;\nCREATE TABLE a (b BIGINT); -- ;\nALTER TABLE a\n ADD COLUMN c \
                   TEXT NOT NULL DEFAULT '';";
        let adding = statements(sql);
        assert_eq!(adding.len(), 2);
        assert!(adding.iter().all(|statement| only_adds(statement)));
        for sql in [
            "drop table a",
            "alter table a drop column b",
            "alter table a add column b text not null",
            "alter table a add column b text unique",
            "alter table a rename column b to c",
            "alter table a alter column b type text",
            "create unique index i on a (b)",
            "update a set b = 1",
            "delete from a",
        ] {
            assert!(!only_adds(&statements(sql)[0]), "{sql}");
        }
    }

    /// The rule of docs/operations/upgrade.md.
    #[test]
    fn every_migration_only_adds_or_says_that_it_breaks() {
        for (version, name, sql) in POSTGRES.iter().chain(SQLITE) {
            let reason = HARMLESS.iter().find(|(harmless, _)| harmless == name);
            if *version <= PROMISED || is_breaking(name) || reason.is_some() {
                continue;
            }
            for statement in statements(sql) {
                assert!(
                    only_adds(&statement),
                    "{name}: `{statement}` may disturb the version before; see \
                     docs/operations/upgrade.md"
                );
            }
        }
    }

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
