//! The config server: a replica of the store in memory, and the faces through which it is read,
//! watched and changed.
//!
//! [`start`] runs a server within a process; the `config-server` binary is [`execute`] and no more.
//!
//! * `app` holds the use cases and knows no face;
//! * `grpc` is `chameleon.v1`; `http::consul` is Consul's KV API; `http::api` is the native JSON API.
//!   Each could be deleted without a trace in the others.

mod app;
mod command;
mod grpc;
mod http;
mod late_store;
mod metrics;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use chameleon_store::Store;
use service_kit::accept::{Acceptor, Refusals};
use service_kit::metrics::Registry;
use service_kit::tls::{Protocol, ServerTls};
use service_kit::{Health, Lifecycle};
use tokio::net::TcpListener;

use crate::app::App;
use crate::app::access::Access;
use crate::metrics::{Measured, Metrics};
pub use command::execute;
pub use settings::{
    Cli, ClientLimits, Command, Keep, Limits, Options, Replica, Settings, StoreAddress,
};

/// Where a server is reached; bound by the caller, so that port 0 works.
#[derive(Debug)]
pub struct Listeners {
    /// For Consul's KV API, and for health and metrics unless `admin` is given.
    pub http: TcpListener,
    /// For `chameleon.v1`.
    pub grpc: TcpListener,
    /// For health and metrics, without a token.
    pub admin: Option<TcpListener>,
}

/// Starts a server within this process, as tasks of `lifecycle`; returns when it serves.
///
/// It ends with the lifecycle: streams end and long polls answer at the soft stop.
///
/// # Errors
/// A listener can be reached from outside without a token, the token is too short, or the store
/// can't be read and there is no snapshot on disk. Tasks that were started by then end with the lifecycle.
pub async fn start(
    mut settings: Settings,
    store: Arc<dyn Store>,
    listeners: Listeners,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let http_addr = listeners
        .http
        .local_addr()
        .context("read the HTTP address")?;
    let grpc_addr = listeners
        .grpc
        .local_addr()
        .context("read the gRPC address")?;
    let admin_addr = (listeners.admin.as_ref())
        .map(TcpListener::local_addr)
        .transpose()
        .context("read the admin address")?;
    let access = Access::new(settings.token.as_ref())?;
    access.allow_listening([http_addr, grpc_addr].into_iter().chain(admin_addr))?;
    if settings.tls.is_none() {
        warn_of_plain([http_addr, grpc_addr]);
    }

    if settings.replica.name.is_empty() {
        settings.replica.name = replica_name(grpc_addr);
    }
    let health = Health::new(lifecycle.soft());
    let registry = Registry::new("config-server", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(&registry);
    registry.register(
        "chameleon_audit_dropped",
        "Records of the audit that the store never got; the log has their events",
        access.trail().dropped(),
    );
    let access = access.with_limits(settings.limits.per_client, metrics.limited());
    let gate = Gate {
        tls: settings.tls.clone(),
        connections_per_peer: settings.limits.per_client.connections,
        refusals: Refusals::new(&registry),
    };
    if let Some(tls) = &gate.tls {
        tls.follow(&registry, lifecycle);
    }
    let check = health.check("state");
    let app = App::start(&settings, access, store, check, metrics, lifecycle)
        .await
        .context("load the state")?;
    measure(&registry, &app);

    grpc::serve(&app, listeners.grpc, settings.limits, &gate, lifecycle).await?;
    let pages = service_kit::admin::router(health, registry);
    http::serve(
        &app,
        listeners.http,
        listeners.admin,
        pages,
        settings.limits,
        &gate,
        lifecycle,
    )
}

/// What a server is called that was given no name.
fn replica_name(grpc: SocketAddr) -> String {
    let from_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = std::env::var("HOSTNAME").ok().or_else(from_system);
    match host.as_deref().map(str::trim) {
        None | Some("") => grpc.to_string(),
        Some(host) => format!("{host}:{}", grpc.port()),
    }
}

/// What holds for the connections of every face.
struct Gate {
    tls: Option<ServerTls>,
    connections_per_peer: usize,
    refusals: Refusals,
}

impl Gate {
    fn at(&self, acceptor: Acceptor, protocol: Protocol) -> Acceptor {
        acceptor
            .with_tls(self.tls.clone(), protocol)
            .with_limit_per_peer(self.connections_per_peer)
            .counting(&self.refusals)
    }
}

fn warn_of_plain(addresses: [SocketAddr; 2]) {
    let exposed = |address: &SocketAddr| !address.ip().is_loopback();
    if let Some(address) = addresses.into_iter().find(exposed) {
        tracing::warn!(
            "listening on {address} without TLS: tokens and values can be read on the network; give \
             `--tls-cert` and `--tls-key`, unless something in front speaks TLS"
        );
    }
}

/// Registers what is read off the server when metrics are asked for.
fn measure(registry: &Registry, app: &Arc<App>) {
    let gauge = |name: &str, help: &str, value: fn(&App) -> f64| {
        let app = Arc::clone(app);
        registry.register(name, help, Measured(move || value(&app)));
    };
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge(
            "chameleon_watches",
            "Open watches, long polls included",
            |app| app.replica.hub().count() as f64,
        );
        gauge(
            "chameleon_instances",
            "Instances that are connected to this server",
            |app| app.fleet.count() as f64,
        );
        gauge(
            "chameleon_revision",
            "The newest revision that is served",
            |app| app.replica.snapshot().stamp().revision.0 as f64,
        );
        gauge(
            "chameleon_history_floor",
            "The revision before which history is forgotten, as far as this server knows",
            |app| app.replica.snapshot().floor().0 as f64,
        );
        gauge("chameleon_entries", "Entries of the newest state", |app| {
            app.replica.snapshot().len() as f64
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge(
            "chameleon_holds",
            "Keys that are held against their git source",
            |app| app.count_holds().0 as f64,
        );
        gauge(
            "chameleon_holds_expired",
            "Of the held keys, those that are held for longer than they were meant to",
            |app| app.count_holds().1 as f64,
        );
    }
    gauge(
        "chameleon_snapshot_age_seconds",
        "Time since the store last answered: how old the served state may be",
        |app| app.replica.link().age().as_secs_f64(),
    );
    gauge(
        "chameleon_store_available",
        "1 if the store answers, 0 while it is away",
        |app| {
            if app.replica.link().is_available() {
                1.0
            } else {
                0.0
            }
        },
    );
}
