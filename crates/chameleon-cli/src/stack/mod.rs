//! The whole platform in one process: config server, git-sync, simulated vendors, two instances of
//! the address search, and a git repository to push to.
//!
//! All parts are the real ones over real sockets; only the processes' boundaries are missing.

mod folder;
mod ports;
mod repository;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chameleon_client::{Api, ApiSettings};
use map_simulator::{Fault, Simulator, Vendor};
use service_kit::Lifecycle;
use service_kit::tls::ClientTlsArgs;
use tokio::net::TcpListener;

use folder::Folder;
pub use ports::{Addresses, Ports};
pub use repository::Repository;
use repository::{BRANCH, FOLDER, Hook};

/// The name of the git source.
pub const SOURCE: &str = "location";

/// The service's profile.
pub const PROFILE: &str = "prod";

/// How many instances of the address search run.
pub const INSTANCES: usize = 2;

/// How long the first sync may take.
const FIRST_SYNC: Duration = Duration::from_secs(20);

/// What a stack is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of its data; made if it is not there.
    pub dir: PathBuf,
    /// Where it listens.
    pub ports: Ports,
    /// The `chameleon` binary, which the repository's hook calls.
    pub program: PathBuf,
    /// Where the state lives; a SQLite file in `dir` if absent.
    pub store: Option<String>,
}

impl Settings {
    /// A stack with a SQLite store under `dir`, whose hook calls this very program.
    ///
    /// # Errors
    /// The system does not tell where this program lies.
    pub fn new(dir: &Path, ports: Ports) -> anyhow::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            ports,
            program: std::env::current_exe().context("find the path of this program")?,
            store: None,
        })
    }
}

/// A running stack; it ends with the lifecycle that it was started under.
///
/// Keep it until then: no other stack can use its folder as long as this value lives.
pub struct Stack {
    _folder: Folder,
    addresses: Addresses,
    api: Api,
    repository: Repository,
    simulator: Simulator,
    instances: Vec<Lifecycle>,
}

impl Stack {
    /// Starts all parts and returns when searches are answered.
    ///
    /// # Errors
    /// One line: a port or folder in use and by whom, a folder that can't be written, git missing,
    /// or a repository whose newest commit is rejected before any was applied.
    pub async fn start(settings: Settings, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let folder = Folder::take(&settings.dir)?;
        let dir = folder.path().to_owned();
        let (addresses, listeners) = ports::bind(settings.ports)?;
        let repository = Repository::open(&dir).await?;
        let secret_file = webhook_secret(&dir)?;

        let store = settings
            .store
            .unwrap_or_else(|| format!("sqlite://{}", dir.join("store.db").display()));
        start_server(&store, listeners.http, listeners.grpc, lifecycle).await?;
        let simulator = Simulator::start(
            map_simulator::Settings::default(),
            listeners.simulator,
            &lifecycle.child("map-simulator"),
        )?;

        repository.install_hook(&Hook {
            program: &settings.program,
            url: addresses.webhook(SOURCE),
            secret_file: &secret_file,
            server: addresses.grpc_url(),
            source: SOURCE,
        })?;
        let api_settings = ApiSettings {
            servers: vec![addresses.grpc_url()],
            ..ApiSettings::default()
        };
        let api = Api::connect(api_settings.clone())?;
        start_git_sync(
            &dir,
            &repository,
            secret_file,
            api_settings,
            listeners.git_sync,
            lifecycle,
        )
        .await?;
        first_sync(&api).await?;

        let mut instances = Vec::new();
        for (at, listener) in listeners.locations.into_iter().enumerate() {
            let instance = lifecycle.child(&instance_name(at));
            start_location(&dir, at, &addresses, listener, &instance).await?;
            instances.push(instance);
        }
        Ok(Self {
            _folder: folder,
            addresses,
            api,
            repository,
            simulator,
            instances,
        })
    }

    /// Where everything listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The config server's API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The repository to push to.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The names of all places that the simulated vendors know.
    pub fn place_names() -> Vec<String> {
        let places = map_simulator::known_places();
        places
            .into_iter()
            .map(|place| place.name.to_owned())
            .collect()
    }

    /// Lets vendor take requests and never answer them.
    pub fn silence(&self, vendor: Vendor) {
        self.simulator.faults().set(vendor, Fault::silence());
    }

