//! `chameleon status`: how the server, the sources and the fleet are.

use chameleon_client::Api;
use serde::Serialize;

use super::source::{self, SourceRow};
use crate::screen::{Answer, Screen, Tone};
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
            lines.extend([String::new(), source::table(&self.sources, screen)]);
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
