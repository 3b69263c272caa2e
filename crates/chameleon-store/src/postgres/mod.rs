//! The store in Postgres, for production and any number of server replicas.

mod audit;
mod board;
mod listen;
mod pooler;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chameleon_model::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Postgres};
use tokio::time::Instant;
use uuid::Uuid;

use self::board::PostgresBoard;
use self::listen::Listener;
use self::pooler::Path;
use crate::address::redacted;
use crate::backend::{Backend, Patience, Tx, common_tx};
use crate::board::Board;
use crate::failure::{At, silent, within};
use crate::records::Batch;
use crate::rows::AuditRow;
use crate::{Notice, Notifications, StoreError, migrations};

/// An idle connection is tried before its next use after so long: restarts of the database are
/// noticed, and a busy store spends no round trip on it.
const TRY_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How long a connection that is given back may take to show that it still works.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// Ends whatever transaction a connection that is given back may still be in.
///
/// sqlx queues a rollback only once it has seen that the transaction began, and a verb may be
/// cancelled, or refused the head, before that. A bare `ROLLBACK` would leave a warning in the
/// server's log each time that there is none, which is nearly always. In one that is open, `BEGIN`
/// only warns; in one that failed it fails, and the connection is closed.
const CLEAN: &str = "BEGIN; ROLLBACK";

/// How a [`PostgresStore`] connects.
#[derive(Clone)]
pub struct PostgresSettings {
    /// Where, as `postgres://user:password@host:5432/database`; never shown with its password.
    pub url: String,
    /// Where to listen for commits, if not at `url`: a pooler in transaction mode drops LISTEN, so
    /// behind one this is the database's own address.
    pub listen_url: Option<String>,
    /// The most connections in use at once, beside the one that listens.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a verb may take, also on the server, where it bounds how long a lost client can
    /// hold a lock.
    pub timeout: Duration,
    /// How long a verb may take that reads or compacts the whole store.
    pub bulk_timeout: Duration,
    /// How long it may take to bring the tables up to date, with the wait for another who does.
    /// What was not finished is rolled back.
    pub migrate_timeout: Duration,
    /// Brings the tables up to date when connecting. Switch it off where the role may not create
    /// tables; they are then expected to be there.
    pub migrate: bool,
    /// How long a nudge can be late at most if the notice of a commit is lost.
    pub poll_interval: Duration,
}

impl PostgresSettings {
    /// The usual settings for the database at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            listen_url: None,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            bulk_timeout: Duration::from_mins(2),
            migrate_timeout: Duration::from_mins(10),
            migrate: true,
            poll_interval: Duration::from_secs(5),
        }
    }

    /// Connects once, so that the first failure tells its cause; a pool would only time out. Finds
    /// out what is in between.
    async fn connect_one(&self) -> Result<(PgConnection, Path), StoreError> {
        let options = options(&self.url)?;
        let place = redacted(&self.url);
        tokio::time::timeout(self.acquire_timeout, pooler::connect(options))
            .await
            .map_err(|_| silent(self.acquire_timeout))?
            .map_err(|error| StoreError::Unavailable(At { place, error }.into()))
    }

    /// Brings the tables up to date over a connection of its own, whose end undoes what a cancelled
    /// run has begun.
    async fn run_migrations(&self) -> Result<Path, StoreError> {
        let (mut connection, path) = self.connect_one().await?;
        let limits = self.limits("SET LOCAL", self.migrate_timeout);
        within(self.migrate_timeout, async {
            migrations::run_on_postgres(&mut connection, &limits).await?;
            Ok(())
        })
        .await?;
        close(connection).await;
        Ok(path)
    }

    /// Bounds on the server what a client that vanished can hold up: `set` is `SET` for the session,
    /// or `SET LOCAL` for a transaction.
    ///
    /// Warnings are no news to the client: they tell of what it cancelled, or already knows.
    fn limits(&self, set: &str, statement: Duration) -> String {
        let (statement, millis) = (statement.as_millis(), self.timeout.as_millis());
        format!(
            "{set} client_min_messages = error; \
             {set} statement_timeout = {statement}; \
             {set} idle_in_transaction_session_timeout = {millis}"
        )
    }

    /// The limits of a session, and how soon the server notices that its client is gone.
    fn session(&self) -> String {
        format!(
            "{}; SET tcp_keepalives_idle = 10; SET tcp_user_timeout = {}",
            self.limits("SET", self.timeout),
            self.timeout.as_millis()
        )
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("url", &redacted(&self.url))
            .field("max_connections", &self.max_connections)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

/// The store in a Postgres database; see [`Store`](crate::Store) for its verbs.
///
/// Every replica of a server opens its own on the same database. Needs Postgres 13 or later. There
/// may be a pooler in between, in any mode; see [`PostgresSettings::listen_url`].
pub struct PostgresStore {
    pool: PgPool,
    path: Path,
    at_hand: AtHand,
    begin: Begin,
    patience: Patience,
    listener: Listener,
}

/// How transactions begin, each in one round trip.
struct Begin {
    read: String,
    write: String,
    beside: String,
}

impl Begin {
    fn new(settings: &PostgresSettings, path: Path) -> Self {
        let bulk = settings.bulk_timeout.as_millis();
        // Without a session of one's own, each transaction brings its limits along.
        let limits = match path {
            Path::Direct => String::new(),
            Path::Pooled => format!("; {}", settings.limits("SET LOCAL", settings.timeout)),
        };
        Self {
            // Every query sees the same state, as compaction may run beside it.
            read: format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{limits}; \
                 SET LOCAL statement_timeout = {bulk}"
            ),
            // The lock has a statement of its own: a statement that waits for it would go on with
            // the state from before the wait. The isolation is said, because a database may have
            // another default, under which waiting ends in an error.
            write: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED{limits}; SELECT FROM head FOR UPDATE"
            ),
            beside: format!("BEGIN ISOLATION LEVEL READ COMMITTED{limits}"),
        }
    }
}

