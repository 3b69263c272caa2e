//! Running a program beside a Postgres that lives as long as it does.

use std::future::Future;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;

use super::{Durability, Server, Source, VARIABLE, bring};
use crate::shell;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Brings Postgres, runs `command` with its URL in [`VARIABLE`], and takes it away again, also
/// after Ctrl-C. Returns the command's exit code.
///
/// # Errors
/// If there is no Postgres, or the command can't be started.
pub(crate) async fn run_with(
    source: Source,
    durability: Durability,
    command: Command,
) -> anyhow::Result<ExitCode> {
    let mut interrupted = std::pin::pin!(shell::interruption()?);
    let server = tokio::select! {
        server = bring(source, durability) => server?,
        () = &mut interrupted => return Ok(ExitCode::from(INTERRUPTED)),
    };
    eprintln!("postgres: {}", server.origin());
    let result = run(command, &server, interrupted).await;
    server.remove().await;
    result
}

async fn run(
    command: Command,
    server: &Server,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let program = command.get_program().display().to_string();
    let mut command = tokio::process::Command::from(command);
    command.env(VARIABLE, server.url()).kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("run `{program}`"))?;
    tokio::select! {
        status = child.wait() => Ok(shell::exit_code(status?)),
        () = interrupted => {
            // Ctrl-C reached the child as well, being in our terminal; SIGTERM did not.
            let grace = Duration::from_secs(2);
            if tokio::time::timeout(grace, child.wait()).await.is_err() {
                child.kill().await.with_context(|| format!("end `{program}`"))?;
            }
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
