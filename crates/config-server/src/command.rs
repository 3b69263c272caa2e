//! The binary's sub-commands.

use std::sync::Arc;

use anyhow::Context as _;
use service_kit::{Lifecycle, listen, telemetry, tls};

use crate::app::access::Access;
use crate::settings::{Cli, Command, Options};
use crate::{Listeners, start};

/// Does what the command line asks for; `serve` returns when the process was asked to end.
///
/// # Errors
/// In one line: what was asked for, why it failed, and the flag that changes it.
pub async fn execute(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.common.telemetry())?;
    tls::install_provider();
    let options = &cli.options;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(options).await,
        Command::Migrate => migrate(options).await,
        Command::CheckConfig => check_config(options),
        Command::Healthcheck => service_kit::healthcheck(&readiness_url(options)).await,
    }
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let settings = options.settings()?;
    Access::new(settings.token.as_ref())?.allow_listening(options.addresses())?;
    let listeners = Listeners {
        http: listen(options.http_listen, "HTTP", "--http-listen")?,
        grpc: listen(options.grpc_listen, "gRPC", "--grpc-listen")?,
        admin: (options.admin_listen)
            .map(|address| listen(address, "health and metrics", "--admin-listen"))
            .transpose()?,
    };
    let lifecycle = Lifecycle::default();
    lifecycle.signals()?;
    let opening = chameleon_store::open(options.store.expose());
    let Some(store) = lifecycle.soft().run_until_cancelled(opening).await else {
        return Ok(());
    };
    let store = store.with_context(|| opened(options))?;
    let started = start(settings, Arc::clone(&store), listeners, &lifecycle).await;
    if started.is_ok() {
        tracing::info!(
            "serving HTTP on http://{} and gRPC on http://{}",
            options.http_listen,
            options.grpc_listen
        );
    } else {
        lifecycle.shut_down();
    }
    let finished = lifecycle.finished().await;
    started?;
    Ok(finished?)
}

async fn migrate(options: &Options) -> anyhow::Result<()> {
    chameleon_store::migrate(options.store.expose())
        .await
        .with_context(|| opened(options))?;
    println!("the store is up to date");
    Ok(())
}

fn check_config(options: &Options) -> anyhow::Result<()> {
    let settings = options.settings()?;
    Access::new(settings.token.as_ref())?.allow_listening(options.addresses())?;
    println!("http    {}", options.http_listen);
    println!("grpc    {}", options.grpc_listen);
    if let Some(admin) = options.admin_listen {
        println!("admin   {admin}");
    }
    println!("store   {}", options.store);
    println!(
        "token   {}",
        if settings.token.is_some() {
            "needed"
        } else {
            "not needed"
        }
    );
    println!("the configuration is good");
    Ok(())
}

fn opened(options: &Options) -> String {
    format!("open the store `{}` (`--store`)", options.store)
}

/// Where a server with these flags tells its readiness, as seen from its own machine.
fn readiness_url(options: &Options) -> String {
    let address = options.admin_listen.unwrap_or(options.http_listen);
    service_kit::readiness_url(address)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn readiness_is_asked_on_this_machine() {
        for (flags, url) in [
            (&["x"][..], "http://127.0.0.1:8500/health/ready"),
            (
                &["x", "--http-listen", "0.0.0.0:1"],
                "http://127.0.0.1:1/health/ready",
            ),
            (
                &["x", "--http-listen", "[::]:1"],
                "http://[::1]:1/health/ready",
            ),
            (
                &["x", "--admin-listen", "10.0.0.1:9"],
                "http://10.0.0.1:9/health/ready",
            ),
        ] {
            assert_eq!(readiness_url(&Cli::parse_from(flags).options), url);
        }
    }
}
