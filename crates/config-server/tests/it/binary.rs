//! The binary as a person or an orchestrator runs it.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use chameleon_model::{AuditAction, AuditQuery, AuditReader};
use config_server::Settings;
use test_kit::tls::Authority;
use test_kit::{FaultProxy, eventually, postgres};

use crate::support::{Server, free_listener};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_config-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAMELEON_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(folder);
    command
}

fn free_address() -> SocketAddr {
    let std = free_listener().into_std().unwrap();
    std.local_addr().unwrap()
}

/// Runs to the end; for what is expected to fail or to be done at once.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

#[cfg(unix)]
pub(crate) struct Running {
    process: Child,
    /// Mostly read no more, but open, so that it can go on writing.
    log: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

#[cfg(unix)]
impl Running {
    /// Starts it, and returns when it serves.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder, arguments);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut running = Self {
            process,
            log,
            said: Vec::new(),
        };
        running.says("serving HTTP on");
        running
    }

    /// Returns the first line of the log with `text`, or waits for it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        loop {
            if let Some(line) = self.said.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let next = self.log.next();
            let line = next.unwrap_or_else(|| panic!("it ended without saying `{text}`"));
            self.said.push(line.unwrap());
        }
    }

    /// Asks it to end, and fails unless it does so in peace.
    fn end(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

#[cfg(unix)]
impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn what_keeps_it_from_starting_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    for name in ["a", "b"] {
        authority.server(&[name]).write(folder.path(), name);
    }
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    file("empty", "\n");
    file("short", "hunter2\n");
    file("blocked", "a file where a folder is needed");
    let busy = free_listener();
    let busy = busy.local_addr().unwrap().to_string();
    let free = free_address().to_string();
    let absent = format!("postgres://ada:hunter2@{free}/x");
    let unreachable = format!(
        "open the store `postgres://ada:***@{free}/x` (`--store`): the database is unavailable: "
    );
    let nothing_to_serve =
        format!("load the state: the database is unavailable: `postgres://ada:***@{free}/x`: ");
    let cases: [(&[&str], &str); 17] = [
        (
            &[
                "--http-listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--store",
                "sqlite://blocked/chameleon.db",
                "--snapshot",
                "state.snapshot",
            ],
            "load the state: cannot write to `blocked/chameleon.db`: ",
        ),
        (
            &[
                "--http-listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--store",
                &absent,
                "--snapshot",
                "state.snapshot",
            ],
            &nothing_to_serve,
        ),
        (
            &[
                "--http-listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--store",
                &absent,
            ],
            &unreachable,
        ),
        (&["--http-listen", "0.0.0.0:0"], "--bootstrap-token-file"),
        (
            &["check-config", "--grpc-listen", "[::]:0"],
            "--bootstrap-token-file",
        ),
        (
            &["--bootstrap-token-file", "missing"],
            "read `missing` (`--bootstrap-token-file`): ",
        ),
        (
            &["--bootstrap-token-file", "empty"],
            "is empty: write the secret into it",
        ),
        (&["--bootstrap-token-file", "short"], "has 7 characters"),
        (&["--http-listen", &busy], "the port is in use"),
        (
            &["check-config", "--store", "mysql://ada:hunter2@db/x"],
            "`--store` is not understood",
        ),
        (
            &["migrate", "--store", "sqlite://blocked/chameleon.db"],
            "open the store `sqlite://blocked/chameleon.db` (`--store`): ",
        ),
        (&["healthcheck", "--http-listen", &free], "check `http://"),
        (
            &["--tls-cert", "a.crt"],
            "`--tls-cert` is given without `--tls-key`: give both",
        ),
        (
            &["--tls-client-ca", "a.crt"],
            "`--tls-client-ca` needs TLS: give `--tls-cert` and `--tls-key` as well",
        ),
        (
            &["--tls-cert", "a.crt", "--tls-key", "missing"],
            "read `missing` (`--tls-key`): ",
        ),
        (
            &["check-config", "--tls-cert", "empty", "--tls-key", "a.key"],
            "`empty` (`--tls-cert`) holds no certificate",
        ),
        (
            &["--tls-cert", "a.crt", "--tls-key", "b.key"],
            "the key in `b.key` (`--tls-key`) does not belong to the certificate in `a.crt`",
        ),
    ];
    for (arguments, text) in cases {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let said: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(said.len(), 1, "{arguments:?}: {said:?}");
        assert!(said[0].contains(text), "{arguments:?}: {}", said[0]);
        assert!(!said[0].contains("hunter2"), "{}", said[0]);
    }
}

#[tokio::test]
async fn check_config_tells_what_would_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &[
            "check-config",
            "--store",
            "postgres://ada:secret@db/x",
            "--profiles",
            "beta",
        ],
    );
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("postgres://ada:***@db/x") && text.contains("the configuration is good"));
}

#[tokio::test]
async fn two_processes_may_migrate_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    let arguments = ["migrate", "--store", database.url()];
    let migrating: Vec<_> = (0..2)
        .map(|_| {
            let mut migrate = command(folder.path(), &arguments);
            let piped = migrate.stdout(Stdio::piped()).stderr(Stdio::piped());
            piped.spawn().unwrap()
        })
        .collect();
    for process in migrating {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // Nothing is left to do.
    assert!(run(folder.path(), &arguments).status.success());
}

