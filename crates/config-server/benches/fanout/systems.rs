//! How each system is started, and by which faces it is used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use test_kit::postgres::{SERVER_VARIABLE, TestDatabase};
use tokio::time::Instant;

use crate::process::{Process, folder, free_port};
use crate::value::{self, KEY, Sightings};
use crate::{etcd, grpc, http};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// Ours on SQLite, by Consul's HTTP API.
    ChameleonHttp,
    /// Ours on SQLite, by gRPC.
    ChameleonGrpc,
    /// Ours on Postgres, by gRPC.
    ChameleonPostgres,
    /// Consul, by its HTTP API.
    Consul,
    /// etcd, by gRPC.
    Etcd,
}

/// A system that serves.
pub(crate) struct Running {
    pub(crate) process: Process,
    /// The face that the system is measured by.
    pub(crate) endpoint: Endpoint,
    /// Ours has a second.
    pub(crate) other: Option<Endpoint>,
    _database: Option<TestDatabase>,
}

/// A face of a server.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Http(http::Target),
    Grpc(grpc::Target),
    Etcd(etcd::Target),
}

/// One client that writes.
pub(crate) enum Writer {
    Http(http::Connection, http::Target),
    Grpc(grpc::Client),
    Etcd(etcd::Client),
}

/// One client that watches one key.
pub(crate) enum Watcher {
    Http(http::Watcher),
    Grpc(Box<grpc::Watcher>),
    Etcd(Box<etcd::Watcher>),
}

impl System {
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Consul | Self::Etcd)
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ChameleonHttp | Self::ChameleonGrpc | Self::ChameleonPostgres => "Chameleon",
            Self::Consul => "Consul",
            Self::Etcd => "etcd",
        }
    }

    /// Starts it with empty data, and returns when it takes writes: the key has the value of round 0.
    pub(crate) async fn start(self) -> anyhow::Result<Running> {
        let mut running = match self {
            Self::ChameleonHttp => chameleon(None, true)?,
            Self::ChameleonGrpc => chameleon(None, false)?,
            Self::ChameleonPostgres => {
                chameleon(Some(test_kit::postgres::database().await), false)?
            }
            Self::Consul => consul()?,
            Self::Etcd => etcd()?,
        };
        running.ready().await?;
        Ok(running)
    }

    /// Whether a Postgres was given.
    pub(crate) fn has_postgres() -> bool {
        std::env::var_os(SERVER_VARIABLE).is_some()
    }
}

