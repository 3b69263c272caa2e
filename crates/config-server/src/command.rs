//! The binary's sub-commands.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use chameleon_model::{Epoch, Revision};
use chameleon_store::Store;
use service_kit::tls::ServerTls;
use service_kit::{Lifecycle, listen, telemetry, tls};

use crate::app::access::Access;
use crate::late_store::LateStore;
use crate::settings::{Cli, Command, Options, StoreAddress};
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
        Command::NewEpoch => new_epoch(options).await,
        Command::CheckConfig => check_config(options),
        Command::Healthcheck => healthcheck(options).await,
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
    let soft = lifecycle.soft();
    let Some(store) = soft.run_until_cancelled(open(options, &lifecycle)).await else {
        return Ok(());
    };
    let started = start(settings, store?, listeners, &lifecycle).await;
    if started.is_ok() {
        let scheme = scheme(options);
        tracing::info!(
            "serving HTTP on {scheme}://{} and gRPC on {scheme}://{}",
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

/// Opens the store; where a snapshot is kept on disk, its database may still be away.
async fn open(options: &Options, lifecycle: &Lifecycle) -> anyhow::Result<Arc<dyn Store>> {
    let address = options.store.expose();
    let listen = options.store_listen.as_ref().map(StoreAddress::expose);
    if options.snapshot.is_none() {
        let opened = chameleon_store::open_listening(address, listen).await;
        return opened.with_context(|| opening(options));
    }
    Ok(Arc::new(LateStore::start(address, listen, lifecycle)))
}

async fn migrate(options: &Options) -> anyhow::Result<()> {
    chameleon_store::migrate(options.store.expose())
        .await
        .with_context(|| opening(options))?;
    println!("the store is up to date");
    Ok(())
}

/// For a database that was restored while no server remembered a newer state: servers that do begin
/// an epoch by themselves. Those that run follow.
async fn new_epoch(options: &Options) -> anyhow::Result<()> {
    let store =
        (chameleon_store::open(options.store.expose()).await).with_context(|| opening(options))?;
    let head = store.load().await.context("load the state")?.stamp();
    anyhow::ensure!(
        head.revision != Revision::ZERO,
        "the store {} is empty; restore the backup first, or name its database by `--store`",
        options.store
    );
    // The time, and not the next number: others may have begun since the backup was made, as when the
    // same one is restored twice.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let began = store.begin_epoch(head, Epoch(now)).await;
    let began = began.context("begin an epoch; if others write at the same time, try again")?;
    println!(
        "epoch {} begins at revision {}",
        began.epoch, began.revision
    );
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
    println!("tls     {}", told_tls(settings.tls.as_ref()));
    println!("store   {}", options.store);
    if let Some(listen) = &options.store_listen {
        println!("listen  {listen}");
    }
    if let Some(snapshot) = &options.snapshot {
        println!("disk    {}", snapshot.display());
    }
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

fn scheme(options: &Options) -> &'static str {
    match options.tls.tls_cert {
        Some(_) => "https",
        None => "http",
    }
}

fn told_tls(tls: Option<&ServerTls>) -> String {
    let Some(tls) = tls else {
        return String::from("not spoken");
    };
    let files = tls.files();
    let clients = (files.client_ca.as_ref()).map_or_else(String::new, |ca| {
        format!(", clients' certificates by {}", ca.display())
    });
    format!("by {}{clients}", files.cert.display())
}

/// Asks a server with the same flags whether it is ready.
async fn healthcheck(options: &Options) -> anyhow::Result<()> {
    match options.tls.files()? {
        // Health is served beside the faces only where it has no listener of its own.
        Some(files) if options.admin_listen.is_none() => {
            service_kit::healthcheck_by_tls(options.http_listen, &files).await
        }
        _ => service_kit::healthcheck(&readiness_url(options)).await,
    }
}

fn opening(options: &Options) -> String {
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
