//! The configuration that every scenario begins with.

use std::path::Path;

use anyhow::Context as _;

use crate::cure::Cure;
use crate::run::Run;

/// The shares of the vendors, which the scenarios change.
pub(crate) const SHARES: &str = "config/location-prod.yml";

/// The vendors and the time limits.
pub(crate) const VENDORS: &str = "config/location.yml";

/// All searches at `b`.
pub(crate) const ALL_TO_B: &str = "aMapPercentage: 0\nbMapPercentage: 100\n";

const SCHEMA: &str = "config/schemas/location.schema.yml";

/// Makes `folder`, a clone's, hold this configuration and nothing else.
pub(crate) fn write(folder: &Path, run: &Run) -> anyhow::Result<()> {
    let config = folder.join("config");
    match std::fs::remove_dir_all(&config) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove `{}`", config.display()));
        }
        _ => {}
    }
    for (file, text) in files(run) {
        let path = folder.join(file);
        let parent = path.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}

/// The text of [`VENDORS`] for this run.
pub(crate) fn vendors(run: &Run) -> &'static str {
    if run.lacks(Cure::SecondVendor) {
        return include_str!("../config/location-one-vendor.yml");
    }
    include_str!("../config/location.yml")
}

fn files(run: &Run) -> Vec<(&'static str, &'static str)> {
    let mut files = vec![
        (SHARES, include_str!("../config/location-prod.yml")),
        (VENDORS, vendors(run)),
    ];
    if !run.lacks(Cure::Schema) {
        files.push((SCHEMA, include_str!("../config/location.schema.yml")));
    }
    files
}
