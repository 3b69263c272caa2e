//! `chameleon source`: the git sources, what is applied of each, and what was rejected.

use chameleon_client::{Api, Source};
use serde::Serialize;

use super::{Moment, short};
use crate::screen::{Answer, Screen, Tone, harmless, trimmed};

#[derive(Serialize)]
struct Sources {
    sources: Vec<SourceRow>,
}

#[derive(Serialize)]
pub(super) struct SourceRow {
    name: String,
    applied: Option<String>,
    revision: Option<u64>,
    at: Option<Moment>,
    /// The newest commit, if it was rejected.
    rejected: Option<String>,
    faults: Vec<String>,
    /// Keys that pushes do not reach.
    held: Vec<String>,
}

impl From<Source> for SourceRow {
    fn from(source: Source) -> Self {
        let rejected = source.report.filter(|report| !report.accepted);
        Self {
            name: source.name.to_string(),
            applied: source.commit.map(|commit| commit.to_string()),
            revision: source.stamp.map(|stamp| stamp.revision.0),
            at: source.at.map(Moment::from),
            rejected: rejected.as_ref().map(|report| report.commit.to_string()),
            held: source.held.iter().map(ToString::to_string).collect(),
            faults: rejected.map(|report| report.faults).unwrap_or_default(),
        }
    }
}

/// The sources as a table, with the faults of rejected commits and the held keys below.
pub(super) fn table(sources: &[SourceRow], screen: Screen) -> String {
    let mut table = screen.table(["source", "applied", "revision", "at", "newest commit"]);
    for source in sources {
        table.add_row([
            source.name.clone(),
            source.applied.as_deref().map_or("none", short).to_owned(),
            source.revision.map(|n| n.to_string()).unwrap_or_default(),
            source.at.map(|at| at.to_string()).unwrap_or_default(),
            match (&source.rejected, &source.applied) {
                (Some(commit), _) => screen.paint(Tone::Bad, format!("{} rejected", short(commit))),
                (None, Some(_)) => screen.paint(Tone::Good, "applied"),
                (None, None) => "not applied yet".to_owned(),
            },
        ]);
    }
    let mut lines = vec![trimmed(&table)];
    for fault in sources.iter().flat_map(|source| &source.faults) {
        lines.push(format!("  {fault}"));
    }
    for key in sources.iter().flat_map(|source| &source.held) {
        let held = format!("  held: {}: pushes do not reach it", harmless(key));
        lines.push(screen.paint(Tone::Bad, format!("{held} (`chameleon hold` says why)")));
    }
    lines.join("\n")
}

impl Answer for Sources {
    fn text(&self, screen: Screen) -> String {
        match self.sources.as_slice() {
            [] => "no source has been applied or has reported".to_owned(),
            sources => table(sources, screen),
        }
    }
}

/// Lists the sources.
pub(crate) async fn run(api: &Api, screen: Screen) -> anyhow::Result<()> {
    let sources = screen
        .waiting("asking for the sources", api.sources())
        .await?;
    screen.show(&Sources {
        sources: sources.into_iter().map(SourceRow::from).collect(),
    })
}
