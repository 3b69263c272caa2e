//! A Postgres server for tests and benchmarks: given, local, in a container, or installed.

mod command;
mod docker;
mod local;
mod run_with;

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::apt;
pub(crate) use command::{Args, run};
use local::LocalServer;
pub(crate) use run_with::run_with;

/// The variable that names a server that is there already, and by which tests find ours.
pub(crate) const VARIABLE: &str = "CHAMELEON_TEST_DATABASE_URL";

/// Where Postgres comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// The first that works: a given server, local programs, Docker, apt-get
    Auto,
    /// The programs of an installed Postgres, with a database folder of their own
    Local,
    /// A container
    Docker,
}

/// What a crash of the machine may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing: every commit waits for the disk. For benchmarks.
    Full,
    /// Everything: nothing waits for the disk. For tests.
    Unsafe,
}

impl Durability {
    /// Settings of the server, each `name=value`.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[],
            Self::Unsafe => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ],
        }
    }
}

/// Settings that all our servers have: many tests at a time, each with several connections.
const SETTINGS: &[&str] = &["max_connections=400"];

/// A running server; one that we started ends with this value.
pub(crate) struct Server {
    url: String,
    origin: String,
    kind: Kind,
}

enum Kind {
    Given,
    Local(LocalServer),
    Docker(Box<docker::Container>),
}

impl Server {
    /// The URL of a role that may create databases.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where the server comes from, for people.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Ends the server, if it is ours, and removes its data.
    pub(crate) async fn remove(self) {
        match self.kind {
            Kind::Given => {}
            Kind::Local(server) => drop(server),
            Kind::Docker(container) => {
                if let Err(error) = container.rm().await {
                    eprintln!("warning: failed to remove the Postgres container: {error}");
                }
            }
        }
    }
}

/// Brings a server from `source`, with the speed and risk of `durability`.
///
/// # Errors
/// With every way that was tried, why it failed, and what to install.
pub(crate) async fn bring(source: Source, durability: Durability) -> anyhow::Result<Server> {
    let given = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    if let (Source::Auto, Some(url)) = (source, given) {
        return Ok(Server {
            url,
            origin: format!("as given by {VARIABLE}"),
            kind: Kind::Given,
        });
    }

    let mut refusals = Vec::new();
    if matches!(source, Source::Auto | Source::Local) {
        match LocalServer::start(durability) {
            Ok(server) => return Ok(from_local(server)),
            Err(error) => refusals.push(format!("local programs: {error:#}")),
        }
    }
    if matches!(source, Source::Auto | Source::Docker) {
        match docker::start(durability).await {
            Ok(server) => return Ok(server),
            Err(error) => refusals.push(format!("Docker: {error:#}")),
        }
    }
    if source == Source::Auto {
        let why = "postgres: neither local programs nor Docker work";
        let installed = apt::install("postgresql", why);
        match installed.and_then(|()| LocalServer::start(durability)) {
            Ok(server) => return Ok(from_local(server)),
            Err(error) => refusals.push(format!("apt-get: {error:#}")),
        }
    }
    bail!(
        "no Postgres: install the PostgreSQL server programs or Docker, or set {VARIABLE}\n  {}",
        refusals.join("\n  ")
    )
}

/// The folder of the programs of an installed Postgres, for who starts and kills it by themselves.
///
/// # Errors
/// If there is none, and it cannot be installed.
pub(crate) fn programs() -> anyhow::Result<PathBuf> {
    local::programs().or_else(|_| {
        apt::install("postgresql", "postgres: its programs are needed")?;
        local::programs()
    })
}

fn from_local(server: LocalServer) -> Server {
    Server {
        url: server.url(),
        origin: server.origin(),
        kind: Kind::Local(server),
    }
}

/// A password that nobody on this machine can guess, in hexadecimal digits.
fn password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read `/dev/urandom`")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
