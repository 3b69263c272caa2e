//! The store in one SQLite file, for laptops and one small server.

mod audit;
mod doorbell;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use chameleon_model::Timestamp;
use futures::{StreamExt as _, stream};
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::{Instant, interval_at};
use tokio_stream::wrappers::IntervalStream;
use uuid::Uuid;

use self::doorbell::Doorbell;
use self::write::Transaction;
use crate::backend::{Backend, Patience, Tx, common_tx};
use crate::board::Board;
use crate::news::News;
use crate::records::Batch;
use crate::rows::AuditRow;
use crate::{Notice, Notifications, StoreError, migrations};

const READERS: u32 = 4;
/// How many queries a connection keeps prepared: commits of up to [`write::KEPT_ROWS`] have one each.
const KEPT_QUERIES: usize = 256;
/// The pages of the log after which it is worked into the file, 32 MiB: what a busy hour writes again
/// and again is written back once.
const CHECKPOINT_PAGES: &str = "8000";
/// How long to wait for another process that writes to the same file.
const BUSY: Duration = Duration::from_secs(5);
/// Only another process's commits are found so late: this one's are announced at once.
const POLL: Duration = Duration::from_secs(5);

const PATIENCE: Patience = Patience {
    verb: Duration::from_secs(10),
    bulk: Duration::from_mins(2),
};

/// The store in a SQLite file; see [`Store`](crate::Store) for its verbs.
///
/// Commits are durable when they return (WAL, `synchronous=FULL`). One connection writes, others
/// read beside it.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// The writing connection may still be in a transaction that a query of its own began.
    unfinished: Arc<AtomicBool>,
    /// Rings when the writing connection commits.
    bell: Arc<Doorbell>,
    news: News,
}

impl SqliteStore {
    /// Opens the file at `address` (`sqlite://path`, or a plain path), and creates it and its
    /// folder where they are missing, readable by its owner only. `sqlite::memory:` lives as long
    /// as the store.
    ///
    /// # Errors
    /// [`StoreError::Address`] names a path that cannot be used, [`StoreError::Damaged`] tells of
    /// a file that is not a database of this program.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        let news = News::default();
        let (unfinished, bell) = (Arc::default(), Arc::default());
        let Some(path) = path_of(address)? else {
            // The pool's one connection is the database: neither age nor rest may close it.
            let only = writer_pool(&unfinished, &bell)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(options().in_memory(true).shared_cache(false));
            migrations::run_on_sqlite(&only).await?;
            return Ok(Self {
                writer: only.clone(),
                readers: only,
                unfinished,
                bell,
                news,
            });
        };
        prepare(&path).map_err(|error| unusable(&path, &error))?;
        let options = options()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = writer_pool(&unfinished, &bell)
            .connect_with(options.clone())
            .await
            .map_err(|error| match StoreError::from(error) {
                StoreError::Unavailable(cause) => unusable(&path, &cause),
                StoreError::Damaged(what) => {
                    StoreError::Damaged(format!("`{}`: {what}", path.display()))
                }
                other => other,
            })?;
        migrations::run_on_sqlite(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self {
            writer,
            readers,
            unfinished,
            bell,
            news,
        })
    }
}

/// A pool of one connection, whose commits ring `bell`. It is given back without the transaction that
/// a cancelled or failed query began and did not end: sqlx knows only of those that it began itself.
fn writer_pool(unfinished: &Arc<AtomicBool>, bell: &Arc<Doorbell>) -> SqlitePoolOptions {
    let (unfinished, bell) = (Arc::clone(unfinished), Arc::clone(bell));
    SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let bell = Arc::clone(&bell);
            Box::pin(async move {
                let mut handle = connection.lock_handle().await?;
                handle.set_commit_hook(move || {
                    bell.unmute();
                    // It may commit.
                    true
                });
                Ok(())
            })
        })
        .after_release(move |connection, _| {
            let unfinished = unfinished.swap(false, Ordering::AcqRel);
            Box::pin(async move {
                if unfinished {
                    // Fails where the transaction had not begun, or has ended: just as well.
                    let _ = connection.execute("ROLLBACK").await;
                }
                Ok(true)
            })
        })
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(KEPT_QUERIES)
        .disable_statement_logging()
}

/// The file that `address` names; `None` for memory.
fn path_of(address: &str) -> Result<Option<PathBuf>, StoreError> {
    let path = (address.strip_prefix("sqlite://"))
        .or_else(|| address.strip_prefix("sqlite:"))
        .unwrap_or(address);
    if path == ":memory:" {
        return Ok(None);
    }
    if path.is_empty() {
        return Err(StoreError::Address(format!(
            "store `{address}` names no file; use `sqlite://path/to/file.db`"
        )));
    }
    if let Some((file, parameters)) = path.split_once('?') {
        return Err(StoreError::Address(format!(
            "store `{address}` has parameters `?{parameters}`, which are not understood; \
             use `sqlite://{file}`"
        )));
    }
    Ok(Some(PathBuf::from(path)))
}

