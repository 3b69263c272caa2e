//! `cargo xtask faults`.

mod without;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::{postgres, shell};
use without::Cure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many faults: 300, or until it is noticed what is taken out
    #[arg(long)]
    faults: Option<u32>,

    /// What the plan is drawn from; drawn itself if left out, and printed
    #[arg(long)]
    seed: Option<u64>,

    /// Take a cure out of a copy of the sources, and succeed if the test notices what it should
    #[arg(long, value_enum)]
    without: Option<Cure>,
}

/// Runs the randomized test of faults on a Postgres that it may kill.
///
/// # Errors
/// If Postgres's programs are neither there nor can be installed, or the test does not compile.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let programs = postgres::programs()?;
    let mut command = shell::cargo();
    if let Some(cure) = args.without {
        without::prepare(cure, &mut command)?;
    }
    command.args(["test", "--package", "config-server", "--test", "faults"]);
    let mut compile = again(&command);
    let status = compile
        .arg("--no-run")
        .status()
        .context("run `cargo test`")?;
    if !status.success() {
        bail!("the test does not compile");
    }
    command
        .args(["--", "--include-ignored", "--nocapture"])
        .env("CHAMELEON_POSTGRES_PROGRAMS", programs)
        .env("CHAMELEON_FAULTS", args.count().to_string());
    if let Some(seed) = args.seed {
        command.env("CHAMELEON_FAULTS_SEED", seed.to_string());
    }
    let status = command.status().context("run `cargo test`")?;
    match args.without {
        None => Ok(shell::exit_code(status)),
        Some(cure) if status.success() == cure.is_spare() => {
            let passes = if status.success() { "passes" } else { "fails" };
            eprintln!("faults: the test {passes} without {cure}, as it has to");
            Ok(ExitCode::SUCCESS)
        }
        Some(cure) if cure.is_spare() => bail!("the test fails without {cure}"),
        Some(cure) => bail!("the test passes without {cure}: it does not notice"),
    }
}

impl Args {
    fn count(&self) -> u32 {
        let noticed = self.without.is_some_and(|cure| !cure.is_spare());
        self.faults.unwrap_or(if noticed { 3_000 } else { 300 })
    }
}

/// The same command once more.
fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        again.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    again
}
