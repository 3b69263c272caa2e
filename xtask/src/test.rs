//! `cargo xtask test`.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::postgres::{self, Durability, Server, Source};
use crate::shell;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Postgres comes from
    #[arg(long, value_enum, default_value = "auto")]
    postgres: Source,

    /// Run the tests by cargo-nextest, which has to be installed
    #[arg(long)]
    nextest: bool,

    /// Passed on to `cargo test`: `-p chameleon-store`, a test's name, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Brings Postgres, runs the tests with it and takes it away again, also after Ctrl-C.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut interrupted = std::pin::pin!(shell::interruption()?);
    let server = tokio::select! {
        server = postgres::bring(args.postgres, Durability::Unsafe) => server?,
        () = &mut interrupted => return Ok(ExitCode::from(INTERRUPTED)),
    };
    eprintln!("postgres: {}", server.origin());
    let result = test(args, &server, interrupted).await;
    server.remove().await;
    result
}

async fn test(
    args: &Args,
    server: &Server,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let mut command = Command::from(shell::cargo());
    if args.nextest {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    if !names_packages(&args.arguments) {
        command.arg("--workspace");
    }
    command
        .args(&args.arguments)
        .env(postgres::VARIABLE, server.url())
        .kill_on_drop(true);
    let mut child = command.spawn().context("run `cargo test`")?;
    tokio::select! {
        status = child.wait() => Ok(shell::exit_code(status?)),
        () = interrupted => {
            end(&mut child).await?;
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// `cargo test -p one` and `--workspace` together would run everything.
fn names_packages(arguments: &[String]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| {
            argument.starts_with("-p")
                || argument.starts_with("--package")
                || argument == "--workspace"
        })
}

/// Ctrl-C reached the tests as well, being in our terminal; SIGTERM did not.
async fn end(child: &mut Child) -> anyhow::Result<()> {
    let grace = std::time::Duration::from_secs(2);
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        child.kill().await.context("end `cargo test`")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_packages_replace_the_workspace() {
        let check = |arguments: &[&str], expected| {
            let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(names_packages(&arguments), expected, "{arguments:?}");
        };
        check(&[], false);
        check(&["some_test", "--", "--nocapture"], false);
        check(&["--", "-p"], false);
        check(&["-p", "chameleon-store"], true);
        check(&["--package=chameleon-store"], true);
    }
}
