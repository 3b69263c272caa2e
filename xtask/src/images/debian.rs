//! A base image from Debian's packages, where none can be pulled.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{apt, shell};

const SUITE: &str = "bookworm";

/// What the published slim image leaves out as well.
const LEFT_OUT: [&str; 6] = [
    "./var/cache/apt/archives/*",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
];

/// Keeps packages that are installed on the base as slim as the base.
const DPKG_SETTINGS: &str = "path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
";

/// Makes the image `reference`, with a label `label` that says from what.
///
/// # Errors
/// If we are not root, debootstrap can neither be found nor installed, or a package is missing.
pub(super) fn import(reference: &str, label: &str) -> anyhow::Result<()> {
    if !shell::is_root() {
        bail!(
            "only root can run debootstrap: run `sudo -E cargo xtask images`, or `docker load` the image"
        );
    }
    if shell::folders_with("debootstrap").is_empty() {
        apt::install("debootstrap", "images: debootstrap is missing")?;
    }
    let folder = tempfile::Builder::new()
        .prefix("chameleon-base-")
        .tempdir()
        .context("make a temporary folder")?;
    let mut bootstrap = Command::new("debootstrap");
    bootstrap
        .args(["--variant=minbase", SUITE])
        .arg(folder.path());
    shell::output(&mut bootstrap)?;
    let settings = folder.path().join("etc/dpkg/dpkg.cfg.d/slim");
    std::fs::write(&settings, DPKG_SETTINGS)
        .with_context(|| format!("write `{}`", settings.display()))?;
    pipe_into_docker(
        folder.path(),
        reference,
        &format!("LABEL {label}=\"debootstrap of {SUITE}\""),
    )
}

fn pipe_into_docker(folder: &Path, reference: &str, label: &str) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--directory")
        .arg(folder)
        .args(["--numeric-owner", "--create"])
        .args(LEFT_OUT.map(|pattern| format!("--exclude={pattern}")))
        .arg(".")
        .stdout(Stdio::piped());
    let mut tar = tar.spawn().context("run `tar`")?;
    let archive = tar.stdout.take().expect("standard output is a pipe");
    let mut import = Command::new("docker");
    import
        .args(["import", "--change", "CMD [\"bash\"]", "--change", label])
        .args(["-", reference])
        .stdin(archive);
    let imported = shell::output(&mut import);
    let packed = tar.wait().context("wait for `tar`")?;
    imported?;
    if !packed.success() {
        bail!("`tar` ended with {packed}");
    }
    Ok(())
}
