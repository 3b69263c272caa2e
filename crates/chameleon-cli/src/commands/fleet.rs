//! `chameleon fleet`: which instance runs which revision.

use chameleon_client::{Api, Instance};
use serde::Serialize;

use crate::screen::{Answer, Screen, Tone, trimmed};

#[derive(Serialize)]
struct Fleet {
    head: u64,
    instances: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    service: String,
    profile: String,
    instance: String,
    version: String,
    host: String,
    applied: Option<u64>,
    sent: Option<u64>,
    rejected: Option<String>,
    current: bool,
    connected_s: u64,
    replica: String,
}

impl From<Instance> for Row {
    fn from(instance: Instance) -> Self {
        let identity = instance.identity;
        Self {
            service: identity.service,
            profile: identity.profile,
            instance: identity.instance,
            version: identity.version,
            host: identity.host,
            applied: instance.applied.map(|stamp| stamp.revision.0),
            sent: instance.sent.map(|stamp| stamp.revision.0),
            rejected: instance.rejected,
            current: instance.current,
            connected_s: instance.connected.as_secs(),
            replica: instance.replica,
        }
    }
}

impl Row {
    fn state(&self, screen: Screen) -> String {
        match (&self.rejected, self.current) {
            (Some(reason), _) => screen.paint(Tone::Bad, format!("rejected: {reason}")),
            (None, true) => screen.paint(Tone::Good, "current"),
            (None, false) => "behind".to_owned(),
        }
    }
}

impl Answer for Fleet {
    fn text(&self, screen: Screen) -> String {
        if self.instances.is_empty() {
            return format!("no instances; the server is at revision {}", self.head);
        }
        let mut table = screen.table([
            "instance", "service", "profile", "version", "server", "applied", "up", "state",
        ]);
        for row in &self.instances {
            table.add_row([
                row.instance.clone(),
                row.service.clone(),
                row.profile.clone(),
                row.version.clone(),
                row.replica.clone(),
                row.applied
                    .map_or_else(|| "-".to_owned(), |n| n.to_string()),
                format!("{} s", row.connected_s),
                row.state(screen),
            ]);
        }
        format!("server at revision {}\n\n{}", self.head, trimmed(&table))
    }
}

/// Lists the running instances.
pub(crate) async fn run(
    api: &Api,
    service: Option<&str>,
    profile: Option<&str>,
    screen: Screen,
) -> anyhow::Result<()> {
    let fleet = api.fleet(service, profile);
    let fleet = screen.waiting("asking for the fleet", fleet).await?;
    let mut instances: Vec<_> = fleet.instances.into_iter().map(Row::from).collect();
    instances.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
    screen.show(&Fleet {
        head: fleet.head.revision.0,
        instances,
    })
}
