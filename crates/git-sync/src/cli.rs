//! The command: its flags, and what each way of calling it does.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand, ValueEnum};
use service_kit::settings::CommonArgs;
use service_kit::{
    Lifecycle, healthcheck, healthcheck_by_tls, listen, main_exit, readiness_url, telemetry, tls,
};

use crate::service::{Listeners, start};
use crate::settings::SyncArgs;
use crate::sync_once;

/// Applies git folders to Chameleon, one transaction per commit.
#[derive(Debug, Parser)]
#[command(name = "git-sync", version)]
pub struct Cli {
    #[command(flatten)]
    common: CommonArgs,

    #[command(flatten)]
    sync: SyncArgs,

    /// Sync every source once and exit: 0 applied or unchanged, 1 rejected, 2 could not run
    #[arg(long)]
    once: bool,

    /// How `--once` tells what became of the sources
    #[arg(long, value_enum, default_value = "text", requires = "once")]
    output: Output,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Take webhooks and keep the sources in step; the default
    Serve,
    /// Check the flags and files and say what would be synced
    CheckConfig,
    /// Ask a running git-sync whether it is well
    Healthcheck,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Lines for people.
    Text,
    /// One JSON document.
    Json,
}

/// The exit code of a job that could not run.
const COULD_NOT_RUN: u8 = 2;

/// Does what the flags say, to its end, and returns the exit code.
///
/// What goes wrong is one line on stderr, and code 1; 2 if it is with `--once`.
pub async fn execute(cli: Cli) -> ExitCode {
    let failure = if cli.once { COULD_NOT_RUN } else { 1 };
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            // Prints the line.
            let _ = main_exit(Err(error));
            failure.into()
        }
    }
}

impl Cli {
    async fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::init(&self.common.telemetry())?;
        tls::install_provider();
        match self.command {
            Some(Command::CheckConfig) => self.check_config(),
            Some(Command::Healthcheck) => self.healthcheck().await,
            Some(Command::Serve) | None if self.once => self.once().await,
            Some(Command::Serve) | None => self.serve().await,
        }
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let settings = self.sync.settings()?;
        let lifecycle = Lifecycle::default();
        lifecycle.signals()?;
        let http = listen(self.sync.listen, "webhooks", "--listen")?;
        let admin = self
            .sync
            .admin_listen
            .map(|address| listen(address, "health and metrics", "--admin-listen"))
            .transpose()?;
        let scheme = if settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        tracing::info!("taking webhooks on {scheme}://{}", http.local_addr()?);
        start(settings, Listeners { http, admin }, &lifecycle).await?;
        lifecycle.finished().await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn once(self) -> anyhow::Result<ExitCode> {
        let settings = self.sync.settings()?;
        // Cron jobs and CI systems send SIGTERM; caught, it ends our git as well.
        let lifecycle = Lifecycle::default();
        lifecycle.signals()?;
        let soft = lifecycle.soft();
        let Some(report) = soft.run_until_cancelled(sync_once(&settings)).await else {
            bail!("interrupted; what was applied by then stays");
        };
        let report = report?;
        match self.output {
            Output::Text => print!("{report}"),
            Output::Json => println!("{}", serde_json::json!(report)),
        }
        Ok(report.exit_code().into())
    }

    fn check_config(self) -> anyhow::Result<ExitCode> {
        for source in self.sync.settings()?.sources.iter() {
            println!("{source}");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn healthcheck(self) -> anyhow::Result<ExitCode> {
        let listening = self.sync.admin_listen.unwrap_or(self.sync.listen);
        match self.sync.tls.files()? {
            Some(files) if self.sync.admin_listen.is_none() => {
                healthcheck_by_tls(listening, &files).await?;
            }
            _ => healthcheck(&readiness_url(listening)).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_page_tells_the_flags() {
        test_kit::flags::check(&Cli::command(), "docs/reference/git-sync.md");
    }

    #[test]
    fn the_service_unit_sets_variables_that_there_are() {
        for file in ["git-sync.service", "git-sync.env"] {
            test_kit::flags::check_variables(&Cli::command(), &format!("deploy/systemd/{file}"));
        }
    }

    fn settings(flags: &[&str]) -> anyhow::Result<crate::Settings> {
        let flags = ["git-sync"].iter().chain(flags);
        Cli::try_parse_from(flags)?.sync.settings()
    }

    #[test]
    fn one_source_needs_no_file() {
        let flags = [
            "serve",
            "--repository",
            "https://git.example/shop.git",
            "--only",
            "beta",
            "--server",
            "http://a:8502",
            "--server",
            "http://b:8502",
        ];
        let settings = settings(&flags).unwrap();
        assert_eq!(settings.api.servers, ["http://a:8502", "http://b:8502"]);
        assert_eq!(settings.sources.iter().count(), 1);
    }

    #[test]
    fn no_source_says_what_to_give() {
        assert_eq!(
            settings(&[]).unwrap_err().to_string(),
            "no source is named: give `--repository`, or a file of sources with `--config`"
        );
        let both = settings(&["--repository", "x", "--config", "y"]);
        assert!(
            both.unwrap_err()
                .to_string()
                .contains("cannot be used with")
        );
    }
}
