//! A real `PgBouncer` in front of a database for tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Child, Command, Stdio};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::eventually;
use crate::postgres::TestDatabase;

/// As whom it runs where we are root, which it refuses to be.
const NOBODY: u32 = 65_534;

/// When a client gives back the server's connection that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// When it disconnects.
    Session,
    /// After each transaction.
    Transaction,
}

/// A running `PgBouncer`; ends with its value.
#[derive(Debug)]
pub struct PgBouncer {
    options: PgConnectOptions,
    process: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one in front of `database`, which it connects to `connections` times at most.
    ///
    /// # Panics
    /// If there is no `pgbouncer`: a test that needs it is never skipped.
    pub async fn start(database: &TestDatabase, mode: PoolMode, connections: u32) -> Self {
        let server: PgConnectOptions = (database.url().parse()).expect("a database has a URL");
        let port = free_port();
        let pool_mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let address = server.to_url_lossy();
        // The user is given here, so that clients need no list of users.
        let settings = format!(
            "[databases]\n\
             {name} = host={host} port={server_port} dbname={name} user={user} password='{password}'\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = {pool_mode}\n\
             default_pool_size = {connections}\n\
             max_client_conn = 500\n",
            name = database.name(),
            host = server.get_host(),
            server_port = server.get_port(),
            user = server.get_username(),
            password = address.password().unwrap_or_default(),
        );
        let folder = TempDir::with_prefix("chameleon-pgbouncer-").expect("a folder can be made");
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("the settings can be written");
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, owner_only).expect("the file is ours");
        let mut command = Command::new("pgbouncer");
        // Debian has it where only root looks.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        let is_root = std::fs::metadata(&file).expect("it is there").uid() == 0;
        if is_root {
            for path in [folder.path(), &file] {
                chown(path, Some(NOBODY), None).expect("root may give files away");
            }
            command.args(["-u", "nobody"]);
        }
        let process = (command.arg("-q").arg(&file))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "this test needs PgBouncer: run `cargo xtask poolers`, which brings it, or \
                     install it: {error}"
                )
            });
        let through = server
            .host("127.0.0.1")
            .port(port)
            .ssl_mode(PgSslMode::Disable)
            .extra_float_digits(None);
        let this = Self {
            options: through.clone(),
            process,
            _folder: folder,
        };
        eventually("PgBouncer answers", async || {
            let connection = through.connect().await.ok()?;
            connection.close().await.ok()
        })
        .await;
        this
    }

    /// The URL of the database by way of this.
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    /// A connection by way of this. It may prepare no statement, and rely on no session.
    ///
    /// # Panics
    /// If it is not answered.
    pub async fn connect(&self) -> PgConnection {
        let connected = self.options.connect().await;
        connected.expect("PgBouncer answers")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}
