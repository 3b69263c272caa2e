//! Keys that are written as text, and read again by another server.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use bytes::Bytes;
use chameleon_client::{Api, ApiSettings, CommitOutcome, Selection};
use chameleon_model::{Key, Operation, Transaction};
use chameleon_store::Store;
use config_server::Settings;
use service_kit::Lifecycle;
use test_kit::postgres;

use crate::rig::{chameleon, config_server};

/// A config server on a free port.
struct Server {
    url: String,
    api: Api,
    lifecycle: Lifecycle,
}

impl Server {
    async fn on(store: Arc<dyn Store>) -> Self {
        let (url, lifecycle) = config_server(Settings::default(), store).await;
        let api = Api::connect(ApiSettings {
            servers: vec![url.clone()],
            ..ApiSettings::default()
        });
        Self {
            api: api.unwrap(),
            url,
            lifecycle,
        }
    }

    async fn in_memory() -> Self {
        Self::on(chameleon_store::open("sqlite::memory:").await.unwrap()).await
    }

    async fn commit(&self, operations: Vec<Operation>) -> u64 {
        let transaction = Transaction {
            operations,
            ..Transaction::default()
        };
        match self.api.commit(transaction).await.unwrap() {
            CommitOutcome::Committed(stamp) => stamp.revision.0,
            other => panic!("not committed: {other:?}"),
        }
    }

    /// All keys with their values and flags.
    async fn contents(&self) -> Vec<(Key, Bytes, u64)> {
        let state = self.api.read(&Selection::all(), None).await.unwrap();
        let entries = state.entries.into_iter();
        entries
            .map(|entry| (entry.key, entry.value, entry.flags))
            .collect()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = chameleon(arguments);
        command
            .env("CHAMELEON_SERVER", &self.url)
            .env("USER", "ada");
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true).output().await.unwrap()
    }

    /// What it prints when all goes well.
    async fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn stop(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

fn put(key: &str, value: impl Into<Bytes>, flags: u64) -> Operation {
    Operation::Put {
        key: Key::new(key).unwrap(),
        value: value.into(),
        flags,
    }
}

fn awkward() -> Vec<Operation> {
    let long = "\u{d55c}".repeat(170);
    vec![
        put(" ", " ", 0),
        put("a \"b\"\\,\u{e7}/\u{fc}", "\u{1b}[31m\r\n", 1),
        put("bytes", &b"\xff\x00\xfe\n"[..], u64::MAX),
        put("config/location-beta.yml", "a: 1\n", 0),
        put("empty", "", 0),
        put("half", &"\u{d55c}".as_bytes()[..2], 0),
        put("json", r#"{"entries":1}"#, 3),
        put("large", vec![b'"'; 512 * 1024], 0),
        put("slashes//in///", "\u{feff}\0\u{2028}", 0),
        put("{\"entries\":1}", "x", 0),
        put(&long, "long", 0),
        put("\u{1f98e}", "\u{d55c}\u{ad6d}", 0),
    ]
}

async fn round_trip(from: Arc<dyn Store>, to: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl").display().to_string();
    let (from, to) = (Server::on(from).await, Server::on(to).await);
    from.commit(awkward()).await;
    let said = from.printed(&["export", "--file", &file]).await;
    assert_eq!(said, format!("wrote 12 keys of revision 1 to `{file}`\n"));

    let planned = to.printed(&["import", "--file", &file, "--dry-run"]).await;
    assert!(
        planned.contains("+ config/location-beta.yml\n"),
        "{planned}"
    );
    assert!(planned.ends_with("would create 12, change 0 and delete 0 keys; 0 are so already\n"));
    assert_eq!(to.contents().await, []);

    let said = to.printed(&["import", "--file", &file]).await;
    assert_eq!(
        said,
        "created 12, changed 0 and deleted 0 keys in 1 transaction, up to revision 1; 0 were so \
         already\n"
    );
    assert_eq!(to.contents().await, from.contents().await);
    let again = to.printed(&["import", "--file", &file]).await;
    assert!(again.contains("in 0 transactions"), "{again}");

    // The same lines again, but for the state's name and so the checksum.
    let entries = |text: &str| -> Vec<String> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[1..lines.len() - 1].to_vec()
    };
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(entries(&to.printed(&["export"]).await), entries(&written));
    from.stop().await;
    to.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_postgres_and_back() {
    let sqlite = async || chameleon_store::open("sqlite::memory:").await.unwrap();
    let database = postgres::database().await;
    let postgres = chameleon_store::open(database.url()).await.unwrap();
    round_trip(sqlite().await, postgres.clone()).await;
    // What it holds now is all there is, under another name.
    let server = Server::on(postgres).await;
    let held = server.contents().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl").display().to_string();
    server.printed(&["export", "--file", &file]).await;
    let other = Server::on(sqlite().await).await;
    other.printed(&["import", "--file", &file]).await;
    assert_eq!(other.contents().await, held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_put_back_as_it_was() {
    let server = Server::in_memory().await;
    let before = server
        .commit(vec![
            put("a/1", "x", 0),
            put("a/2", "x", 0),
            put("b", "x", 0),
        ])
        .await;
    server
        .commit(vec![
            put("a/1", "y", 0),
            put("a/3", "y", 0),
            put("b", "y", 0),
        ])
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jsonl").display().to_string();
    let revision = before.to_string();
    let export = ["export", "a/", "--revision", &revision, "--file", &file];
    server.printed(&export).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let planned = server
        .printed(&["import", "--file", &file, "--replace", "--dry-run"])
        .await;
    assert_eq!(
        planned,
        "~ a/1\n- a/3\nwould create 0, change 1 and delete 1 keys; 1 are so already\n"
    );
    let planned = server
        .printed(&["import", "--file", &file, "--dry-run", "-o", "json"])
        .await;
    assert_eq!(
        planned,
        "{\"outcome\":\"planned\",\"created\":[],\"changed\":[\"a/1\"],\"deleted\":[],\"unchanged\":1}\n"
    );
    server
        .printed(&["import", "--file", &file, "--replace", "-m", "as it was"])
        .await;
    let values: Vec<_> = (server.contents().await.into_iter())
        .map(|(key, value, _)| (key.to_string(), value))
        .collect();
    let expected = [("a/1", "x"), ("a/2", "x"), ("b", "y")];
    assert_eq!(
        values,
        expected.map(|(key, value)| (key.to_owned(), Bytes::from(value)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_changes_nothing() {
    let server = Server::in_memory().await;
    server
        .commit(vec![put("a", "x", 0), put("b", "x", 0)])
        .await;
    let text = server.printed(&["export"]).await;
    let before = server.contents().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    let shown = path.display().to_string();
    for (bad, reason) in [
        (
            text.replace("\"b\",\"value\":\"x\"", "\"b\",\"value\":\"y"),
            "line 3: ",
        ),
        (
            text.replace("\"value\":\"x\"", "\"value\":\"y\""),
            "line 4: the checksum does not match",
        ),
        (text[..text.len() / 2].to_owned(), "line "),
    ] {
        std::fs::write(&path, bad).unwrap();
        refused(&server, &path, &format!("error: read `{shown}`: {reason}")).await;
    }
    let missing = folder.path().join("none");
    refused(
        &server,
        &missing,
        &format!("error: read `{}`: ", missing.display()),
    )
    .await;
    assert_eq!(server.contents().await, before);
}

async fn refused(server: &Server, path: &Path, reason: &str) {
    let path = path.display().to_string();
    let output = server.run(&["import", "--file", &path]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with(reason), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
