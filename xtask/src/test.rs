//! `cargo xtask test`.

use std::process::ExitCode;

use crate::postgres::{self, Durability, Source};
use crate::shell;

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
    let mut command = shell::cargo();
    if args.nextest {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    if !names_packages(&args.arguments) {
        command.arg("--workspace");
    }
    command.args(&args.arguments);
    postgres::run_with(args.postgres, Durability::Unsafe, command).await
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
