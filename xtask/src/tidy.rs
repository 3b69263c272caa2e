//! `cargo xtask tidy`: the rules of this repository that no other tool knows.

mod documents;
mod edges;
mod metadata;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

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
        count => bail!("{count} things to tidy up"),
    }
}

/// Everything that is not as it should be, each in a line that says where.
pub(crate) fn complaints() -> anyhow::Result<Vec<String>> {
    let metadata = Metadata::load()?;
    let mut complaints = edges::check(&metadata, &read(edges::PAGE)?);
    complaints.extend(documents::dependencies(
        &metadata,
        &read(documents::DEPENDENCIES)?,
    ));
    complaints.extend(documents::test_command(&read(documents::README)?));
    Ok(complaints)
}

fn read(page: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(shell::root().join(page)).with_context(|| format!("read `{page}`"))
}
