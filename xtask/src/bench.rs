//! `cargo xtask bench`.

use std::process::{Command, ExitCode};

use anyhow::bail;

use crate::postgres::{self, Durability, Source};
use crate::{peers, shell};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run one benchmark; all if left out
    #[arg(long, value_enum)]
    only: Option<Benchmark>,

    /// Where Postgres comes from
    #[arg(long, value_enum, default_value = "auto")]
    postgres: Source,

    /// Passed on to the benchmark of `--only`, after it: `--pushes 50`, `--parts polls`, `--json FILE`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Benchmark {
    /// How fast a change travels from git to the instances
    Story,
    /// How fast many watchers get a change, beside Consul and etcd
    Fanout,
}

/// Brings a Postgres that waits for the disk, and runs the benchmarks with it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.only.is_none() && !args.arguments.is_empty() {
        bail!("arguments are for one benchmark: say which by `--only`");
    }
    let benchmarks = args
        .only
        .map_or(vec![Benchmark::Story, Benchmark::Fanout], |one| vec![one]);
    for benchmark in benchmarks {
        let command = benchmark.command(&args.arguments)?;
        let code = postgres::run_with(args.postgres, Durability::Full, command).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Benchmark {
    fn command(self, arguments: &[String]) -> anyhow::Result<Command> {
        let (package, name) = match self {
            Self::Story => ("chameleon-cli", "story"),
            Self::Fanout => ("config-server", "fanout"),
        };
        let mut command = shell::cargo();
        command
            .args(["bench", "--profile", "dist"])
            .args(["--package", package, "--bench", name, "--"])
            .args(arguments);
        if self == Self::Story {
            return Ok(command);
        }
        if let Some(folder) = peers::find_or_fetch()? {
            command.env(peers::VARIABLE, folder);
        }
        Ok(shell::with_many_files(&command))
    }
}
