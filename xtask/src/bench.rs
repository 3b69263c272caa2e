//! `cargo xtask bench`.

use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::ValueEnum as _;

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
    /// How a large state starts, and what a large commit costs others
    State,
}

/// Brings a Postgres that waits for the disk, and runs the benchmarks with it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.only.is_none() && !args.arguments.is_empty() {
        bail!("arguments are for one benchmark: say which by `--only`");
    }
    let all = Benchmark::value_variants().to_vec();
    let benchmarks = args.only.map_or(all, |one| vec![one]);
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
            Self::State => ("config-server", "state"),
        };
        let mut command = shell::cargo();
        command
            .args(["bench", "--profile", "dist"])
            .args(["--package", package, "--bench", name, "--"])
            .args(arguments);
        if self != Self::Fanout {
            return Ok(command);
        }
        if let Some(folder) = peers::find_or_fetch()? {
            command.env(peers::VARIABLE, folder);
        }
        Ok(shell::with_many_files(&command))
    }
}
