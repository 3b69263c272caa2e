//! Images that others publish, and what stands in for them where they cannot be pulled.

use std::process::Command;

use anyhow::Context as _;

use super::{debian, docker};
use crate::shell;

/// Says of an image what it stands in by.
const STAND_IN: &str = "chameleon.stand-in";

/// An image that others publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Public {
    /// The base of all images.
    Debian,
    /// The store.
    Postgres,
    /// Collects the metrics.
    Prometheus,
}

impl Public {
    /// Name and tag. compose.yml and the Dockerfile use the same.
    pub(crate) fn reference(self) -> &'static str {
        match self {
            Self::Debian => "debian:bookworm-slim",
            Self::Postgres => "postgres:15",
            Self::Prometheus => "prom/prometheus:v3.5.0",
        }
    }

    /// Makes sure that the image is on this machine: it is there, or pulled, or a stand-in is made
    /// from Debian's packages under the same name, which is said. Returns its reference.
    ///
    /// # Errors
    /// If it can neither be pulled nor made.
    pub(crate) fn provide(self) -> anyhow::Result<&'static str> {
        let reference = self.reference();
        if docker::has(reference) {
            let by = docker::label(reference, STAND_IN)?;
            if !by.is_empty() {
                eprintln!("images: {reference} is a stand-in: {by}");
            }
            return Ok(reference);
        }
        eprintln!("images: pulling {reference}");
        if let Err(error) = docker::pull(reference) {
            eprintln!("images: {error:#}");
            eprintln!("images: making a stand-in for {reference} from Debian's packages");
            self.stand_in()
                .with_context(|| format!("make a stand-in for `{reference}`"))?;
        }
        Ok(reference)
    }

    fn stand_in(self) -> anyhow::Result<()> {
        let folder = match self {
            Self::Debian => return debian::import(self.reference(), STAND_IN),
            Self::Postgres => "postgres",
            Self::Prometheus => "prometheus",
        };
        let base = Self::Debian.provide()?;
        let mut command = Command::new("docker");
        command
            .args(["build", "--tag", self.reference()])
            .args(["--build-arg", &format!("BASE={base}")])
            .arg(shell::root().join("deploy/docker/stand-ins").join(folder));
        docker::build(&mut command, folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_the_same_images() {
        for (file, image) in [
            ("deploy/docker/Dockerfile", Public::Debian),
            (
                "deploy/docker/stand-ins/postgres/Dockerfile",
                Public::Debian,
            ),
            (
                "deploy/docker/stand-ins/prometheus/Dockerfile",
                Public::Debian,
            ),
            ("deploy/compose/compose.yml", Public::Postgres),
            ("deploy/compose/compose.yml", Public::Prometheus),
        ] {
            let text = std::fs::read_to_string(shell::root().join(file)).unwrap();
            assert!(text.contains(image.reference()), "{file}: {image:?}");
        }
    }
}
