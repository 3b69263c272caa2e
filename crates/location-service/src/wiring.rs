//! Ties the service to its configuration: the only module that knows the client SDK.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use chameleon_client::{
    Chameleon, Changes, ClientState, Configuration, Live, Loaded, Tls, Violation,
};
use service_kit::health::Check;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::{LocationService, MapConfig, MapDocument, Settings};

/// What placeholders of the configuration read; see [`process_environment`].
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The variables of this process.
pub fn process_environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

impl Configuration for MapDocument {
    fn validate(&self) -> Result<(), Vec<Violation>> {
        self.check().map(drop).map_err(|faults| {
            let violations = faults
                .iter()
                .map(|fault| Violation::at(&fault.path, &fault.message));
            violations.collect()
        })
    }
}

/// The live configuration, connected.
pub(crate) struct Configured {
    chameleon: Chameleon,
    document: Live<MapDocument>,
    changes: Changes<MapDocument>,
}

impl Configured {
    /// Connects to the config servers and waits for a usable configuration.
    ///
    /// # Errors
    /// If no server answers in time and there is no last good configuration, if the server refuses
    /// the token, or if the configuration has faults. Cancelling leaves nothing behind.
    pub(crate) async fn connect(
        settings: &Settings,
        environment: Environment,
    ) -> anyhow::Result<Self> {
        let mut builder = Chameleon::builder(&settings.service, &settings.profile)
            .servers(&settings.servers)
            .environment(move |name| environment(name))
            .prefix(&settings.prefix)
            .version(env!("CARGO_PKG_VERSION"));
        if let Some(file) = &settings.token_file {
            builder = builder.token_file(file);
        }
        let tls = &settings.tls;
        builder = builder.tls(Tls::from_files(tls.ca_file.clone(), tls.certificate()?));
        if let Some(folder) = &settings.cache_dir {
            builder = builder.cache_dir(folder);
        }
        if let Some(name) = &settings.instance_id {
            builder = builder.instance(name);
        }
        let what = || {
            let Settings {
                service, profile, ..
            } = settings;
            format!("load the configuration of `{service}` in profile `{profile}`")
        };
        let chameleon = builder.connect().await.with_context(what)?;
        let document: Live<MapDocument> = chameleon.bind("").with_context(what)?;
        // Subscribed before anybody loads, so that no change falls in between.
        let changes = document.subscribe();
        Ok(Self {
            chameleon,
            document,
            changes,
        })
    }

    /// The configuration as it is now, and its revision.
    pub(crate) fn current(&self) -> anyhow::Result<(Arc<MapConfig>, u64)> {
        let document = self.document.load();
        Ok((valid(&document)?, Loaded::stamp(&document).revision.0))
    }

    /// Sends the traffic by each new configuration until `stop`; `check` tells how fresh it is.
    pub(crate) async fn follow(
        mut self,
        service: LocationService,
        check: Check,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut states = self.chameleon.states();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.changes.next() => {
                    let Some(changed) = changed else {
                        bail!("follow the configuration: the client has ended");
                    };
                    let revision = changed.stamp.revision.0;
                    service.install(valid(&changed.new)?.as_ref(), revision);
                    tracing::info!(revision, "routing by revision {revision}");
                }
                Some(state) = states.next() => tell(&check, state),
            }
        }
        self.chameleon.shutdown().await;
        Ok(())
    }
}

/// The SDK applies a document only after [`Configuration::validate`], so this never fails in effect.
fn valid(document: &MapDocument) -> anyhow::Result<Arc<MapConfig>> {
    let config = document
        .check()
        .map_err(Clone::clone)
        .context("read the configuration")?;
    Ok(Arc::clone(config))
}

fn tell(check: &Check, state: ClientState) {
    match state {
        ClientState::Ready => check.pass(),
        ClientState::Stale { .. } => {
            check.warn("no config server is connected; the last configuration stays in force");
        }
        ClientState::Fallback => check.warn(
            "the last-known-good configuration is in force; no config server has sent a usable one since the start",
        ),
    }
}
