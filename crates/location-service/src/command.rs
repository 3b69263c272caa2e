//! The binary's sub-commands, and the start of the service within a process.

use anyhow::Context as _;
use service_kit::{
    Health, Lifecycle, admin, http::HttpLimits, listen, metrics::Registry, telemetry, tls,
};
use tokio::net::TcpListener;

use crate::{
    Cli, Command, LocationService, Settings,
    wiring::{Configured, Environment, process_environment},
};

/// Where the service is reached.
pub struct Listeners {
    /// For searches, and for the admin pages unless `admin` is given.
    pub http: TcpListener,
    /// For health, metrics and `/location/routing`.
    pub admin: Option<TcpListener>,
}

/// Does what the command line asks for; `serve` returns when the process was asked to end.
///
/// # Errors
/// In one line: what was asked for, why it failed, and the flag that changes it.
pub async fn execute(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.common.telemetry())?;
    tls::install_provider();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(cli.settings).await,
        Command::CheckConfig => check_config(&cli.settings),
        Command::Healthcheck => service_kit::healthcheck(&cli.settings.readiness_url()).await,
    }
}

/// Starts the service within this process, as tasks of `lifecycle`; returns when it serves.
///
/// Placeholders of the configuration read `environment`. It ends with the lifecycle: searches that are being answered are finished. If the lifecycle ends
/// before there is a configuration, nothing is started.
///
/// # Errors
/// If there is no usable configuration to start with. Cancelling leaves nothing behind.
pub async fn start(
    settings: Settings,
    listeners: Listeners,
    environment: Environment,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let registry = Registry::new("location-service", env!("CARGO_PKG_VERSION"));
    let health = Health::new(lifecycle.soft());
    let connecting = Configured::connect(&settings, environment);
    let Some(configured) = lifecycle.soft().run_until_cancelled(connecting).await else {
        return Ok(());
    };
    let configured = configured?;
    let (config, revision) = configured.current()?;
    let service = LocationService::new(&config, revision, &registry)?;

    let check = health.check("configuration");
    check.pass();
    let following = configured.follow(service.clone(), check, lifecycle.soft());
    lifecycle.own("configuration", following);

    let searches = crate::router(service.clone(), settings.max_in_flight);
    let admin = admin::router(health, registry).merge(crate::admin_router(service));
    let limits = HttpLimits::default();
    match listeners.admin {
        Some(listener) => {
            service_kit::http::serve("admin", listener, admin, limits, lifecycle);
            service_kit::http::serve("http", listeners.http, searches, limits, lifecycle);
        }
        None => service_kit::http::serve(
            "http",
            listeners.http,
            searches.merge(admin),
            limits,
            lifecycle,
        ),
    }
    Ok(())
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let listeners = Listeners {
        http: listen(settings.listen, "HTTP", "--listen")?,
        admin: (settings.admin_listen)
            .map(|address| listen(address, "health and metrics", "--admin-listen"))
            .transpose()?,
    };
    let lifecycle = Lifecycle::default();
    lifecycle.signals()?;
    let address = settings.listen;
    let started = start(settings, listeners, process_environment(), &lifecycle).await;
    if started.is_ok() {
        tracing::info!("serving searches on http://{address}");
    } else {
        lifecycle.shut_down();
    }
    let finished = lifecycle.finished().await;
    started?;
    Ok(finished?)
}

fn check_config(settings: &Settings) -> anyhow::Result<()> {
    if let Some(file) = &settings.token_file {
        service_kit::settings::secret_from(None, Some(file), "--token")?;
    }
    settings.tls.certificate()?;
    for server in &settings.servers {
        let url: url::Url = server
            .parse()
            .with_context(|| format!("read `{server}` (`--server`)"))?;
        anyhow::ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "`{server}` (`--server`) is no address of a server: give `http://host:8502`"
        );
    }
    println!("http      {}", settings.listen);
    if let Some(admin) = settings.admin_listen {
        println!("admin     {admin}");
    }
    println!("servers   {}", settings.servers.join(" "));
    println!(
        "documents {}config/{}-{}.yml",
        settings.prefix, settings.service, settings.profile
    );
    println!("the configuration is good");
    Ok(())
}
