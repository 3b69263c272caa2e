//! `chameleon history`: who changed what, when and why, and how long it took to arrive.

use chameleon_client::{Api, CommitRecord, HistoryQuery};
use chameleon_model::Revision;
use serde::Serialize;

use super::{Moment, Target, short};
use crate::args::HistoryArgs;
use crate::screen::{Answer, Screen, Tone, harmless, trimmed};
use crate::waterfall::{Waterfall, duration_text};

#[derive(Serialize)]
struct History {
    commits: Vec<Item>,
    #[serde(skip)]
    draw: bool,
}

#[derive(Serialize)]
struct Item {
    revision: u64,
    epoch: u64,
    at: Moment,
    author: String,
    message: String,
    via: String,
    source: Option<String>,
    commit: Option<String>,
    puts: Vec<String>,
    deletes: Vec<String>,
    held: Vec<String>,
    released: Vec<String>,
    total_ms: Option<f64>,
    waterfall: Waterfall,
}

impl From<CommitRecord> for Item {
    fn from(record: CommitRecord) -> Self {
        let waterfall = Waterfall::from(&record);
        let keys = |deleted| {
            let changes = record.changes.iter().filter(move |c| c.deleted == deleted);
            changes.map(|change| change.key.to_string()).collect()
        };
        let holds = |ended| {
            let changes = record.holds.iter().filter(move |c| c.ended == ended);
            changes.map(|change| change.key.to_string()).collect()
        };
        Self {
            held: holds(false),
            released: holds(true),
            revision: record.stamp.revision.0,
            epoch: record.stamp.epoch.0,
            at: record.at.into(),
            puts: keys(false),
            deletes: keys(true),
            total_ms: waterfall.total().map(|total| total.as_secs_f64() * 1000.0),
            waterfall,
            source: record.source.map(|source| source.to_string()),
            commit: record.origin.git.map(|git| git.commit.to_string()),
            author: record.origin.author,
            message: record.origin.message,
            via: record.origin.via,
        }
    }
}

impl Item {
    fn subject(&self) -> String {
        harmless(self.message.lines().next().unwrap_or_default())
    }

    /// `2 applied in 41.3 ms`, with what was rejected.
    fn arrival(&self, screen: Screen) -> String {
        let instances = &self.waterfall.instances;
        let rejected = instances.iter().filter(|i| i.rejected.is_some()).count();
        let applied = instances.len() - rejected;
        let total = self.waterfall.total().map(duration_text);
        match (applied, rejected, total) {
            (0, 0, _) => String::new(),
            (n, 0, Some(total)) => format!("{n} applied in {total}"),
            (n, m, _) => screen.paint(Tone::Bad, format!("{n} applied, {m} rejected")),
        }
    }

    fn drawing(&self, screen: Screen) -> String {
        let head = format!(
            "revision {}  {}  {}",
            self.revision,
            self.at,
            harmless(&self.author)
        );
        let commit = self.commit.as_deref().map(short).unwrap_or_default();
        let mut lines = vec![
            screen.paint(Tone::Strong, head.trim_end()),
            format!("  {} {commit}", self.subject())
                .trim_end()
                .to_owned(),
            String::new(),
        ];
        lines.extend(self.waterfall.lines(screen));
        if let Some(total) = self.waterfall.total() {
            lines.push(format!("  in all {}", duration_text(total)));
        }
        lines.join("\n")
    }
}

impl Answer for History {
    fn text(&self, screen: Screen) -> String {
        if self.commits.is_empty() {
            return "no such change is kept".to_owned();
        }
        if self.draw {
            let drawings: Vec<_> = self.commits.iter().map(|c| c.drawing(screen)).collect();
            return drawings.join("\n\n");
        }
        let mut table = screen.table([
            "revision",
            "at",
            "author",
            "commit",
            "keys",
            "message",
            "instances",
        ]);
        for item in &self.commits {
            table.add_row([
                item.revision.to_string(),
                item.at.to_string(),
                harmless(&item.author),
                item.commit
                    .as_deref()
                    .map(short)
                    .unwrap_or_default()
                    .to_owned(),
                (item.puts.len() + item.deletes.len()).to_string(),
                item.subject(),
                item.arrival(screen),
            ]);
        }
        trimmed(&table)
    }
}

/// Lists past changes, newest first.
pub(crate) async fn run(api: &Api, args: &HistoryArgs, screen: Screen) -> anyhow::Result<()> {
    let mut query = HistoryQuery {
        before: args.before.map(Revision),
        limit: Some(args.limit),
        ..HistoryQuery::default()
    };
    match Target::parse(args.key.as_deref().unwrap_or_default())? {
        Target::Key(key) => query.key = Some(key),
        Target::Prefix(prefix) => query.prefix = Some(prefix),
    }
    let commits = screen
        .waiting("asking for the history", api.history(query))
        .await?;
    screen.show(&History {
        commits: commits.into_iter().map(Item::from).collect(),
        draw: args.waterfall,
    })
}
