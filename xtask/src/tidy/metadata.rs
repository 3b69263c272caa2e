//! What cargo says about the workspace.

use anyhow::Context as _;
use serde::Deserialize;

use crate::shell;

/// The workspace's crates.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev` and `build`; nothing for normal ones.
    pub(super) kind: Option<String>,
    /// Nothing for crates of this workspace.
    pub(super) source: Option<String>,
}

impl Metadata {
    pub(super) fn load() -> anyhow::Result<Self> {
        let mut cargo = shell::cargo();
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        Self::parse(&shell::output(&mut cargo)?)
    }

    pub(super) fn parse(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("understand `cargo metadata`")
    }
}
