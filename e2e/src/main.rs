//! The whole platform in containers, and what it keeps when parts of it fail.
//!
//! Called by `cargo xtask e2e`, which makes the images first.

mod cure;
mod engineer;
mod play;
mod run;
mod scenarios;
mod searches;
mod seed;
mod stack;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use service_kit::Lifecycle;
use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;

use cure::Cure;
use play::{Outcome, Plan};
use run::Run;
use scenarios::Scenario;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Run the whole platform in containers and see what it keeps when parts of it fail
#[derive(Debug, Parser)]
#[command(name = "cargo xtask e2e", bin_name = "cargo xtask e2e")]
struct Cli {
    /// Play only this scenario; may be given several times
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Scenario>,

    /// Leave the containers running at the end, or where the first scenario fails
    #[arg(long)]
    keep: bool,

    /// Take out what one scenario relies on, to show that it fails without
    #[arg(long, value_enum, value_name = "CURE", hide = true)]
    without: Option<Cure>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Cli::parse())).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where everything that is written goes.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    target
        .unwrap_or_else(|| here.with_file_name("target"))
        .join("e2e")
}

/// Docker, as `DOCKER_HOST` or the usual socket reaches it.
async fn docker() -> anyhow::Result<Docker> {
    let reached = async {
        let docker = docker_client_instance().await?;
        docker.ping().await?;
        anyhow::Ok(docker)
    };
    let hint = "reach Docker (`cargo xtask e2e` says what to do where it is missing)";
    reached.await.context(hint)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let lifecycle = Lifecycle::default();
    lifecycle.signals()?;
    let interrupted = lifecycle.soft();
    let folder = folder();
    let run = Run::new(docker().await?, &folder, cli.without)?;
    let plan = Plan {
        scenarios: Scenario::chosen(&cli.only, cli.without),
        keep: cli.keep,
        folder,
    };
    let ended = tokio::select! {
        ended = play::all(&plan, &run) => Some(ended),
        () = interrupted.cancelled() => None,
    };
    let left = matches!(&ended, Some(Ok(Outcome { left: Some(_), .. })));
    if !left {
        run.sweep().await?;
    }
    let Some(outcome) = ended.transpose()? else {
        eprintln!("interrupted; all containers are removed");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if let Some(reach) = &outcome.left {
        println!("\nThe containers are left running:\n\n{reach}\n\nRemove them by:\n");
        println!("{}", run.removal());
    }
    println!("\n{} passed, {} failed", outcome.passed, outcome.failed);
    Ok(if outcome.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
