//! `cargo xtask poolers`.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::postgres::{self, Durability, Source};
use crate::{apt, shell};

/// Where Debian has programs that only root looks for.
const FOLDER: &str = "/usr/sbin/pgbouncer";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the tests: a test's name, `--nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the tests of the stores and servers that need a real `PgBouncer` before Postgres.
///
/// # Errors
/// If there is no `PgBouncer` and it can't be installed: nothing is skipped in silence.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let is_there =
        !shell::folders_with("pgbouncer").is_empty() || std::path::Path::new(FOLDER).is_file();
    if !is_there {
        apt::install("pgbouncer", "poolers: there is no `pgbouncer`")
            .context("bring PgBouncer; or install it so that it is in `PATH`")?;
    }
    let mut command = shell::cargo();
    command
        .args(["test", "--package", "chameleon-store"])
        .args(["--package", "config-server", "--test", "it"])
        .args(["--", "--ignored", "pooler"])
        .args(&args.arguments);
    postgres::run_with(Source::Auto, Durability::Unsafe, command).await
}
