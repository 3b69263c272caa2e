//! A replica of the server as a process of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use service_kit::http_client::{self, HttpClientSettings};
use test_kit::eventually;

/// How long a call of the store may take; a paused network is found out so quickly.
const STORE_TIMEOUT: &str = "1s";

/// A replica at addresses that stay the same.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    name: String,
    store: String,
    program: PathBuf,
    folder: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// A replica that does not run yet; `program` is a copy of the binary.
    pub(crate) fn new(name: &str, store: String, program: &Path, folder: &Path) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        Self {
            http: (Ipv4Addr::LOCALHOST, free_port()).into(),
            grpc: (Ipv4Addr::LOCALHOST, free_port()).into(),
            name: name.to_owned(),
            store,
            program: program.to_owned(),
            folder,
            process: None,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process, and returns when it is ready.
    pub(crate) async fn run(&mut self) {
        self.process = Some(self.spawn());
        let client = http_client::new(&HttpClientSettings::new("config-server-test/0")).unwrap();
        let url = format!("http://{}/health/ready", self.http);
        eventually(&format!("{} is ready", self.name), async || {
            // What it said is in its log; a database that was just away may need another try.
            if self.has_ended() {
                self.process = Some(self.spawn());
            }
            let answer = client.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log());
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHAMELEON_") {
                command.env_remove(name);
            }
        }
        command
            .arg("--http-listen")
            .arg(self.http.to_string())
            .arg("--grpc-listen")
            .arg(self.grpc.to_string())
            .args(["--store", &self.store, "--store-timeout", STORE_TIMEOUT])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"))
            .spawn()
            .expect("the server can be started")
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a killed child ends");
        }
    }

    /// Says whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        (self.process.as_mut()).is_some_and(|process| {
            let ended = process.try_wait().expect("a child can be asked");
            ended.is_some()
        })
    }

    /// What the process said last.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log(), 10)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port below those that outgoing connections take, so that it is still free after a restart.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).expect("it is below 10,000");
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The end of a log, for a failure's message.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
