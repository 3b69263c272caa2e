//! A server under measurement: its process, its folder, what it uses.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The unit of processor time in `/proc`, which Linux fixes for all programs.
const TICK: Duration = Duration::from_millis(10);

/// A running server; it ends with this value, and its data is removed.
pub(crate) struct Process {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Process {
    /// Starts `program` in `folder`, where its output goes into the file `log`.
    pub(crate) fn start(
        program: PathBuf,
        arguments: Vec<String>,
        folder: TempDir,
    ) -> anyhow::Result<Self> {
        let child = spawn(&program, &arguments, folder.path())?;
        Ok(Self {
            child,
            program,
            arguments,
            folder,
        })
    }

    /// Kills it without a word.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again, with the data that it had.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.arguments, self.folder.path())?;
        Ok(())
    }

    /// Asks it to end, and returns when it has.
    pub(crate) async fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        let id = self.child.id().context("the server has ended")?;
        let asked = Command::new("kill").arg(id.to_string()).status().await?;
        anyhow::ensure!(asked.success(), "ask process {id} to end");
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        ended.context("the server does not end")??;
        Ok(())
    }

    /// Starts it with other arguments in the same folder.
    pub(crate) fn start_with(&mut self, arguments: Vec<String>) -> anyhow::Result<()> {
        self.arguments = arguments;
        self.restart()
    }

    /// Fails with what it said last if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            bail!(
                "`{}` ended with {status}: {}",
                self.program.display(),
                last.join("; ")
            );
        }
        Ok(())
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // The name, in parentheses, may hold anything; utime and stime are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("read the name")?;
        let ticks: Result<Vec<u32>, _> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect();
        Ok(TICK * ticks?.iter().sum::<u32>())
    }

    /// The memory that it has, in KiB: its own pages and its share of those it shares.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let rollup = self.read("smaps_rollup")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("find `Pss`")?.parse()?)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let id = self.child.id().context("the server has ended")?;
        let path = format!("/proc/{id}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("read `{path}`"))
    }
}

/// A folder on the disk that the build is on: a temporary one may be in memory, where nothing is
/// durable.
pub(crate) fn folder() -> anyhow::Result<TempDir> {
    let parent = env!("CARGO_TARGET_TMPDIR");
    std::fs::create_dir_all(parent)?;
    Ok(tempfile::tempdir_in(parent)?)
}

/// A port that is free now, from below those that the system gives to clients: clients that try again
/// and again could take one of theirs from a server that restarts.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port >= 32_000 {
            bail!("no port below 32000 is free");
        }
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> anyhow::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CHAMELEON_", "CONSUL_", "ETCD_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start `{}`", program.display()))
}
