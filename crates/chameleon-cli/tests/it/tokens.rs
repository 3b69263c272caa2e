//! A team gets its prefix: from the bootstrap token to the team's first value.

use std::path::PathBuf;
use std::process::Output;

use config_server::Settings;
use serde_json::Value;
use service_kit::Lifecycle;
use tempfile::TempDir;
use test_kit::eventually;

use crate::rig::{chameleon, config_server};

const BOOTSTRAP: &str = "0123456789abcdef0123456789abcdef";

/// A server that needs a token, and a folder for tokens.
struct Guarded {
    server: String,
    folder: TempDir,
    lifecycle: Lifecycle,
}

impl Guarded {
    async fn start() -> Self {
        let settings = Settings {
            token: Some(BOOTSTRAP.into()),
            ..Settings::default()
        };
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let (server, lifecycle) = config_server(settings, store).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bootstrap"), BOOTSTRAP).unwrap();
        Self {
            server,
            folder,
            lifecycle,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = chameleon(arguments);
        command
            .env("CHAMELEON_SERVER", &self.server)
            .env("CHAMELEON_TOKEN_FILE", self.file(token))
            .env("TZ", "UTC");
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true).output().await.unwrap()
    }

    /// What a command prints that has to succeed.
    async fn printed(&self, token: &str, arguments: &[&str]) -> String {
        let output = self.run(token, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one line with which a command fails.
    async fn refused(&self, token: &str, arguments: &[&str]) -> String {
        let output = self.run(token, arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }

    /// Runs a command that prints a secret, and keeps it in a file, as `> FILE` does.
    async fn issued(&self, file: &str, arguments: &[&str]) {
        let secret = self.printed("bootstrap", arguments).await;
        assert!(secret.starts_with("cham_") && secret.lines().count() == 1);
        std::fs::write(self.file(file), secret).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_gets_its_prefix() {
    let guarded = Guarded::start().await;
    let create = ["token", "create", "team-a"];
    let rules = ["--allow", "write:teams/a/", "--allow", "read:shared.yml"];
    let create = [&create[..], &rules, &["--expires", "90d"]].concat();
    guarded.issued("a", &create).await;
    let again = guarded.refused("bootstrap", &create).await;
    assert!(again.contains("no name is given twice"), "{again}");

    let put = |key: &'static str| ["put", key, "x: 1"];
    guarded.printed("a", &put("teams/a/config/shop.yml")).await;
    let value = guarded
        .printed("a", &["get", "teams/a/config/shop.yml"])
        .await;
    assert_eq!(value, "x: 1");
    let history = ["history", "--output", "json"];
    let history: Value = serde_json::from_str(&guarded.printed("a", &history).await).unwrap();
    assert_eq!(history["commits"][0]["via"], "grpc 127.0.0.1 token team-a");
    let refused = guarded.refused("a", &put("teams/b/config/shop.yml")).await;
    assert_eq!(
        refused,
        "error: denied: token `team-a` lacks the right `write` on key `teams/b/config/shop.yml`\n"
    );
    let refused = guarded.refused("a", &["ls"]).await;
    assert!(refused.contains("`read` on all of prefix ``"), "{refused}");
    let refused = guarded.refused("a", &["token", "list"]).await;
    assert!(refused.contains("may not manage tokens"), "{refused}");

    let listed = guarded.printed("bootstrap", &["token", "list"]).await;
    let row = listed.lines().last().unwrap();
    for part in ["team-a ", "write:teams/a/ read:shared.yml", " bootstrap "] {
        assert!(row.contains(part), "{listed}");
    }
    assert!(!listed.contains("cham_"), "{listed}");
    let listed = ["token", "list", "--output", "json"];
    let listed: Value = serde_json::from_str(&guarded.printed("bootstrap", &listed).await).unwrap();
    assert_eq!(listed["tokens"][0]["rules"][1], "read:shared.yml");
    assert_eq!(listed["tokens"][0]["expired"], false);

    guarded.issued("new", &["token", "rotate", "team-a"]).await;
    for token in ["a", "new"] {
        guarded.printed(token, &["ls", "teams/a/"]).await;
    }
    let at_once = ["token", "rotate", "team-a", "--grace", "0s"];
    guarded.issued("newer", &at_once).await;
    let refused = guarded.refused("a", &["ls", "teams/a/"]).await;
    assert!(refused.contains("the token is not valid here"), "{refused}");
    guarded.printed("newer", &["ls", "teams/a/"]).await;

    let revoked = guarded
        .printed("bootstrap", &["token", "revoke", "team-a"])
        .await;
    assert_eq!(revoked, "revoked token `team-a`; its watches end\n");
    guarded.refused("newer", &["ls", "teams/a/"]).await;
    let listed = guarded.printed("bootstrap", &["token", "list"]).await;
    assert_eq!(listed, "no tokens but the bootstrap token\n");
    guarded.lifecycle.shut_down();
    guarded.lifecycle.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_read_by_who_may() {
    let guarded = Guarded::start().await;
    let create = |name: &'static str, rule| ["token", "create", name, "--allow", rule];
    guarded
        .issued("a", &create("team-a", "write:teams/a/"))
        .await;
    guarded
        .issued("b", &create("team-b", "write:teams/b/"))
        .await;
    let nothing = guarded.printed("b", &["audit"]).await;
    assert_eq!(nothing, "no such record is kept\n");
    guarded.printed("a", &["put", "teams/a/x.txt", "1"]).await;
    guarded.refused("a", &["put", "teams/b/x.txt", "1"]).await;

    let refused = ["audit", "--refused", "--output", "json"];
    let record = eventually("the refusal is in the store", async || {
        let listed: Value = serde_json::from_str(&guarded.printed("b", &refused).await).unwrap();
        listed["records"].get(0).cloned()
    })
    .await;
    for (field, expected) in [
        ("who", "team-a"),
        ("dialect", "grpc"),
        ("peer", "127.0.0.1"),
        ("action", "write"),
        ("target_kind", "key"),
        ("target", "teams/b/x.txt"),
        ("outcome", "refused"),
    ] {
        assert_eq!(record[field], expected, "{record}");
    }
    let listed = guarded.printed("bootstrap", &["audit"]).await;
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 5, "{listed}");
    for (line, part) in [
        (0, "WHO"),
        (1, "write teams/b/x.txt"),
        (1, "refused: token `team-a` lacks the right `write`"),
        (2, "put teams/a/x.txt"),
        (2, "committed at 1"),
        (2, "grpc 127.0.0.1"),
        (3, "create token team-b"),
        (4, "bootstrap"),
    ] {
        assert!(lines[line].contains(part), "no `{part}` in: {listed}");
    }
    // The token that is told of nothing else, and a narrower question.
    let own = guarded.printed("b", &["audit"]).await;
    assert_eq!(own.lines().count(), 2, "{own}");
    for (narrowed, count) in [
        (&["--key", "teams/a/x.txt"][..], 1),
        (&["--prefix", "teams/"], 2),
        (&["--who", "bootstrap", "--since", "1h"], 2),
        (&["-n", "1"], 1),
        (&["--before", record["id"].as_str().unwrap()], 3),
    ] {
        let arguments = [&["audit"][..], narrowed].concat();
        let listed = guarded.printed("bootstrap", &arguments).await;
        assert_eq!(listed.lines().count(), 1 + count, "{narrowed:?}: {listed}");
    }
    let wrong = guarded
        .refused("bootstrap", &["audit", "--before", "7"])
        .await;
    assert!(wrong.contains("`--before 7` is no record's id"), "{wrong}");
    let wrong = guarded
        .refused("bootstrap", &["audit", "--key", "a/../b"])
        .await;
    assert!(wrong.contains("`..` segment"), "{wrong}");
    guarded.lifecycle.shut_down();
    guarded.lifecycle.finished().await.unwrap();
}

#[tokio::test]
async fn a_rule_that_is_none_is_refused_before_anything_is_sent() {
    let output = chameleon(&["token", "create", "x", "--allow", "all:config/"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("write `read:`, `write:` or `override:`"),
        "{error}"
    );
}