#[tokio::test]
async fn an_epoch_by_hand_lies_above_all_before() {
    let folder = tempfile::tempdir().unwrap();
    let new_epoch = || run(folder.path(), &["new-epoch", "--store", "sqlite://kept.db"]);
    // An empty store is more likely another one than was meant.
    let output = new_epoch();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains("is empty"),
        "{text}"
    );
    let path = folder.path().join("kept.db");
    let address = format!("sqlite://{}", path.display());
    let store = chameleon_store::open(&address).await.unwrap();
    let server = Server::of(Settings::default(), store).await;
    server.write("a", "x").await;
    server.stop().await;
    let epoch = || {
        let text = String::from_utf8(new_epoch().stdout).unwrap();
        let number = (text.strip_prefix("epoch "))
            .and_then(|rest| rest.strip_suffix(" begins at revision 1\n"))
            .unwrap_or_else(|| panic!("{text}"));
        number.parse::<u64>().unwrap()
    };
    let first = epoch();
    assert!(first > 1_700_000_000, "{first}");
    assert!(epoch() > first);
}

#[cfg(unix)]
#[tokio::test]
async fn it_serves_until_it_is_asked_to_end_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (http, grpc) = (free_address().to_string(), free_address().to_string());
    let arguments = [
        "--http-listen",
        &http,
        "--grpc-listen",
        &grpc,
        "--store",
        "sqlite://kept.db",
    ];
    let url = format!("http://{http}/v1/kv/a");
    for round in ["first", "second"] {
        // One for each process: the connections that it keeps end with the process.
        let client = client();
        let serving = Running::start(folder.path(), &arguments);
        let check = [&["healthcheck"], &arguments[..]].concat();
        assert!(run(folder.path(), &check).status.success());
        if round == "first" {
            client.put(&url).body("x").send().await.unwrap();
        }
        let value = client.get(format!("{url}?raw")).send().await.unwrap();
        assert_eq!(value.text().await.unwrap(), "x");
        serving.end();
    }
    // Also what was asked for just before.
    let path = folder.path().join("kept.db");
    let address = format!("sqlite://{}", path.display());
    let store = chameleon_store::open(&address).await.unwrap();
    let query = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    let audit = store.audit(&query, &AuditReader::All).await;
    let written: Vec<_> = (audit.unwrap().into_iter())
        .map(|record| (record.action, record.target.to_string()))
        .collect();
    assert_eq!(written, [(AuditAction::Put, "a".to_owned())]);
}

#[cfg(unix)]
#[tokio::test]
async fn its_healthcheck_works_within_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    // For another name than that by which the check comes.
    let issued = authority.server(&["config.example"]);
    issued.write(folder.path(), "server");
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let [http, grpc, admin] = [(); 3].map(|()| free_address().to_string());
    let plain = ["--http-listen", &http, "--grpc-listen", &grpc];
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
    let arguments = [&plain[..], &tls].concat();
    let health = |more: &[&str]| {
        run(
            folder.path(),
            &[&["healthcheck"], &arguments[..], more].concat(),
        )
    };

    let serving = Running::start(folder.path(), &arguments);
    let output = health(&[]);
    assert!(output.status.success(), "{output:?}");
    // It goes on with the pair that it has, whatever comes in the files' place.
    let other = Authority::new("other").server(&["config.example"]);
    for certificate in [&*other.certificate, "broken"] {
        std::fs::write(folder.path().join("server.crt"), certificate).unwrap();
        let output = health(&[]);
        assert!(output.status.success(), "{output:?}");
    }
    serving.end();
    assert!(!health(&[]).status.success(), "nobody is there");
    issued.write(folder.path(), "server");

    let asking = ["--tls-client-ca", "ca.crt"];
    let serving = Running::start(folder.path(), &[&arguments[..], &asking].concat());
    let output = health(&asking);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains("give `--admin-listen`"),
        "{text}"
    );
    std::fs::write(folder.path().join("server.crt"), "broken").unwrap();
    let output = health(&asking);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let said = "warning: checked only that it answers in TLS: `server.crt` (`--tls-cert`) holds no certificate";
    assert!(text.contains(said), "{text}");
    serving.end();
    assert!(!health(&asking).status.success(), "nobody is there");
    issued.write(folder.path(), "server");

    let beside = [&asking[..], &["--admin-listen", &admin]].concat();
    let serving = Running::start(folder.path(), &[&arguments[..], &beside].concat());
    let output = health(&beside);
    assert!(output.status.success(), "{output:?}");
    serving.end();
}

#[cfg(unix)]
// The proxy goes on while a thread waits for the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_from_its_snapshot_while_the_database_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let store = database.url_through(&proxy);
    let (http, grpc) = (free_address().to_string(), free_address().to_string());
    let arguments = [
        "--http-listen",
        &http,
        "--grpc-listen",
        &grpc,
        "--store",
        &store,
        "--snapshot",
        "state.snapshot",
    ];
    let url = format!("http://{http}/v1/kv/a");
    for round in ["with", "without"] {
        let client = client();
        let serving = Running::start(folder.path(), &arguments);
        if round == "with" {
            client.put(&url).body("x").send().await.unwrap();
        } else {
            let check = [&["healthcheck"], &arguments[..]].concat();
            assert!(run(folder.path(), &check).status.success());
            let read = client.get(format!("{url}?raw")).send().await.unwrap();
            assert_eq!(read.headers()["x-consul-knownleader"], "false");
            assert_eq!(read.text().await.unwrap(), "x");
            let refused = client.put(&url).body("y").send().await.unwrap();
            assert_eq!(refused.status(), 503);
            proxy.heal();
            eventually("writes succeed", async || {
                let written = client.put(&url).body("y").send().await.unwrap();
                (written.status() == 200).then_some(())
            })
            .await;
        }
        serving.end();
        proxy.cut().await;
    }
}

#[cfg(unix)]
fn client() -> reqwest::Client {
    use service_kit::http_client::{self, HttpClientSettings};
    http_client::new(&HttpClientSettings::new("config-server-test/0")).unwrap()
}
