//! `cargo xtask compare`.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::{peers, shell};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the test: the name of a script, `--nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Finds a Consul and runs the test that compares ours with it.
///
/// # Errors
/// If there is no Consul: nothing is compared then, and nothing is skipped in silence.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let peers = peers::find_or_fetch()?;
    let mut command = shell::cargo();
    command
        .args(["test", "--package", "config-server", "--test", "compare"])
        .args(["--", "--include-ignored"])
        .args(&args.arguments);
    match peers {
        Some(folder) => command.env(peers::VARIABLE, folder),
        None => command.env_remove(peers::VARIABLE),
    };
    let status = command.status().context("run `cargo test`")?;
    Ok(shell::exit_code(status))
}
