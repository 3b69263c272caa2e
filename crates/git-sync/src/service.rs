//! The long-running service.

use std::sync::Arc;
use std::time::Duration;

use chameleon_client::Api;
use service_kit::accept::{Acceptor, Refusals};
use service_kit::http::{HttpLimits, serve, serve_accepted};
use service_kit::metrics::Registry;
use service_kit::tls::Protocol;
use service_kit::{Health, Lifecycle, admin};
use tokio::net::TcpListener;

use crate::git::{Git, prepare_work_dir};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sync::{Doorbell, Syncer};
use crate::webhook::Hooks;
use crate::worker::{Board, work};

/// A first clone over a slow line takes minutes, a fetch milliseconds.
pub(crate) const GIT_LIMIT: Duration = Duration::from_mins(5);

/// Bodies may have 25 MiB each, so there are fewer connections than elsewhere.
const CONNECTIONS: usize = 128;

/// Where the service is reached.
#[derive(Debug)]
pub struct Listeners {
    /// Webhooks; also health and metrics unless [`admin`](Self::admin) takes them.
    pub http: TcpListener,
    /// Health and metrics.
    pub admin: Option<TcpListener>,
}

/// Starts the service as tasks of `lifecycle`, and returns once webhooks are taken.
///
/// Each source is synced at once, then at each push and from time to time. The tasks end when the
/// lifecycle shuts down; a transaction that is under way then is found out about at the next start.
///
/// # Errors
/// One line that says what can't be used: git, the work folder, the servers' addresses.
pub async fn start(
    settings: Settings,
    listeners: Listeners,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let registry = Registry::new("git-sync", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(&registry);
    let health = Health::new(lifecycle.soft());
    let board = Board::new(health.check("sources"));
    let mut hooks = Hooks::new(metrics.clone());
    for syncer in syncers(&settings, &metrics).await? {
        let source = syncer.source();
        let bell = Arc::new(Doorbell::default());
        hooks.add(source, Arc::clone(&bell));
        tracing::info!(source = %source.name, "syncing {source}");
        let tasks = lifecycle.child(&source.name.0);
        let metrics = metrics.of_source(&source.name);
        tasks.own(
            "sync",
            work(syncer, bell, metrics, board.clone(), tasks.soft()),
        );
    }
    let mut router = hooks.router();
    let limits = HttpLimits {
        connections: CONNECTIONS,
        ..HttpLimits::default()
    };
    let acceptor = Acceptor::new("webhooks", listeners.http, CONNECTIONS, limits.silence)
        .with_tls(settings.tls.clone(), Protocol::Http1)
        .counting(&Refusals::new(&registry));
    if let Some(tls) = &settings.tls {
        tls.follow(&registry, lifecycle);
    }
    let pages = admin::router(health, registry);
    if let Some(listener) = listeners.admin {
        serve("admin", listener, pages, limits, lifecycle);
    } else {
        router = router.merge(pages);
    }
    serve_accepted(acceptor, router, limits.head_timeout, lifecycle);
    Ok(())
}

/// Makes what every mode needs, and checks what can be checked before the first fetch.
pub(crate) async fn syncers(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Vec<Syncer>> {
    let git = Arc::new(Git::new(GIT_LIMIT));
    let version = git.version().await?;
    tracing::debug!("using {version}");
    let work_dir = std::path::absolute(&settings.work_dir)?;
    prepare_work_dir(&work_dir)?;
    let api = Api::connect(settings.api.clone())?;
    let syncers = settings.sources.iter().map(|source| {
        let metrics = metrics.of_source(&source.name);
        let (git, api) = (Arc::clone(&git), api.clone());
        Syncer::new(source.clone(), git, &work_dir, api, metrics)
    });
    Ok(syncers.collect())
}
