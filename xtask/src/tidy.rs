//! `cargo xtask tidy`: the rules of this repository that no other tool knows.

mod documents;
mod edges;
mod metadata;
mod pages;

use std::process::ExitCode;

use anyhow::bail;

use crate::shell;
use metadata::Metadata;

/// Prints every complaint; succeeds if there is none.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let complaints = complaints()?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(ExitCode::SUCCESS),
        1 => bail!("1 thing to tidy up"),
        count => bail!("{count} things to tidy up"),
    }
}

/// Everything that is not as it should be, each in a line that says where.
pub(crate) fn complaints() -> anyhow::Result<Vec<String>> {
    let metadata = Metadata::load()?;
    let crates = shell::root().join("crates");
    let protos = pages::texts(&crates, ".proto")?;
    let sources = pages::texts(&crates, ".rs")?;
    Ok([
        about(edges::PAGE, |page| edges::check(&metadata, page)),
        about(documents::DEPENDENCIES, |page| {
            documents::dependencies(&metadata, page)
        }),
        about(documents::README, documents::test_command),
        about(pages::GRPC, |page| pages::rpcs(&protos, page)),
        about(pages::METRICS, |page| pages::metrics(&sources, page)),
    ]
    .concat())
}

/// What `check` says about a page; a page that cannot be read is a complaint of its own.
fn about(page: &str, check: impl FnOnce(&str) -> Vec<String>) -> Vec<String> {
    match std::fs::read_to_string(shell::root().join(page)) {
        Ok(text) => check(&text),
        Err(error) => vec![format!("{page}: cannot be read: {error}")],
    }
}
