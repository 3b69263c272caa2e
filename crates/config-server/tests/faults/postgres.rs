//! Postgres as processes that can be killed, on data that can be copied.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use test_kit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::server::{free_port, last_lines};

/// Names the folder of PostgreSQL's programs; `cargo xtask faults` sets it.
pub(crate) const PROGRAMS: &str = "CHAMELEON_POSTGRES_PROGRAMS";

/// What survives the death of every process is what the system has: there is no need to wait for
/// the disk. But a commit has to be with the system before it is acknowledged.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=on",
    "shared_buffers=32MB",
    "max_connections=100",
    "max_wal_size=64MB",
    "min_wal_size=32MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "log_min_messages=warning",
];

/// A server on a loopback port that stays the same.
pub(crate) struct Postgres {
    programs: PathBuf,
    user: Option<(u32, u32)>,
    password: String,
    pub(crate) addr: SocketAddr,
    postmaster: Option<Child>,
    folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::with_prefix("chameleon-faults-postgres-").unwrap();
        let user = other_user(folder.path());
        let mut postgres = Self {
            programs: programs(),
            user,
            password: Uuid::new_v4().simple().to_string(),
            addr: (Ipv4Addr::LOCALHOST, free_port()).into(),
            postmaster: None,
            folder,
        };
        postgres.init();
        postgres.run().await;
        postgres
    }

    fn init(&self) {
        let password_file = self.folder.path().join("password");
        std::fs::write(&password_file, &self.password).unwrap();
        if let Some((user, group)) = self.user {
            for path in [self.folder.path(), &password_file] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let mut initdb = self.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(self.data())
            .args(["--username=postgres", "--auth=password", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--wal-segsize=4", "--pwfile"])
            .arg(&password_file);
        succeed(&mut initdb);
    }

    /// The address of the database by way of `addr`.
    pub(crate) fn url(&self, addr: SocketAddr) -> String {
        let password = &self.password;
        format!("postgres://postgres:{password}@{addr}/postgres?sslmode=disable")
    }

    /// Starts the server, and returns when it takes connections.
    pub(crate) async fn run(&mut self) {
        self.postmaster = Some(self.spawn());
        let addr = self.addr;
        eventually("Postgres takes connections", async || {
            let ended = (self.postmaster.as_mut()).is_none_or(|child| {
                let ended = child.try_wait().expect("a child can be asked");
                ended.is_some()
            });
            // The processes of one that was killed may still be ending.
            if ended {
                self.postmaster = Some(self.spawn());
            }
            answers(addr).await.then_some(())
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log());
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data());
        postgres.args(["-h", "127.0.0.1", "-k", "", "-p"]);
        postgres.arg(self.addr.port().to_string());
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        postgres
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"))
            .spawn()
            .expect("Postgres can be started")
    }

    /// Kills all processes of the server at once.
    pub(crate) fn kill(&mut self) {
        let mut postmaster = self.postmaster.take().expect("it runs");
        let mut pids = vec![postmaster.id()];
        pids.extend(children(postmaster.id()));
        kill(&pids);
        postmaster.wait().expect("a killed child ends");
    }

    /// Kills the process that serves some connection; false if there is none.
    pub(crate) fn kill_backend(&self, pick: impl FnOnce(usize) -> usize) -> bool {
        let postmaster = self.postmaster.as_ref().expect("it runs");
        let backends: Vec<_> = (children(postmaster.id()).into_iter())
            .filter(|pid| title(*pid).contains("127.0.0.1("))
            .collect();
        if backends.is_empty() {
            return false;
        }
        kill(&[backends[pick(backends.len())]]);
        true
    }

    /// Returns when the server takes connections again after it has restarted itself.
    pub(crate) async fn recovered(&self) {
        let addr = self.addr;
        eventually("Postgres has recovered", async || {
            answers(addr).await.then_some(())
        })
        .await;
    }

    /// Stops the server in good order, copies its data and starts it again.
    pub(crate) async fn copy(&mut self) {
        let mut postmaster = self.postmaster.take().expect("it runs");
        let pid = postmaster.id().to_string();
        succeed(Command::new("kill").args(["-INT", &pid]));
        postmaster.wait().expect("a stopped child ends");
        copy(&self.data(), &self.copied());
        self.run().await;
    }

    /// Puts the copy in place of the data of a server that was killed, and starts it.
    pub(crate) async fn promote(&mut self) {
        copy(&self.copied(), &self.data());
        self.run().await;
    }

    /// What the server said last.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log(), 10)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/").env("LC_ALL", "C");
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGOPTIONS"] {
            command.env_remove(name);
        }
        if let Some((user, group)) = self.user {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn copied(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.postmaster.is_some() {
            self.kill();
        }
    }
}

/// Says whether the server at `addr` has come up: it asks who we are, where before it only refuses.
async fn answers(addr: SocketAddr) -> bool {
    const HELLO: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let ask = async {
        let mut connection = TcpStream::connect(addr).await?;
        connection.write_all(HELLO).await?;
        connection.read_u8().await
    };
    ask.await.is_ok_and(|kind| kind == b'R')
}

/// Replaces the folder `to` by a copy of `from`, with owners and rights.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    succeed(Command::new("cp").arg("-a").args([from, to]));
}

fn kill(pids: &[u32]) {
    let mut command = Command::new("kill");
    command.arg("-KILL").args(pids.iter().map(u32::to_string));
    // One of them may have ended by itself.
    let _ = command.stderr(Stdio::null()).status();
}

/// The processes that `parent` has started; none where there is no `/proc`.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Its name, in parentheses, may hold spaces; the state and the parent follow.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_whitespace().nth(1)) == Some(&parent.to_string())
    })
    .collect()
}

fn title(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The user and group that run the server if we are root, as which Postgres refuses to run.
fn other_user(ours: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if ours.metadata().unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let named = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let user = named("postgres").or_else(|| named("nobody"));
    Some(user.expect("there is a user `postgres` or `nobody`"))
}

/// The folder that is given, is in `PATH`, or is the newest of the usual ones.
fn programs() -> PathBuf {
    if let Some(given) = std::env::var_os(PROGRAMS) {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = std::fs::read_dir("/usr/lib/postgresql");
    let mut usual: Vec<_> = (usual.into_iter().flatten().flatten())
        .map(|entry| entry.path().join("bin"))
        .collect();
    usual.sort();
    std::env::split_paths(&path)
        .chain(usual.into_iter().rev())
        .find(|folder| folder.join("initdb").is_file())
        .unwrap_or_else(|| {
            panic!("this test needs PostgreSQL's server programs in `PATH` or `{PROGRAMS}`")
        })
}

fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
}
