//! The `docker` command.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::shell;

/// Lines of a failed build's log that are shown.
const LOG_TAIL: usize = 30;

/// Succeeds if Docker answers; else says in one line what to do before `again`.
///
/// # Errors
/// If the `docker` command is missing, or no daemon answers it.
pub(crate) fn require(again: &str) -> anyhow::Result<()> {
    if shell::folders_with("docker").is_empty() {
        bail!(
            "Docker is missing: install it (`apt-get install docker.io`, or \
             https://docs.docker.com/engine/install), then run `{again}` again"
        );
    }
    let mut command = Command::new("docker");
    command.args(["version", "--format", "{{.Server.Version}}"]);
    let Err(error) = shell::output(&mut command) else {
        return Ok(());
    };
    let error = error.to_string();
    if error.contains("permission denied") {
        bail!(
            "Docker does not let this user in: join its group (`sudo usermod -aG docker $USER`, \
             then log in again), then run `{again}` again"
        );
    }
    bail!(
        "Docker is installed and does not answer: start it (`systemctl start docker`, or \
         `dockerd &` where there is no systemd), then run `{again}` again"
    );
}

/// Says whether the image is on this machine.
pub(super) fn has(reference: &str) -> bool {
    inspect(reference, "{{.Id}}").is_ok()
}

/// Fetches the image from its registry.
pub(super) fn pull(reference: &str) -> anyhow::Result<()> {
    let mut command = Command::new("docker");
    command.args(["pull", "--quiet", reference]);
    shell::output(&mut command).map(drop)
}

/// What the label says; empty, if the image does not have it.
pub(super) fn label(reference: &str, name: &str) -> anyhow::Result<String> {
    let text = inspect(reference, &format!("{{{{index .Config.Labels {name:?}}}}}"))?;
    Ok(text.trim().to_owned())
}

/// The size of all layers of the image.
pub(super) fn size_bytes(reference: &str) -> anyhow::Result<u64> {
    let text = inspect(reference, "{{.Size}}")?;
    let size = text.trim().parse();
    size.with_context(|| format!("read the size of `{reference}`: `{}`", text.trim()))
}

/// Runs a `docker build` with its output in a file, the end of which tells why it failed.
pub(super) fn build(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let folder = shell::root().join("target/images/logs");
    std::fs::create_dir_all(&folder).with_context(|| format!("make `{}`", folder.display()))?;
    let path = folder.join(format!("{name}.log"));
    let log = File::create(&path).with_context(|| format!("write `{}`", path.display()))?;
    let both = log.try_clone().context("share the build's log")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(both)
        .status()
        .context("run `docker`")?;
    if !status.success() {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n  ");
        bail!("`docker build` ended with {status}:\n  {tail}");
    }
    Ok(())
}

fn inspect(reference: &str, format: &str) -> anyhow::Result<String> {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "--format", format, reference]);
    shell::output(&mut command)
}
