//! `chameleon status`: how the server, the sources and the fleet are.

use chameleon_client::{Api, Source};
use serde::Serialize;

use super::{Moment, short};
use crate::screen::{Answer, Screen, Tone, harmless, trimmed};
use crate::waterfall::duration_text;

#[derive(Serialize)]
struct Status {
    version: String,
    revision: u64,
    epoch: u64,
    entries: u64,
    watches: u64,
    store: String,
    store_available: bool,
    store_age_ms: u128,
    instances: usize,
    behind: usize,
    rejecting: usize,
    sources: Vec<SourceRow>,
}

#[derive(Serialize)]
struct SourceRow {
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

impl Answer for Status {
    fn text(&self, screen: Screen) -> String {
        let store = if self.store_available {
            screen.paint(Tone::Good, format!("{} is there", self.store))
        } else {
            let age = duration_text(std::time::Duration::from_millis(
                u64::try_from(self.store_age_ms).unwrap_or(u64::MAX),
            ));
            let text = format!(
                "{} is away: reads go on with what was known {age} ago, writes fail",
                self.store
            );
            screen.paint(Tone::Bad, text)
        };
        let fleet = match (self.rejecting, self.behind) {
            (0, 0) => screen.paint(
                Tone::Good,
                format!("{} instances, all current", self.instances),
            ),
            (rejecting, behind) => screen.paint(
                Tone::Bad,
                format!(
                    "{} instances, {behind} behind, {rejecting} rejecting the newest state \
                     (`chameleon fleet` says why)",
                    self.instances
                ),
            ),
        };
        let mut lines = vec![
            format!("server   {} at revision {}", self.version, self.revision),
            format!("store    {store}"),
            format!("serving  {} keys to {} watches", self.entries, self.watches),
            format!("fleet    {fleet}"),
        ];
        if !self.sources.is_empty() {
            let mut table = screen.table(["source", "applied", "revision", "at", "newest commit"]);
            for source in &self.sources {
                table.add_row([
                    source.name.clone(),
                    source.applied.as_deref().map_or("none", short).to_owned(),
                    source.revision.map(|n| n.to_string()).unwrap_or_default(),
                    source.at.map(|at| at.to_string()).unwrap_or_default(),
                    match (&source.rejected, &source.applied) {
                        (Some(commit), _) => {
                            screen.paint(Tone::Bad, format!("{} rejected", short(commit)))
                        }
                        (None, Some(_)) => screen.paint(Tone::Good, "applied"),
                        (None, None) => "not applied yet".to_owned(),
                    },
                ]);
            }
            lines.extend([String::new(), trimmed(&table)]);
            for fault in self.sources.iter().flat_map(|source| &source.faults) {
                lines.push(format!("  {fault}"));
            }
            for key in self.sources.iter().flat_map(|source| &source.held) {
                let held = format!("  held: {}: pushes do not reach it", harmless(key));
                lines.push(screen.paint(Tone::Bad, format!("{held} (`chameleon hold` says why)")));
            }
        }
        lines.join("\n")
    }
}

/// Asks the server that answers first.
pub(crate) async fn run(api: &Api, screen: Screen) -> anyhow::Result<()> {
    let answers = async { tokio::try_join!(api.status(), api.sources(), api.fleet(None, None)) };
    let (status, sources, fleet) = screen.waiting("asking for the status", answers).await?;
    let count = |wanted: fn(&chameleon_client::Instance) -> bool| {
        fleet.instances.iter().filter(|i| wanted(i)).count()
    };
    screen.show(&Status {
        version: status.version,
        revision: status.head.revision.0,
        epoch: status.head.epoch.0,
        entries: status.entries,
        watches: status.watches,
        store: status.store,
        store_available: status.store_available,
        store_age_ms: status.store_age.as_millis(),
        instances: fleet.instances.len(),
        behind: count(|instance| !instance.current && instance.rejected.is_none()),
        rejecting: count(|instance| instance.rejected.is_some()),
        sources: sources.into_iter().map(SourceRow::from).collect(),
    })
}