impl PostgresStore {
    /// Connects, and starts the task that listens for commits; it ends with the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] within the acquire timeout if the database does not answer,
    /// within the migrate timeout if it stops answering then, and if its tables are missing or
    /// older than this program while `migrate` is off.
    pub async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let path = if settings.migrate {
            settings.run_migrations().await?
        } else {
            let (mut connection, path) = settings.connect_one().await?;
            within(settings.timeout, check_tables(&mut connection)).await?;
            close(connection).await;
            path
        };
        let pool = pool(settings, path).connect_lazy_with(options(&settings.url)?);
        let listening = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(settings.acquire_timeout)
            .connect_lazy_with(options(
                settings.listen_url.as_ref().unwrap_or(&settings.url),
            )?);
        Ok(Self {
            listener: Listener::start(listening, pool.clone(), settings.poll_interval),
            at_hand: AtHand::default(),
            pool,
            path,
            begin: Begin::new(settings, path),
            patience: Patience {
                verb: settings.timeout,
                bulk: settings.bulk_timeout,
            },
        })
    }

    async fn begin(&self, begin: &str) -> Result<PostgresTx, sqlx::Error> {
        // Made of constants and numbers only.
        let begin = sqlx::AssertSqlSafe(begin);
        Ok(PostgresTx {
            tx: self.pool.begin_with(begin).await?,
            path: self.path,
        })
    }

    /// Brings the tables up to date, whatever [`PostgresSettings::migrate`] says.
    ///
    /// Several may try at once: one does it, the others wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database does not answer, [`StoreError::Damaged`] if a
    /// migration fails or was changed after it ran.
    pub async fn migrate(settings: &PostgresSettings) -> Result<(), StoreError> {
        settings.run_migrations().await.map(drop)
    }
}

/// The connection of the last commit, for the next one: to give it back to the pool costs two round
/// trips, as much as the commit. One whose commit failed or was cancelled goes back all the same.
#[derive(Default)]
struct AtHand(Mutex<Option<(PoolConnection<Postgres>, Instant)>>);

impl AtHand {
    /// It, unless it has rested for so long that the pool should try it first.
    fn take(&self) -> Option<PoolConnection<Postgres>> {
        let held = self.lock().take();
        held.filter(|(_, since)| since.elapsed() < TRY_AFTER_IDLE)
            .map(|(connection, _)| connection)
    }