    /// Stops one instance of the address search.
    ///
    /// # Panics
    /// If there is no such instance; the first is 0.
    pub async fn stop_instance(&self, at: usize) -> anyhow::Result<()> {
        self.instances[at].shut_down();
        Ok(self.instances[at].finished().await?)
    }
}

/// The name of an instance in the fleet.
pub fn instance_name(at: usize) -> String {
    format!("location-{}", at + 1)
}

async fn start_server(
    store: &str,
    http: TcpListener,
    grpc: TcpListener,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let address: config_server::StoreAddress = store.parse()?;
    let settings = config_server::Settings {
        store_kind: address.kind().unwrap_or("sqlite"),
        ..config_server::Settings::default()
    };
    let store = (chameleon_store::open(store).await)
        .with_context(|| format!("open the store `{address}` (`--store`)"))?;
    let listeners = config_server::Listeners {
        http,
        grpc,
        admin: None,
    };
    config_server::start(
        settings,
        store,
        listeners,
        &lifecycle.child("config-server"),
    )
    .await
}

async fn start_git_sync(
    dir: &Path,
    repository: &Repository,
    secret_file: PathBuf,
    api: ApiSettings,
    http: TcpListener,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let source = git_sync::SourceSettings {
        name: SOURCE.to_owned(),
        repository: repository.remote().display().to_string(),
        branch: BRANCH.to_owned(),
        folder: FOLDER.to_owned(),
        secret_file: Some(secret_file),
        ..git_sync::SourceSettings::default()
    };
    let settings = git_sync::Settings {
        sources: git_sync::Sources::new([source])?,
        api,
        work_dir: dir.join("git-sync"),
        tls: None,
    };
    let listeners = git_sync::Listeners { http, admin: None };
    git_sync::start(settings, listeners, &lifecycle.child("git-sync")).await
}

/// Waits until the source has an applied commit; a second start finds one at once.
async fn first_sync(api: &Api) -> anyhow::Result<()> {
    let synced = async {
        loop {
            for source in api.sources().await? {
                if source.commit.is_some() {
                    return anyhow::Ok(());
                }
                if let Some(report) = source.report.filter(|report| !report.accepted) {
                    let faults = report.faults.join("; ");
                    bail!("the repository's newest commit is rejected: {faults}");
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(FIRST_SYNC, synced).await;
    in_time.context("git-sync has not applied the repository in time; see the log")?
}

async fn start_location(
    dir: &Path,
    at: usize,
    addresses: &Addresses,
    http: TcpListener,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let name = instance_name(at);
    let settings = location_service::Settings {
        listen: addresses.locations[at],
        admin_listen: None,
        servers: vec![addresses.grpc_url()],
        token_file: None,
        tls: ClientTlsArgs::default(),
        service: "location".to_owned(),
        profile: PROFILE.to_owned(),
        prefix: String::new(),
        cache_dir: Some(dir.join("cache").join(&name)),
        instance_id: Some(name.clone()),
        max_in_flight: 512,
    };
    let vendors = [
        ("APP_TMAP_URL", addresses.tmap_url()),
        ("APP_TMAP_KEY", "simulated".to_owned()),
        ("APP_NAVER_URL", addresses.naver_url()),
        ("APP_NAVER_LOCAL_URL", addresses.naver_url()),
        ("APP_NAVER_ID", "simulated".to_owned()),
        ("APP_NAVER_SECRET", "simulated".to_owned()),
    ];
    let environment = move |name: &str| {
        let given = vendors.iter().find(|(known, _)| *known == name);
        given.map(|(_, value)| value.clone())
    };
    let listeners = location_service::Listeners { http, admin: None };
    location_service::start(settings, listeners, Arc::new(environment), lifecycle)
        .await
        .with_context(|| format!("start `{name}`"))
}

/// The file with the webhook's secret, made at the first start and readable by its owner only.
fn webhook_secret(dir: &Path) -> anyhow::Result<PathBuf> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let path = dir.join("webhook.secret");
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let secret = format!("{:032x}", rand::random::<u128>());
            (file.write_all(secret.as_bytes()))
                .with_context(|| format!("write `{}`", path.display()))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("write `{}`", path.display()));
        }
    }
    Ok(path)
}