/// Makes the folder and the file. Values may be secret, so others may not read it.
fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Address(format!(
        "cannot write to `{}`: {error}; give the store a file in a folder that can be written",
        path.display()
    ))
}

impl Backend for SqliteStore {
    type Tx = sqlx::Transaction<'static, Sqlite>;

    async fn begin_read(&self) -> Result<Self::Tx, sqlx::Error> {
        self.readers.begin().await
    }

    async fn begin_write(&self) -> Result<Self::Tx, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn write_at_once(
        &self,
        batch: &Batch<'_>,
        asked: &[Uuid],
    ) -> Result<Option<Timestamp>, sqlx::Error> {
        let mut connection = self.writer.acquire().await?;
        // Cleared only by the answer: whatever else ends this leaves a rollback to the pool.
        self.unfinished.store(true, Ordering::Release);
        let now = now();
        let write = write::write(&mut connection, Transaction::Own, batch, asked, now.0);
        let written = self.bell.wait_for(write).await?;
        self.unfinished.store(false, Ordering::Release);
        Ok(written.then_some(now))
    }

    async fn begin_beside(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin_write().await
    }

    async fn append_at_once(&self, rows: &[AuditRow]) -> Result<(), sqlx::Error> {
        let mut connection = self.writer.acquire().await?;
        // As for a commit.
        self.unfinished.store(true, Ordering::Release);
        let append = audit::append(&mut connection, rows);
        self.bell.wait_for(append).await?;
        self.unfinished.store(false, Ordering::Release);
        Ok(())
    }

    fn wake(&self, notice: Notice) {
        match notice {
            Notice::Head(head) => self.news.head(head),
            Notice::Look => self.news.look(),
        }
    }

    fn follow(&self) -> Notifications {
        let polls =
            IntervalStream::new(interval_at(Instant::now() + POLL, POLL)).map(|_| Notice::Look);
        let nudges = self.news.follow();
        // The end of the store ends the nudges, and they the stream.
        let ended = nudges.map(Some).chain(stream::iter([None]));
        stream::select(ended, polls.map(Some))
            .take_while(|nudge| std::future::ready(nudge.is_some()))
            .filter_map(std::future::ready)
            .boxed()
    }

    fn board(&self) -> Option<Arc<dyn Board>> {
        // The file is one server's.
        None
    }

    fn patience(&self) -> Patience {
        PATIENCE
    }
}

/// The time by the clock that SQLite itself reads, which is this process's, as exact as it tells it.
fn now() -> Timestamp {
    let Timestamp(micros) = SystemTime::now().into();
    Timestamp(micros - micros % 1_000)
}

impl Tx for sqlx::Transaction<'static, Sqlite> {
    const HEAD: &'static str = "SELECT epoch, revision, tag, floor, \
         CAST(round(unixepoch('subsec') * 1000000) AS INTEGER) AS now_micros FROM head";

    common_tx!(|tx| &mut **tx);

    fn keeps_prepared(&self) -> bool {
        true
    }

    async fn write(&mut self, batch: &Batch<'_>, now: Timestamp) -> Result<bool, sqlx::Error> {
        write::write(self, Transaction::Given, batch, &[], now.0).await
    }

    async fn notify(&mut self) -> Result<(), sqlx::Error> {
        // Nobody listens to the file; `wake` tells this process.
        Ok(())
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        sqlx::Transaction::commit(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_memory() {
        for (address, path) in [
            ("sqlite://data/c.db", Some("data/c.db")),
            ("sqlite:///var/lib/c.db", Some("/var/lib/c.db")),
            ("sqlite:c.db", Some("c.db")),
            ("/var/lib/c.db", Some("/var/lib/c.db")),
            ("sqlite::memory:", None),
        ] {
            assert_eq!(
                path_of(address).unwrap(),
                path.map(PathBuf::from),
                "{address}"
            );
        }
        for (address, message) in [
            (
                "sqlite://",
                "store `sqlite://` names no file; use `sqlite://path/to/file.db`",
            ),
            (
                "sqlite://c.db?mode=rwc",
                "store `sqlite://c.db?mode=rwc` has parameters `?mode=rwc`, which are not \
                 understood; use `sqlite://c.db`",
            ),
        ] {
            assert_eq!(path_of(address).unwrap_err().to_string(), message);
        }
    }
}
