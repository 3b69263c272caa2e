//! Installing the server on a fresh Debian or Ubuntu.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell;

/// Installs PostgreSQL's programs, and says so before.
///
/// # Errors
/// If this is not Debian or Ubuntu, we are not root, or apt-get fails.
pub(crate) fn install() -> anyhow::Result<()> {
    if !Path::new("/etc/debian_version").exists() || shell::folders_with("apt-get").is_empty() {
        bail!("this is neither Debian nor Ubuntu");
    }
    if shell::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("only root may install: run `apt-get install postgresql`");
    }
    eprintln!("postgres: neither local programs nor Docker work, so apt-get installs postgresql");
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", "postgresql"])
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet=2")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    shell::output(&mut command).context("install postgresql")?;
    Ok(())
}
