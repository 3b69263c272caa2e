//! The server under measurement: its process, its store, and a client of it.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use chameleon_client::{Api, ApiSettings, CommitOutcome, Token};
use chameleon_model::{Key, Operation, Transaction};
use test_kit::postgres::TestDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::process::{Process, folder, free_port};
use crate::{grpc, timed};

const TOKEN: &str = "c7b0f5d2a1e84396b5d8f0e1a2c3b4d5";

/// Where a store is never found.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/none";

/// How many operations go into one transaction while the store is filled.
const FILLED_AT_ONCE: usize = 20_000;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    Postgres,
    Sqlite,
}

impl Backing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Some keys with values of the same size.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) prefix: &'static str,
    pub(crate) count: usize,
    pub(crate) value_bytes: usize,
}

pub(crate) struct Server {
    process: Process,
    http: String,
    grpc: String,
    arguments: Vec<String>,
    settings: ApiSettings,
    api: Api,
    /// The last version of the large entries.
    version: Cell<usize>,
    _database: Option<TestDatabase>,
}

impl Entries {
    fn key(&self, at: usize) -> String {
        format!("{}{at:06}.yml", self.prefix)
    }

    /// A value that no other has, so that nothing is stored or compressed once for all.
    fn value(&self, at: usize, version: usize) -> Bytes {
        let mut value = format!("version: {version}\nnumber: {at}\n");
        let mut state = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while value.len() < self.value_bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let name = value.len();
            writeln!(value, "field{name}: {state:016x}").expect("a text takes all");
        }
        value.truncate(self.value_bytes);
        value.into()
    }

    fn operations(&self, version: usize) -> impl Iterator<Item = Operation> {
        (0..self.count).map(move |at| Operation::Put {
            key: Key::new(&self.key(at)).expect("it is a good key"),
            value: self.value(at, version),
            flags: 0,
        })
    }

    /// The size of the keys and values.
    pub(crate) fn kibibytes(&self) -> f64 {
        let bytes = self.count * (self.key(0).len() + self.value_bytes);
        f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX))
    }
}

impl Server {
    /// A server with an empty store, a token and a snapshot on disk.
    pub(crate) async fn start(backing: Backing) -> anyhow::Result<Self> {
        let folder = folder()?;
        std::fs::write(folder.path().join("token"), TOKEN)?;
        let token = Token::file(folder.path().join("token"));
        let database = match backing {
            Backing::Postgres => Some(test_kit::postgres::database().await),
            Backing::Sqlite => None,
        };
        let http = format!("127.0.0.1:{}", free_port()?);
        let grpc = format!("127.0.0.1:{}", free_port()?);
        let store = match &database {
            Some(database) => database.url().to_owned(),
            None => String::from("sqlite://chameleon.db"),
        };
        let arguments: Vec<String> = [
            "--http-listen",
            &http,
            "--grpc-listen",
            &grpc,
            "--bootstrap-token-file",
            "token",
            "--snapshot",
            "snapshot",
            "--store",
            &store,
        ]
        .map(str::to_owned)
        .into();
        let settings = ApiSettings {
            servers: vec![format!("http://{grpc}")],
            token: Some(token),
            call_timeout: PATIENCE,
            ..ApiSettings::default()
        };
        let api = Api::connect(settings.clone())?;
        let program = PathBuf::from(env!("CARGO_BIN_EXE_config-server"));
        let process = Process::start(program, arguments.clone(), folder)?;
        let mut server = Self {
            process,
            http,
            grpc,
            arguments,
            settings,
            api,
            version: Cell::new(1_000),
            _database: database,
        };
        server.until("/health/ready", 200).await?;
        Ok(server)
    }

    /// Another connection to it.
    pub(crate) async fn connect(&self) -> anyhow::Result<grpc::Client> {
        grpc::Target::new(&self.grpc, TOKEN)?.connect().await
    }

    pub(crate) async fn fill(&self, entries: &Entries) -> anyhow::Result<()> {
        let mut left = entries.operations(0).peekable();
        while left.peek().is_some() {
            let operations = left.by_ref().take(FILLED_AT_ONCE).collect();
            apply(&self.api, operations).await?;
        }
        Ok(())
    }

    /// How long a commit of all `entries` takes; `version` makes each value another one.
    pub(crate) async fn commit(
        &self,
        entries: &Entries,
        version: usize,
    ) -> anyhow::Result<Duration> {
        let operations = entries.operations(version + 1).collect();
        timed(apply(&self.api, operations)).await
    }

    /// Commits all `entries` over and over until `end` is cancelled, on a thread and connections of its
    /// own: a client of 20 MB is not to keep those that are measured from their work.
    pub(crate) fn commit_over_and_over(
        &self,
        entries: &Entries,
        end: CancellationToken,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<usize>>> {
        let api = Api::connect(self.settings.clone())?;
        // None that was there before, so that each commit changes all.
        let first = self.version.get() + 1;
        self.version.set(first + 1);
        let versions: Vec<Vec<Operation>> = (first..first + 2)
            .map(|version| entries.operations(version).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(std::thread::spawn(move || {
            let mut commits = 0;
            runtime.block_on(async {
                for operations in versions.iter().cycle() {
                    if end.is_cancelled() {
                        break;
                    }
                    apply(&api, operations.clone()).await?;
                    commits += 1;
                }
                Ok(commits)
            })
        }))
    }

    /// Ends it as an orchestrator does, and tells how long it takes from its start until the last
    /// entry is read.
    pub(crate) async fn restart(&mut self, entries: &Entries) -> anyhow::Result<Duration> {
        let arguments = self.arguments.clone();
        self.start_with(entries, arguments).await
    }

    /// The same while its store can't be reached.
    pub(crate) async fn restart_without_store(
        &mut self,
        entries: &Entries,
    ) -> anyhow::Result<Duration> {
        let mut arguments = self.arguments.clone();
        if let Some(store) = arguments.last_mut() {
            NOWHERE.clone_into(store);
        }
        self.start_with(entries, arguments).await
    }

    async fn start_with(
        &mut self,
        entries: &Entries,
        arguments: Vec<String>,
    ) -> anyhow::Result<Duration> {
        self.process.stop(PATIENCE).await?;
        let started = Instant::now();
        self.process.start_with(arguments)?;
        let last = entries.key(entries.count - 1);
        self.until(&format!("/v1/kv/{last}?raw"), 200).await?;
        Ok(started.elapsed())
    }

    /// The memory that it has, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        self.process.memory()
    }

    /// Asks for `path` again and again until it has `status`.
    async fn until(&mut self, path: &str, status: u16) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            self.process.check()?;
            let seen = status_of(&self.http, path).await;
            if seen.is_ok_and(|seen| seen == status) {
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "`{path}` was not answered with {status} in {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn apply(api: &Api, operations: Vec<Operation>) -> anyhow::Result<()> {
    let transaction = Transaction {
        operations,
        ..Transaction::default()
    };
    match api.commit(transaction).await? {
        CommitOutcome::Committed(_) => Ok(()),
        other => bail!("the commit was not applied: {other:?}"),
    }
}

/// The status of one GET over a connection of its own.
async fn status_of(address: &str, path: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nx-consul-token: {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let head = std::str::from_utf8(answer.get(9..12).context("read the status")?)?;
    Ok(head.parse()?)
}