impl Running {
    async fn ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            self.process.check()?;
            let Err(error) = self.endpoint.write_once(0).await else {
                return Ok(());
            };
            if started.elapsed() > Duration::from_secs(30) {
                return Err(error.context("wait for the server to take a write"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Endpoint {
    /// Connects a watcher of `key`.
    pub(crate) async fn watch(&self, key: &str, id: usize) -> anyhow::Result<Watcher> {
        Ok(match self {
            Self::Http(target) => Watcher::Http(target.watch(key, id).await?),
            Self::Grpc(target) => {
                let client = target.connect().await?;
                Watcher::Grpc(Box::new(client.watch(key, id, None).await?))
            }
            Self::Etcd(target) => Watcher::Etcd(Box::new(target.watch(key, id).await?)),
        })
    }

    /// Connects a writer.
    pub(crate) async fn writer(&self) -> anyhow::Result<Writer> {
        Ok(match self {
            Self::Http(target) => Writer::Http(target.connect().await?, target.clone()),
            Self::Grpc(target) => Writer::Grpc(target.connect().await?),
            Self::Etcd(target) => Writer::Etcd(target.connect().await?),
        })
    }

    /// Writes the value of `round` by a connection of its own.
    pub(crate) async fn write_once(&self, round: u64) -> anyhow::Result<()> {
        self.writer().await?.put(KEY, round).await
    }
}

impl Writer {
    /// Returns when the value of `round` is stored under `key`.
    pub(crate) async fn put(&mut self, key: &str, round: u64) -> anyhow::Result<()> {
        let value = value::of_round(round);
        match self {
            Self::Http(connection, target) => target.put(connection, key, &value).await,
            Self::Grpc(client) => client.put(key, value).await,
            Self::Etcd(client) => client.put(key, value).await,
        }
    }
}

impl Watcher {
    /// Tells every value that comes, the current one first, until the connection breaks.
    pub(crate) async fn follow(self, seen: Sightings) -> anyhow::Result<()> {
        match self {
            Self::Http(mut watcher) => watcher.follow(&seen).await,
            Self::Grpc(mut watcher) => watcher.follow(&seen).await,
            Self::Etcd(mut watcher) => watcher.follow(&seen).await,
        }
    }
}

/// What is compared, for people.
pub(crate) fn versions() -> anyhow::Result<Vec<String>> {
    let first = |name: &str, flag: &str| -> anyhow::Result<String> {
        let output = std::process::Command::new(peer(name)?).arg(flag).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    Ok(vec![
        first("consul", "version")?,
        first("etcd", "--version")?,
    ])
}

const TOKEN: &str = "c7b0f5d2a1e84396b5d8f0e1a2c3b4d5";

/// With a token, so that every call is checked, and with limits that leave room for all clients.
fn chameleon(database: Option<TestDatabase>, by_http: bool) -> anyhow::Result<Running> {
    let folder = folder()?;
    std::fs::write(folder.path().join("token"), TOKEN)?;
    let http = format!("127.0.0.1:{}", free_port()?);
    let grpc = format!("127.0.0.1:{}", free_port()?);
    let store = match &database {
        Some(database) => database.url().to_owned(),
        None => String::from("sqlite://chameleon.db"),
    };
    let arguments = words(&[
        "--http-listen",
        &http,
        "--grpc-listen",
        &grpc,
        "--store",
        &store,
        "--bootstrap-token-file",
        "token",
        "--max-watches",
        "150000",
        "--max-connections",
        "20000",
        // All clients show one token from one address. Counted all the same, as for everybody.
        "--max-watches-per-client",
        "150000",
        "--max-requests-per-client",
        "1000000",
        "--max-burst-per-client",
        "1000000",
        "--max-connections-per-address",
        "20000",
    ]);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_config-server"));
    let http = Endpoint::Http(http::Target::new(&http, Some(TOKEN))?);
    let grpc = Endpoint::Grpc(grpc::Target::new(&grpc, TOKEN)?);
    let (endpoint, other) = if by_http { (http, grpc) } else { (grpc, http) };
    Ok(Running {
        process: Process::start(program, arguments, folder)?,
        endpoint,
        other: Some(other),
        _database: database,
    })
}

/// One server that writes to its disk, with the quickest raft, without the limit on connections.
fn consul() -> anyhow::Result<Running> {
    let folder = folder()?;
    let port = free_port()?;
    let settings = format!(
        r#"{{
            "server": true, "bootstrap": true, "data_dir": "data", "node_name": "bench",
            "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "err",
            "disable_update_check": true, "disable_host_node_id": true,
            "performance": {{ "raft_multiplier": 1 }},
            "limits": {{ "http_max_conns_per_client": 15000 }},
            "ports": {{ "http": {port}, "dns": -1, "grpc": -1, "serf_wan": -1,
                        "serf_lan": {}, "server": {} }}
        }}"#,
        free_port()?,
        free_port()?
    );
    std::fs::write(folder.path().join("consul.json"), settings)?;
    let arguments = words(&["agent", "-config-file", "consul.json"]);
    Ok(Running {
        process: Process::start(peer("consul")?, arguments, folder)?,
        endpoint: Endpoint::Http(http::Target::new(&format!("127.0.0.1:{port}"), None)?),
        other: None,
        _database: None,
    })
}

fn etcd() -> anyhow::Result<Running> {
    let folder = folder()?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let client = format!("http://{address}");
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    let arguments = words(&[
        "--name",
        "bench",
        "--data-dir",
        "data",
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peers,
        "--initial-advertise-peer-urls",
        &peers,
        "--initial-cluster",
        &format!("bench={peers}"),
        "--log-level",
        "error",
    ]);
    Ok(Running {
        process: Process::start(peer("etcd")?, arguments, folder)?,
        endpoint: Endpoint::Etcd(etcd::Target::new(&address)?),
        other: None,
        _database: None,
    })
}

/// A program that we are compared with: of the folder that was given, or of `PATH`.
fn peer(name: &str) -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("CHAMELEON_PEERS").map(|folder| Path::new(&folder).join("bin"));
    let path = std::env::var_os("PATH").context("`PATH` is not set")?;
    let found = given
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    let Some(program) = found else {
        bail!("no `{name}`: run `cargo xtask bench --only fanout`, which brings it");
    };
    Ok(program)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
