//! What a person on call types: write over git, see what is held, bring git there, let go.

use std::process::Output;

use chameleon_client::{Api, ApiSettings};
use chameleon_model::{Key, Operation, SourceUpdate, Transaction};
use config_server::Settings;
use serde_json::Value;
use service_kit::Lifecycle;
use test_kit::git::Repository;

use crate::rig::{chameleon, config_server};

const PROD: &str = "config/location-prod.yml";
const GIT: &str = "aMapPercentage: 100\nbMapPercentage: 0\n";
const CURE: &str = "aMapPercentage: 0\nbMapPercentage: 100\n";

/// A config server that has [`PROD`] from the source `shop`.
struct Server {
    url: String,
    lifecycle: Lifecycle,
}

impl Server {
    async fn start() -> Self {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let (url, lifecycle) = config_server(Settings::default(), store).await;
        let api = Api::connect(ApiSettings {
            servers: vec![url.clone()],
            ..ApiSettings::default()
        });
        let push = Transaction {
            operations: vec![Operation::Put {
                key: Key::new(PROD).unwrap(),
                value: GIT.into(),
                flags: 0,
            }],
            source: Some(SourceUpdate {
                name: "shop".into(),
                expected: None,
                commit: "c0ffee00".repeat(5).as_str().into(),
                profiles: vec!["prod".to_owned()],
            }),
            ..Transaction::default()
        };
        api.unwrap().commit(push).await.unwrap();
        Self { url, lifecycle }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = chameleon(arguments);
        command
            .env("CHAMELEON_SERVER", &self.url)
            .env("TZ", "UTC")
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

    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self
            .printed(&[arguments, &["--output", "json"]].concat())
            .await;
        serde_json::from_str(&text).unwrap()
    }

    /// What it says when it fails, on both streams.
    async fn failed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "{arguments:?}");
        let streams = [output.stdout, output.stderr];
        streams
            .map(|text| String::from_utf8(text).unwrap())
            .concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_overruled_brought_along_and_put_back() {
    let server = Server::start().await;
    assert_eq!(server.printed(&["hold"]).await, "no key is held\n");
    let wrote = server
        .printed(&["put", PROD, CURE, "-m", "vendor A is down"])
        .await;
    assert!(
        wrote.starts_with(&format!(
            "wrote `{PROD}` as revision 2\n`{PROD}` is held against source `shop`: pushes do not \
             reach it. It expires at 20"
        )),
        "{wrote}"
    );

    let listed = server.printed(&["hold"]).await;
    let row: Vec<_> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], [PROD, "changed", "ada"], "{listed}");
    assert!(listed.contains("vendor A is down  in 3h 59m"), "{listed}");
    let status = server.printed(&["status"]).await;
    assert!(
        status.contains(&format!(
            "\n  held: {PROD}: pushes do not reach it (`chameleon hold` says why)"
        )),
        "{status}"
    );

    // The patch is what git lacks.
    let patch = server.printed(&["hold", "--as-commit"]).await;
    let repository = Repository::new();
    repository.commit(PROD, GIT);
    let file = repository.work().join("held.patch");
    std::fs::write(&file, &patch).unwrap();
    repository.git(&["am", "--quiet", "held.patch"]);
    let applied = std::fs::read_to_string(repository.work().join(PROD)).unwrap();
    assert_eq!(applied, CURE, "{patch}");
    assert_eq!(
        repository.git(&["log", "-1", "--format=%s"]).trim(),
        "vendor A is down"
    );

    let released = server
        .printed(&["release", "config/", "--reason", "A is back"])
        .await;
    let told = format!("released `{PROD}`: what git has is live as revision 3\n");
    assert_eq!(released, told);
    assert_eq!(server.printed(&["get", PROD]).await, GIT);
    assert_eq!(server.printed(&["hold"]).await, "no key is held\n");

    // A key is frozen as it is, for as long as is said.
    let frozen = server
        .json(&["hold", PROD, "--for", "30m", "--reason", "do not touch"])
        .await;
    assert_eq!(frozen["outcome"], "held", "{frozen}");
    assert_eq!(frozen["keys"][0]["source"], "shop", "{frozen}");
    let listed = server.json(&["hold"]).await;
    let hold = &listed["holds"][0];
    assert_eq!(
        (&hold["live"], &hold["expired"]),
        (&"as_in_git".into(), &false.into())
    );
    assert_eq!(
        (&hold["reason"], &hold["author"]),
        (&"do not touch".into(), &"ada".into())
    );
    let history = server.json(&["history", PROD, "-n", "1"]).await;
    assert_eq!(history["commits"][0]["held"][0], PROD, "{history}");
    server.lifecycle.shut_down();
    server.lifecycle.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_or_released_is_said() {
    let server = Server::start().await;
    server.printed(&["put", "nobody/s", "1"]).await;
    for (arguments, part) in [
        (
            &["hold", "nobody/s"][..],
            "key `nobody/s` belongs to no git source",
        ),
        (&["release", PROD], "is not held; `chameleon hold` lists"),
        (
            &["hold", "--as-commit", PROD],
            "is not held; `chameleon hold` lists",
        ),
        (&["hold", "--as-commit"], "git has what is live already"),
        (&["hold", "--for", "1h"], "required"),
        (&["hold", "a/../b"], "a `..` segment"),
        (&["release", "config/"], "no key under `config/` is held"),
        (&["release"], "required"),
    ] {
        let text = server.failed(arguments).await;
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    server.lifecycle.shut_down();
    server.lifecycle.finished().await.unwrap();
}
