//! `cargo xtask images`: the platform's Docker images, from the binaries that cargo builds anyway.

mod context;
mod debian;
pub(crate) mod docker;
mod host;
mod public;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context as _;

use crate::shell;
pub(crate) use public::Public;

/// The tag of all images of ours; no registry knows it, so that nobody pulls them by mistake.
pub(crate) const TAG: &str = "dev";

const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const REVISION_LABEL: &str = "org.opencontainers.image.revision";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the binaries in the images come from
    #[arg(long, value_enum, default_value = "auto")]
    build: Build,
}

/// Where the binaries in the images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Build {
    /// This machine's cargo if its binaries run in the images, else a container
    Auto,
    /// This machine's cargo, in the profile of the tests
    Prebuilt,
    /// A container with the public Rust image, in the dist profile
    Source,
}

/// An image of ours: a target of the Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    ConfigServer,
    LocationService,
    MapSimulator,
    Chameleon,
    GitSync,
    GitServer,
    LoadBalancer,
}

impl Image {
    pub(crate) const ALL: [Self; 7] = [
        Self::ConfigServer,
        Self::LocationService,
        Self::MapSimulator,
        Self::Chameleon,
        Self::GitSync,
        Self::GitServer,
        Self::LoadBalancer,
    ];

    /// The image's name, to which [`TAG`] belongs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConfigServer => "chameleon-config-server",
            Self::LocationService => "chameleon-location-service",
            Self::MapSimulator => "chameleon-map-simulator",
            Self::Chameleon => "chameleon-cli",
            Self::GitSync => "chameleon-git-sync",
            Self::GitServer => "chameleon-git-server",
            Self::LoadBalancer => "chameleon-load-balancer",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Chameleon => "chameleon",
            _ => self.name().trim_start_matches("chameleon-"),
        }
    }

    fn reference(self) -> String {
        format!("{}:{TAG}", self.name())
    }
}

/// Builds all images and provides the public ones that the container stack needs.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    docker::require("cargo xtask images")?;
    build(&Image::ALL, args.build)?;
    for image in [Public::Postgres, Public::Prometheus] {
        image.provide()?;
    }
    print_sizes()?;
    Ok(ExitCode::SUCCESS)
}

/// Brings `images` up to date with the sources, and their base with them.
///
/// # Errors
/// If the sources do not compile, or Docker cannot build an image; the end of its log is shown.
pub(crate) fn build(images: &[Image], build: Build) -> anyhow::Result<()> {
    let base = Public::Debian.provide()?;
    let from = match build {
        Build::Prebuilt => Source::Prebuilt(context::stage()?),
        Build::Source => Source::Repository,
        Build::Auto => match host::misfit() {
            None => Source::Prebuilt(context::stage()?),
            Some(reason) => {
                eprintln!("images: compiling in a container, because {reason}");
                Source::Repository
            }
        },
    };
    let revision = revision();
    for image in images {
        let started = Instant::now();
        from.build(*image, base, &revision)?;
        eprintln!(
            "images: {} ({:.1} s)",
            image.reference(),
            started.elapsed().as_secs_f32()
        );
    }
    Ok(())
}

enum Source {
    /// A small folder with binaries and the files that the Dockerfile copies.
    Prebuilt(PathBuf),
    Repository,
}

impl Source {
    fn build(&self, image: Image, base: &str, revision: &str) -> anyhow::Result<()> {
        let root = shell::root();
        let mut command = Command::new("docker");
        command
            // The classic builder leaves the container of a step that failed behind.
            .args(["build", "--force-rm", "--file"])
            .arg(root.join(DOCKERFILE))
            .args(["--target", image.target()])
            .args(["--tag", &image.reference()])
            .args(["--build-arg", &format!("BASE={base}")])
            .args(["--label", &format!("{REVISION_LABEL}={revision}")]);
        let context: &Path = match self {
            Self::Prebuilt(folder) => {
                // The builder only hands the binaries on, so that the base serves as well.
                command
                    .args(["--build-arg", "BUILD=prebuilt"])
                    .args(["--build-arg", &format!("BUILDER={base}")]);
                folder
            }
            Self::Repository => &root,
        };
        command.arg(context);
        docker::build(&mut command, image.target())
            .with_context(|| format!("build `{}`", image.reference()))
    }
}

/// The commit that the work tree is at, marked if it has been changed since.
fn revision() -> String {
    let mut command = Command::new("git");
    command.current_dir(shell::root()).args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--match=",
    ]);
    shell::output(&mut command).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn print_sizes() -> anyhow::Result<()> {
    let base = docker::size_bytes(Public::Debian.reference())?;
    println!("{:<32}{:>9}{:>14}", "image", "MB", "over its base");
    let ours = Image::ALL.map(Image::reference);
    let public = [Public::Debian, Public::Postgres, Public::Prometheus];
    let public = public.map(|image| image.reference().to_owned());
    for reference in ours.iter().chain(&public) {
        let size = docker::size_bytes(reference)?;
        let over = match size.checked_sub(base) {
            Some(over) if ours.contains(reference) => format!("{}", over / 1_000_000),
            _ => String::new(),
        };
        println!("{reference:<32}{:>9}{over:>14}", size / 1_000_000);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_builds_and_runs_the_same_images() {
        let file = shell::root().join("deploy/compose/compose.yml");
        let compose = std::fs::read_to_string(file).unwrap();
        for image in Image::ALL {
            let target = format!(
                "target: {} }}\n    image: {}\n",
                image.target(),
                image.reference()
            );
            assert!(compose.contains(&target), "{image:?}");
        }
    }

    #[test]
    fn every_image_is_a_target_of_the_dockerfile() {
        let dockerfile = std::fs::read_to_string(shell::root().join(DOCKERFILE)).unwrap();
        for image in Image::ALL {
            let stage = format!(" AS {}", image.target());
            assert!(
                dockerfile
                    .lines()
                    .any(|line| line.starts_with("FROM ") && line.ends_with(&stage)),
                "{image:?}"
            );
        }
    }
}
