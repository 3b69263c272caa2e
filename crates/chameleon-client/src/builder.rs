//! How a client is described, and how it starts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::KeyError;
use chameleon_model::document::{Allowed, NameError, Profile, Service};
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::{Update, Watch, WatchEvent};
use crate::engine::{Documents, Engine, Layers, Lookup, NoStart, Rejection, Rules, Verdict};
use crate::follow::{Follower, Keeper};
use crate::last_good::LastGoodFile;
use crate::outcomes::Outcomes;
use crate::{Api, ApiError, ApiSettings, Chameleon, Identity, Selection, Tls, Token};

/// Describes a [`Chameleon`] before it connects.
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    service: String,
    profile: String,
    prefix: String,
    api: ApiSettings,
    cache_dir: Option<PathBuf>,
    instance: Option<String>,
    version: String,
    allowed: Allowed,
    lookup: Box<Lookup>,
    allow_vanished: bool,
    allow_defaults: bool,
    connect_timeout: Duration,
    jitter_seed: Option<u64>,
}

/// Why a client can't start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The service's or the profile's name is not usable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The prefix is not usable.
    #[error("prefix `{0}` must end in `/`")]
    Prefix(String),
    /// The documents' keys are not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The servers' addresses are not usable, or the server refuses this client.
    #[error(transparent)]
    Api(ApiError),
    /// The last good state could not be kept.
    #[error("cache folder `{path}` can't be written; give the service a folder of its own")]
    CacheDir {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No server has sent a state in time, and there is no last good one.
    #[error("no state within {waited:?}, and no last-known-good file to start with")]
    Unreachable {
        /// How long it was tried.
        waited: Duration,
        /// What went wrong last.
        #[source]
        source: Option<ApiError>,
    },
    /// The server's state is not usable, and there is no last good one.
    #[error(
        "revision {} is not usable, and there is no last-known-good file to start with: {rejection}",
        .rejection.stamp.revision
    )]
    Rejected {
        /// Which state, and what is wrong with it.
        rejection: Rejection,
    },
}

impl Builder {
    pub(crate) fn new(service: String, profile: String) -> Self {
        Self {
            service,
            profile,
            prefix: String::new(),
            api: ApiSettings::default(),
            cache_dir: None,
            instance: None,
            version: String::new(),
            allowed: Allowed::default(),
            lookup: Box::new(|name| std::env::var(name).ok()),
            allow_vanished: false,
            allow_defaults: false,
            connect_timeout: Duration::from_secs(5),
            jitter_seed: None,
        }
    }

