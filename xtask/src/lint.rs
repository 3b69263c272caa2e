//! `cargo xtask lint`.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use crate::{shell, tidy};

type Check = fn() -> anyhow::Result<()>;

/// Runs every check, also after one has failed, and ends with those that did.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let checks: [(&str, Check); 4] = [
        ("fmt", fmt),
        ("tidy", tidy_up),
        ("deny", deny),
        ("clippy", clippy),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("lint: {name}");
        if let Err(error) = check() {
            eprintln!("lint: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn fmt() -> anyhow::Result<()> {
    pass(shell::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> anyhow::Result<()> {
    pass(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn tidy_up() -> anyhow::Result<()> {
    let complaints = tidy::complaints()?;
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("\n  {}", complaints.join("\n  "))
}

fn deny() -> anyhow::Result<()> {
    if shell::folders_with("cargo-deny").is_empty() {
        eprintln!("lint: deny: left out, because cargo-deny is not installed");
        return Ok(());
    }
    pass(shell::cargo().args([
        "deny",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn pass(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .context("run `cargo`")?;
    if !status.success() {
        bail!("ended with {status}");
    }
    Ok(())
}
