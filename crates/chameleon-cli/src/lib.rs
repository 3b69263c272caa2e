//! The `chameleon` command: `dev`, `demo`, and everything a person asks.
//!
//! [`stack`] is the platform in one process; `dev`, `demo` and the benchmarks run it.

mod args;
mod commands;
mod demo;
mod dev;
mod dump;
mod hook;
mod patch;
mod screen;
mod shell;
pub mod stack;
mod waterfall;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chameleon_client::{Api, ApiError, ApiSettings, Tls, Token};
use clap::Parser as _;
use service_kit::telemetry::{self, TelemetrySettings};

use crate::args::{Cli, Command, Global};
use crate::screen::{ReaderGone, Screen};

/// How long a call may take that reads a whole store.
const BULK_TIMEOUT: Duration = Duration::from_mins(5);

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => service_kit::main_exit(Err(advised(error))),
    }
}

/// Says what to do where the library that failed can't know it.
fn advised(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(ApiError::Unreachable { source, .. })
            if source.kind() == std::io::ErrorKind::ConnectionRefused =>
        {
            anyhow!("{error:#}; start one by `chameleon dev`, or name another by `--server`")
        }
        _ => error,
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    telemetry::init(&TelemetrySettings {
        format: global.log_format,
        filter: global.log.clone(),
    })?;
    service_kit::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(dispatch(&global, command))
}

async fn dispatch(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    let screen = Screen::new(global.output, global.color);
    match command {
        Command::Dev(args) => dev::run(&args, screen).await?,
        Command::Demo(args) => return demo::run(&args, screen).await,
        Command::Get { key, revision } => {
            commands::get::run(&api(global)?, &key, revision, screen).await?;
        }
        Command::Put(args) => return commands::put::run(&api(global)?, args, screen).await,
        Command::Delete(args) => return commands::delete::run(&api(global)?, args, screen).await,
        Command::Ls { prefix } => commands::ls::run(&api(global)?, &prefix, screen).await?,
        Command::Watch { key, count } => {
            commands::watch::run(&api(global)?, &key, count, screen).await?;
        }
        Command::History(args) => commands::history::run(&api(global)?, &args, screen).await?,
        Command::Diff(args) => commands::diff::run(&api(global)?, &args, screen).await?,
        Command::Rollback(args) => {
            return commands::rollback::run(&api(global)?, args, screen).await;
        }
        Command::Fleet { service, profile } => {
            commands::fleet::run(
                &api(global)?,
                service.as_deref(),
                profile.as_deref(),
                screen,
            )
            .await?;
        }
        Command::Status => commands::status::run(&api(global)?, screen).await?,
        Command::Source => commands::source::run(&api(global)?, screen).await?,
        Command::Export(args) => commands::export::run(&bulk_api(global)?, args, screen).await?,
        Command::Import(args) => {
            return commands::import::run(&bulk_api(global)?, args, screen).await;
        }
        Command::Hold(args) => return commands::hold::run(&api(global)?, args, screen).await,
        Command::Release(args) => {
            return commands::hold::release(&api(global)?, args, screen).await;
        }
        Command::Token { command } => {
            commands::token::run(&api(global)?, command, screen).await?;
        }
        Command::Audit(args) => commands::audit::run(&api(global)?, args, screen).await?,
        Command::Search { query, at } => commands::search::run(&query, &at, screen).await?,
        Command::Validate(args) => return commands::validate::run(&args, screen),
        Command::Completion { shell } => commands::completion(shell)?,
        Command::PushHook(args) => hook::run(&args, &api(global)?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn api(global: &Global) -> anyhow::Result<Api> {
    Ok(Api::connect(api_settings(global)?)?)
}

/// For calls that read a whole store.
fn bulk_api(global: &Global) -> anyhow::Result<Api> {
    Ok(Api::connect(ApiSettings {
        call_timeout: BULK_TIMEOUT,
        ..api_settings(global)?
    })?)
}

fn api_settings(global: &Global) -> anyhow::Result<ApiSettings> {
    Ok(ApiSettings {
        servers: global.server.clone(),
        token: global.token_file.clone().map(Token::file),
        tls: Tls::from_files(global.tls.ca_file.clone(), global.tls.certificate()?),
        ..ApiSettings::default()
    })
}
