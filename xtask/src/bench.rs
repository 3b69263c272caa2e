//! `cargo xtask bench`.

use std::process::ExitCode;

use crate::postgres::{self, Durability, Source};
use crate::shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Postgres comes from
    #[arg(long, value_enum, default_value = "auto")]
    postgres: Source,

    /// Passed on to the benchmark: `--pushes 50`, `--commits 500`, `--json FILE`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Brings a Postgres that waits for the disk, and runs the benchmarks with it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = shell::cargo();
    command
        .args([
            "bench",
            "--package",
            "chameleon-cli",
            "--bench",
            "story",
            "--",
        ])
        .args(&args.arguments);
    postgres::run_with(args.postgres, Durability::Full, command).await
}
