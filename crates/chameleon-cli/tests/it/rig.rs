//! The whole platform, running, and what of it serves.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use chameleon_cli::stack::{INSTANCES, Ports, Settings, Stack};
use chameleon_client::{CommitOutcome, Instance, Stamp};
use chameleon_model::{Operation, Transaction};
use chameleon_store::Store;
use config_server::Listeners;
use service_kit::http_client::{self, HttpClientSettings};
use service_kit::{Lifecycle, listen};
use tempfile::TempDir;
use test_kit::eventually;

/// The document with the shares.
pub(crate) const PROD: &str = "config/location-prod.yml";

/// A platform on free ports with its data in a folder that goes with it.
pub(crate) struct Rig {
    pub(crate) stack: Stack,
    pub(crate) http: reqwest::Client,
    lifecycle: Lifecycle,
    /// The documents that it began with, but for the shares.
    good: Vec<(PathBuf, String)>,
    folder: TempDir,
}

/// What is served by whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// Who answers a search at each instance.
    pub(crate) providers: Vec<String>,
    /// Which state each instance has applied.
    pub(crate) applied: Vec<Option<Stamp>>,
}

/// The `chameleon` binary, untouched by the variables of whoever runs the tests.
pub(crate) fn chameleon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chameleon"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAMELEON_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Starts a config server alone, on free ports, and says where it speaks gRPC.
pub(crate) async fn config_server(
    settings: config_server::Settings,
    store: Arc<dyn Store>,
) -> (String, Lifecycle) {
    let free = || listen("127.0.0.1:0".parse().unwrap(), "tests", "none").unwrap();
    let listeners = Listeners {
        http: free(),
        grpc: free(),
        admin: None,
    };
    let url = format!("http://{}", listeners.grpc.local_addr().unwrap());
    let lifecycle = Lifecycle::default();
    let started = config_server::start(settings, store, listeners, &lifecycle).await;
    started.unwrap();
    (url, lifecycle)
}

/// The document that sends all searches to one provider.
pub(crate) fn all_to(provider: &str) -> String {
    let (a, b) = if provider == "a" { (100, 0) } else { (0, 100) };
    format!("aMapPercentage: {a}\nbMapPercentage: {b}\n")
}

impl Rig {
    /// Starts it with all searches at provider `a`; the state lives in SQLite, or in `store`.
    pub(crate) async fn start(store: Option<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let lifecycle = Lifecycle::default();
        let settings = Settings {
            dir: folder.path().join("data"),
            ports: Ports::Free,
            program: env!("CARGO_BIN_EXE_chameleon").into(),
            store,
        };
        let stack = Stack::start(settings, &lifecycle).await;
        let stack = stack.unwrap_or_else(|error| panic!("start the platform: {error:#}"));
        let clone = stack.repository().clone_dir();
        let good = ["config/location.yml", "config/schemas/location.schema.yml"].map(|file| {
            let path = clone.join(file);
            let text = std::fs::read_to_string(&path).expect("the sample has this file");
            (path, text)
        });
        let http = http_client::new(&HttpClientSettings::new("chameleon-test/0"));
        let rig = Self {
            good: good.into(),
            http: http.expect("an HTTP client can be made"),
            stack,
            lifecycle,
            folder,
        };
        rig.settled("a").await;
        rig
    }

    /// The folder for whatever a test writes.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The instances of the address search, in the order of their names.
    pub(crate) async fn instances(&self) -> Vec<Instance> {
        let fleet = self.stack.api().fleet(Some("location"), Some("prod")).await;
        let instances = fleet.expect("the server tells its fleet").instances;
        let own = |one: &Instance| one.identity.instance.starts_with("location-");
        let instances: Vec<_> = instances.into_iter().filter(own).collect();
        assert_eq!(instances.len(), INSTANCES);
        instances
    }

    /// What is served right now.
    pub(crate) async fn serving(&self) -> Serving {
        let mut providers = Vec::new();
        for url in self.stack.addresses().location_urls() {
            let request = self.http.get(format!("{url}/location/address"));
            let answer = request.query(&[("schvalue", "경복궁")]).send().await;
            let answer = answer.expect("the instance answers");
            assert_eq!(answer.status(), 200, "a search fails at {url}");
            let provider = answer.headers()["x-chameleon-provider"].to_str();
            providers.push(provider.expect("providers have plain names").to_owned());
        }
        let instances = self.instances().await;
        Serving {
            providers,
            applied: instances.into_iter().map(|one| one.applied).collect(),
        }
    }

    /// Waits until all instances are current and searches are answered by `provider`.
    pub(crate) async fn settled(&self, provider: &str) -> Serving {
        let what = format!("all instances are current and ask `{provider}`");
        eventually(&what, async || {
            let current = self.instances().await.iter().all(|one| one.current);
            let serving = self.serving().await;
            let asked = serving.providers.iter().all(|asked| asked == provider);
            (current && asked).then_some(serving)
        })
        .await
    }

    /// Puts all documents back as they were, moves the traffic to the other provider, pushes, and
    /// waits until that is served.
    pub(crate) async fn moves_on(&self, case: &str) {
        self.release_all().await;
        for (path, text) in &self.good {
            let folder = path.parent().expect("a document is in a folder");
            std::fs::create_dir_all(folder).expect("a folder can be made");
            std::fs::write(path, text).expect("a document can be written");
        }
        let asked = self.serving().await.providers.swap_remove(0);
        let other = if asked == "a" { "b" } else { "a" };
        let pushed = self
            .stack
            .repository()
            .push(PROD, &all_to(other), case)
            .await;
        let pushed = pushed.unwrap_or_else(|error| panic!("{case}: a good push: {error:#}"));
        assert!(
            pushed.contains("is in force on 2 instances after"),
            "{case}: a good push: {pushed}"
        );
        self.settled(other).await;
    }

    /// Puts back what git has wherever somebody has written over it.
    async fn release_all(&self) {
        let api = self.stack.api();
        let holds = api.holds().await.expect("the server tells its holds");
        let releases = holds
            .into_iter()
            .map(|hold| Operation::Release { key: hold.key });
        let release = Transaction {
            operations: releases.collect(),
            ..Transaction::default()
        };
        let outcome = api.commit(release).await.expect("the server takes commits");
        assert!(
            !matches!(outcome, CommitOutcome::Refused { .. }),
            "{outcome:?}"
        );
    }

    /// Ends it; whatever failed meanwhile fails the test.
    pub(crate) async fn stop(self) {
        self.lifecycle.shut_down();
        self.lifecycle
            .finished()
            .await
            .expect("everything ends well");
    }
}
