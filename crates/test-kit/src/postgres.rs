//! A fresh Postgres database for each test.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

/// The variable that names the server for tests, as a URL of a role that may create databases.
pub const SERVER_VARIABLE: &str = "CHAMELEON_TEST_DATABASE_URL";

/// Time for the server to drop a database; what is left after it goes with the server.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// An empty database that nobody else uses; dropped with this value, connections included.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
    server: PgConnectOptions,
}

/// Creates an empty database on the server for tests.
///
/// # Panics
/// If `CHAMELEON_TEST_DATABASE_URL` is not set: a test that needs Postgres is never skipped. Also
/// if the server cannot be reached or its role may not create databases.
pub async fn database() -> TestDatabase {
    let url = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "this test needs Postgres: run `cargo xtask test`, which brings one, \
             or set `{SERVER_VARIABLE}`"
        )
    });
    let server: PgConnectOptions = url
        .parse()
        .unwrap_or_else(|error| panic!("`{SERVER_VARIABLE}` is not a Postgres URL: {error}"));
    let name = format!("test_{}", Uuid::now_v7().simple());
    run(&server, format!(r#"CREATE DATABASE "{name}""#))
        .await
        .unwrap_or_else(|error| panic!("create a database at `{SERVER_VARIABLE}`: {error}"));
    TestDatabase {
        url: server.clone().database(&name).to_url_lossy().to_string(),
        name,
        server,
    }
}

impl TestDatabase {
    /// The `postgres://` URL of this database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of this database on its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's host and port, for a [`FaultProxy`](crate::FaultProxy) in front of it.
    pub fn server_address(&self) -> (String, u16) {
        (self.server.get_host().to_owned(), self.server.get_port())
    }

    /// Runs SQL behind the backs of the programs that use this database.
    ///
    /// # Panics
    /// If it fails.
    pub async fn execute(&self, statement: &str) {
        let database = self.server.clone().database(&self.name);
        (run(&database, statement.to_owned()).await)
            .unwrap_or_else(|error| panic!("run `{statement}`: {error}"));
    }

    /// The URL of this database by way of `proxy`.
    pub fn url_through(&self, proxy: &crate::FaultProxy) -> String {
        let addr = proxy.addr();
        let options = self.server.clone().database(&self.name);
        let through = options.host(&addr.ip().to_string()).port(addr.port());
        through.to_url_lossy().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, self.name);
        // On a thread of its own, because the test's runtime cannot be entered again from here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            // Best effort: the server is thrown away after the tests.
            let _ = runtime.block_on(async {
                tokio::time::timeout(DROP_LIMIT, run(&server, statement)).await
            });
        });
        let _ = dropping.join();
    }
}

async fn run(server: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = server.connect().await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}