    /// The servers' gRPC addresses, for example `http://config-1:8502`, or `https://` for TLS; tried in
    /// turn.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.api.servers = servers.into_iter().map(Into::into).collect();
        self
    }

    /// The access token. [`Self::token_file`] is the better choice where there are files.
    pub fn token(mut self, secret: impl Into<String>) -> Self {
        self.api.token = Some(Token::value(secret));
        self
    }

    /// A file with the access token, read again at every reconnect.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.api.token = Some(Token::file(path));
        self
    }

    /// How `https://` addresses are trusted, and what is shown to them; by default the system's CAs, and
    /// nothing.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.api.tls = tls;
        self
    }

    /// Where the four documents lie: empty, or like `teams/payments/`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A folder for the last-known-good file; without one, a start needs a server.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// This instance's name in the fleet; the host's name and a random end if it is not set.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = Some(name.into());
        self
    }

    /// The service's version, shown in the fleet.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The names that placeholders may read, `*` at the end meaning any end; `APP_*` by default.
    pub fn allow_env<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.allowed = Allowed::new(patterns);
        self
    }

    /// What placeholders read instead of the process's environment.
    pub fn environment(
        mut self,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.lookup = Box::new(lookup);
        self
    }

    /// Whether a state may be applied in which both own documents of the service are gone, though it
    /// had one before. Without it, deleting all keys changes nothing.
    pub fn allow_vanished(mut self, allow: bool) -> Self {
        self.allow_vanished = allow;
        self
    }

    /// Whether to start with the types' defaults if neither a server nor the last-known-good file
    /// has a usable state.
    pub fn defaults_if_unreachable(mut self, allow: bool) -> Self {
        self.allow_defaults = allow;
        self
    }

    /// How long a start waits for the first state; 5 s by default.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Makes the delays of outcomes repeatable; random by default.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Connects and waits for the first state.
    ///
    /// A server that can't be reached, or whose state is not usable, is covered by the
    /// last-known-good file, or by the defaults if they are allowed; the servers are then tried on in
    /// the background. Cancelling leaves nothing behind.
    ///
    /// # Errors
    /// Settings that can't work, and the lack of anything to start with.
    pub async fn connect(self) -> Result<Chameleon, ConnectError> {
        let service = Service::new(&self.service)?;
        let profile = Profile::new(&self.profile)?;
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            return Err(ConnectError::Prefix(self.prefix));
        }
        let layers = Layers::new(&self.prefix, &service, &profile, self.allowed, self.lookup)?;
        let api = Api::connect(self.api).map_err(ConnectError::Api)?;
        let file = match self.cache_dir {
            None => None,
            Some(path) => Some(
                LastGoodFile::new(&path, &self.service, &self.profile, layers.keys())
                    .map_err(|source| ConnectError::CacheDir { path, source })?,
            ),
        };
        let last_good = file.as_ref().and_then(load);
        let host = host();
        let identity = Identity {
            instance: self.instance.unwrap_or_else(|| instance_name(&host)),
            service: self.service,
            profile: self.profile,
            version: self.version,
            host,
            prefix: self.prefix,
        };
        let selection = Selection {
            keys: layers.keys().to_vec(),
            prefixes: Vec::new(),
        };
        let last = last_good.as_ref().map(|documents| documents.stamp);
        let mut watch = (api.watch(&selection, last, Some(identity))).starting_whole();

        let waited = self.connect_timeout;
        let mut failure = None;
        let first = timeout(waited, first_state(&mut watch, &mut failure)).await;
        let first = first.ok().flatten();
        let documents = (first.as_ref()).map(|first| layers.select(first.stamp, watch.entries()));
        let rules = Rules {
            layers,
            allow_vanished: self.allow_vanished,
            allow_defaults: self.allow_defaults,
        };
        let engine = Engine::start(rules, documents, last_good).map_err(|reason| match reason {
            NoStart::Rejected(rejection) => ConnectError::Rejected { rejection },
            NoStart::Nothing => match failure.take() {
                Some(error) if error.is_final() => ConnectError::Api(error),
                source => ConnectError::Unreachable { waited, source },
            },
        })?;
        let mut outcomes = Outcomes::new(self.jitter_seed.unwrap_or_else(rand::random));
        if let (Some(verdict), Some(first)) = (engine.verdict(), first) {
            let now = tokio::time::Instant::now();
            outcomes.spread_over(first.outcome_within);
            outcomes.schedule(&verdict, now - first.arrived, now);
        }
        report_start(&engine, failure.as_ref());
        Ok(Chameleon::start(Follower {
            watch,
            engine: Arc::new(engine),
            outcomes,
            keeper: Keeper::new(file),
        }))
    }
}

/// The first state of any server; `None` if trying on is vain.
async fn first_state(watch: &mut Watch, failure: &mut Option<ApiError>) -> Option<Update> {
    loop {
        match watch.event().await {
            WatchEvent::Opened { .. } => {}
            WatchEvent::Updated(update) => return Some(update),
            WatchEvent::Lost(error) => {
                tracing::debug!("failed to get the first state: {error}");
                let is_final = error.is_final();
                *failure = Some(error);
                if is_final {
                    return None;
                }
            }
        }
    }
}

fn load(file: &LastGoodFile) -> Option<Documents> {
    file.load().unwrap_or_else(|unusable| {
        tracing::warn!("{unusable}");
        None
    })
}

fn report_start(engine: &Engine, failure: Option<&ApiError>) {
    let revision = engine.frame().revision();
    match engine.verdict() {
        Some(Verdict::Applied(stamp)) => {
            tracing::info!(%stamp, "started with revision {revision}");
        }
        Some(Verdict::Rejected(rejection)) => tracing::warn!(
            stamp = %rejection.stamp,
            "started with the last good revision {revision}, because {} is not usable: {rejection}",
            rejection.stamp.revision
        ),
        None => {
            let reason = failure.map_or_else(|| "no answer".to_owned(), ToString::to_string);
            tracing::warn!("started with the last good revision {revision}: {reason}");
        }
    }
}

fn host() -> String {
    let from_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = std::env::var("HOSTNAME").ok().or_else(from_system);
    host.map(|host| host.trim().to_owned()).unwrap_or_default()
}

fn instance_name(host: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    match host {
        "" => random,
        host => format!("{host}-{}", &random[..8]),
    }
}
