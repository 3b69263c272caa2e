//! `cargo xtask e2e`.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::images::{self, Build, Image, Public};
use crate::shell;

/// The images that the stack runs on; nobody else's are built.
const IMAGES: [Image; 5] = [
    Image::ConfigServer,
    Image::LocationService,
    Image::MapSimulator,
    Image::GitSync,
    Image::GitServer,
];

#[derive(Debug, clap::Args)]
// `--help` is the run's own, which knows its flags.
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed on: `--only NAME`, `--keep`, `--help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Brings the images up to date and becomes the program that runs the stack.
///
/// # Errors
/// If Docker is missing, with what to do; or if an image cannot be built.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asks = ["-h", "--help", "-V", "--version"];
    if !args
        .arguments
        .iter()
        .any(|argument| asks.contains(&argument.as_str()))
    {
        images::docker::require("cargo xtask e2e")?;
        images::build(&IMAGES, Build::Auto)?;
        Public::Postgres.provide()?;
    }
    let mut command = shell::cargo();
    command
        .args(["run", "--quiet", "--package", "e2e", "--"])
        .args(&args.arguments);
    become_program(command)
}

/// Leaves nobody between Ctrl-C and the program that removes the containers.
#[cfg(unix)]
fn become_program(mut command: Command) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("run `cargo run --package e2e`")
}

#[cfg(not(unix))]
fn become_program(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("run `cargo run --package e2e`")?;
    Ok(shell::exit_code(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_runs_on_the_images_that_are_built() {
        let file = shell::root().join("e2e/src/stack/role.rs");
        let text = std::fs::read_to_string(file).unwrap();
        for image in IMAGES {
            let named = format!(r#"("{}", "{}")"#, image.name(), images::TAG);
            assert!(text.contains(&named), "{named}");
        }
        let (name, tag) = Public::Postgres.reference().split_once(':').unwrap();
        assert!(
            text.contains(&format!(r#"("{name}", "{tag}")"#)),
            "{name}:{tag}"
        );
    }
}