    /// Keeps it, unless that could leave others without any.
    fn keep(&self, connection: PoolConnection<Postgres>, pool: &PgPool) {
        let others = pool.num_idle() > 0 || pool.size() < pool.options().get_max_connections();
        if others {
            *self.lock() = Some((connection, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(PoolConnection<Postgres>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only a courtesy to the server: what was asked of it is done.
async fn close(connection: PgConnection) {
    let _ = tokio::time::timeout(TRY_LIMIT, connection.close()).await;
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(|error| {
        let shown = redacted(url);
        StoreError::Address(format!(
            "store `{shown}` is not a Postgres address: {error}"
        ))
    })?;
    Ok(options
        .application_name("chameleon")
        // PgBouncer refuses it, and no float is read.
        .extra_float_digits(None)
        .disable_statement_logging())
}

fn pool(settings: &PostgresSettings, path: Path) -> PgPoolOptions {
    // A pooler would pass it on to others, and lose it for us.
    let session = match path {
        Path::Direct => settings.session(),
        Path::Pooled => String::new(),
    };
    PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < TRY_AFTER_IDLE || connection.ping().await.is_ok())
            })
        })
        .after_connect(move |connection, _| {
            // Made of numbers only.
            let session = sqlx::AssertSqlSafe(session.clone());
            Box::pin(async move { connection.execute(session).await.map(drop) })
        })
        // The pool itself tries without a limit, and a network that swallows bytes would keep the
        // connection's place taken for many minutes.
        .after_release(|connection, _| {
            Box::pin(async move {
                match tokio::time::timeout(TRY_LIMIT, connection.execute(CLEAN)).await {
                    Ok(Ok(_)) => Ok(true),
                    // It was left in the middle of a failure, which ends with the connection.
                    Ok(Err(sqlx::Error::Database(_))) => Ok(false),
                    Ok(Err(error)) => Err(error),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
}

async fn check_tables(connection: &mut PgConnection) -> Result<(), StoreError> {
    const OLD: &str = "its tables are missing or older than this program; \
                       run `config-server migrate` with a role that may create tables";
    if !migrations::are_new_on_postgres(connection).await? {
        return Err(StoreError::Unavailable(OLD.into()));
    }
    Ok(())
}

impl Backend for PostgresStore {
    type Tx = PostgresTx;

    async fn begin_read(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin(&self.begin.read).await
    }

    async fn begin_write(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin(&self.begin.write).await
    }

    async fn write_at_once(
        &self,
        batch: &Batch<'_>,
        asked: &[Uuid],
    ) -> Result<Option<Timestamp>, sqlx::Error> {
        let written = match self.path {
            Path::Direct => self.write_by_statement(batch, asked).await,
            Path::Pooled => self.write_by_transaction(batch, asked).await,
        };
        match written {
            Err(error) if write::was_late(&error) => Ok(None),
            written => Ok(written?.map(Timestamp)),
        }
    }

    async fn begin_beside(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin(&self.begin.beside).await
    }

    async fn append_at_once(&self, rows: &[AuditRow]) -> Result<(), sqlx::Error> {
        match self.path {
            Path::Direct => {
                let mut connection = self.pool.acquire().await?;
                audit::append(&mut connection, self.path, rows).await
            }
            // The limits of a transaction, which a pooler leaves nothing else of.
            Path::Pooled => {
                let mut beside = self.begin(&self.begin.beside).await?;
                audit::append(&mut beside.tx, self.path, rows).await?;
                Tx::commit(beside).await
            }
        }
    }

    fn wake(&self, _notice: Notice) {
        // NOTIFY reaches this process too.
    }

    fn follow(&self) -> Notifications {
        self.listener.follow()
    }

    fn board(&self) -> Option<Arc<dyn Board>> {
        Some(Arc::new(PostgresBoard {
            pool: self.pool.clone(),
            begin: self.begin.beside.clone(),
            keep: self.path == Path::Direct,
            patience: self.patience.verb,
        }))
    }

    fn patience(&self) -> Patience {
        self.patience
    }
}

impl PostgresStore {
    /// In one round trip.
    async fn write_by_statement(
        &self,
        batch: &Batch<'_>,
        asked: &[Uuid],
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut connection = match self.at_hand.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let written = write::write(&mut connection, self.path, batch, asked, None).await?;
        self.at_hand.keep(connection, &self.pool);
        Ok(written)
    }

    /// In a transaction, without which a pooler may change servers between the statement's parts.
    async fn write_by_transaction(
        &self,
        batch: &Batch<'_>,
        asked: &[Uuid],
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut beside = self.begin(&self.begin.beside).await?;
        let written = write::write(&mut beside.tx, self.path, batch, asked, None).await?;
        if written.is_some() {
            Tx::commit(beside).await?;
        }
        Ok(written)
    }
}

/// A transaction, with what its connection can do.
pub(crate) struct PostgresTx {
    tx: sqlx::Transaction<'static, Postgres>,
    path: Path,
}

impl Tx for PostgresTx {
    const HEAD: &'static str = "SELECT epoch, revision, tag, floor, \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_micros FROM head";

    common_tx!(|one| &mut *one.tx);

    fn keeps_prepared(&self) -> bool {
        self.path.keeps_prepared()
    }

    async fn write(&mut self, batch: &Batch<'_>, now: Timestamp) -> Result<bool, sqlx::Error> {
        let written = write::write(&mut self.tx, self.path, batch, &[], Some(now.0)).await?;
        Ok(written.is_some())
    }

    async fn notify(&mut self) -> Result<(), sqlx::Error> {
        self.tx
            .execute("SELECT pg_notify('chameleon_changed', '')")
            .await
            .map(drop)
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await
    }
}
