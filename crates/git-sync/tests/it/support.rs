use std::path::PathBuf;

use chameleon_client::{Api, ApiSettings, Selection, Source};
use git_sync::{Report, Settings, SourceResult, SourceSettings, Sources, sync_once};
use service_kit::Lifecycle;
use tempfile::TempDir;
use test_kit::git::Repository;
use tokio::net::TcpListener;

pub(crate) const SECRET: &str = "s3cret";

pub(crate) const SCHEMA: &str = "\
properties:
  aMapPercentage: { type: integer }
  bMapPercentage: { type: integer }
x-sum: { of: [aMapPercentage, bMapPercentage], equals: 100 }
";

/// A config server on an empty SQLite store.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) api: Api,
    lifecycle: Lifecycle,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let lifecycle = Lifecycle::default();
        let listeners = config_server::Listeners {
            http: local().await,
            grpc: local().await,
            admin: None,
        };
        let url = format!("http://{}", listeners.grpc.local_addr().unwrap());
        let settings = config_server::Settings::default();
        config_server::start(settings, store, listeners, &lifecycle)
            .await
            .unwrap();
        let api = Api::connect(api_settings(&url)).unwrap();
        Self {
            url,
            api,
            lifecycle,
        }
    }

    /// All keys with their values.
    pub(crate) async fn entries(&self) -> Vec<(String, String)> {
        let state = self.api.read(&Selection::all(), None).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (state.entries.iter())
            .map(|entry| (entry.key.to_string(), text(&entry.value)))
            .collect()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let entries = self.entries().await.into_iter();
        entries.map(|(key, _)| key).collect()
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let mut entries = self.entries().await.into_iter();
        entries.find_map(|(found, value)| (found == key).then_some(value))
    }

    /// What the server knows of the source `shop`.
    pub(crate) async fn source(&self) -> Source {
        let sources = self.api.sources().await.unwrap();
        let mut sources = sources.into_iter();
        let source = sources.find(|source| &*source.name.0 == "shop");
        source.expect("the server knows the source")
    }

    pub(crate) async fn applied(&self) -> Option<String> {
        let sources = self.api.sources().await.unwrap();
        let mut sources = sources.into_iter();
        let source = sources.find(|source| &*source.name.0 == "shop")?;
        source.commit.map(|commit| commit.to_string())
    }

    pub(crate) async fn stop(self) {
        drop(self.api);
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

pub(crate) fn api_settings(url: &str) -> ApiSettings {
    ApiSettings {
        servers: vec![url.to_owned()],
        ..ApiSettings::default()
    }
}

pub(crate) async fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A repository, a server, and what syncs one to the other.
pub(crate) struct World {
    pub(crate) repository: Repository,
    pub(crate) server: Server,
    folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self {
            repository: Repository::new(),
            server: Server::start().await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// One with two documents and a schema, applied.
    pub(crate) async fn applied() -> Self {
        let world = Self::new().await;
        let files = [
            ("config/location.yml", Some("greeting: hello\n")),
            ("config/location-beta.yml", Some(SHARES)),
            ("config/schemas/location.schema.yml", Some(SCHEMA)),
            ("README.md", Some("not in the folder\n")),
        ];
        world.repository.commit_all(&files, "Begin");
        world.repository.push();
        let result = world.once().await;
        assert!(matches!(result, SourceResult::Applied { .. }), "{result:?}");
        world
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn source(&self) -> SourceSettings {
        SourceSettings {
            name: "shop".to_owned(),
            repository: self.repository.remote().to_string_lossy().into_owned(),
            secret: Some(SECRET.into()),
            ..SourceSettings::default()
        }
    }

    pub(crate) fn settings(&self, source: SourceSettings) -> Settings {
        Settings {
            sources: Sources::new([source]).unwrap(),
            api: api_settings(&self.server.url),
            work_dir: self.work_dir(),
            tls: None,
        }
    }

    pub(crate) async fn report(&self, source: SourceSettings) -> Report {
        sync_once(&self.settings(source)).await.unwrap()
    }

    /// Syncs the source once.
    pub(crate) async fn once(&self) -> SourceResult {
        let report = self.report(self.source()).await;
        report.sources()[0].result.clone()
    }

    /// Commits, pushes and syncs.
    pub(crate) async fn push(&self, files: &[(&str, Option<&str>)]) -> SourceResult {
        self.repository.commit_all(files, "Change");
        self.repository.push();
        self.once().await
    }
}

pub(crate) const SHARES: &str = "aMapPercentage: 100\nbMapPercentage: 0\n";
