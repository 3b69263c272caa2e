//! Installing packages on a fresh Debian or Ubuntu.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell;

/// Installs `package`, and says before why: `why` is the start of that line.
///
/// # Errors
/// If this is not Debian or Ubuntu, we are not root, or apt-get fails.
pub(crate) fn install(package: &str, why: &str) -> anyhow::Result<()> {
    if !Path::new("/etc/debian_version").exists() || shell::folders_with("apt-get").is_empty() {
        bail!("this is neither Debian nor Ubuntu");
    }
    if !shell::is_root() {
        bail!("only root may install: run `apt-get install {package}`");
    }
    eprintln!("{why}, so apt-get installs {package}");
    apt_get(package, &["update"])?;
    apt_get(
        package,
        &["install", "--yes", "--no-install-recommends", package],
    )
}

fn apt_get(package: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet=2")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    shell::output(&mut command).with_context(|| format!("install {package}"))?;
    Ok(())
}
