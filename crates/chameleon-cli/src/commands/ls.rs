//! `chameleon ls`: which keys there are.

use chameleon_client::{Api, Selection};
use chameleon_model::{Entry, Prefix};
use serde::Serialize;

use crate::screen::{Answer, Screen, trimmed};

#[derive(Serialize)]
struct Listing {
    revision: u64,
    keys: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    key: String,
    bytes: usize,
    modify_revision: u64,
    owner: Option<String>,
    locked: bool,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self {
            key: entry.key.to_string(),
            bytes: entry.value.len(),
            modify_revision: entry.modify_revision.0,
            owner: entry.owner.map(|owner| owner.to_string()),
            locked: entry.session.is_some(),
        }
    }
}

impl Answer for Listing {
    fn text(&self, screen: Screen) -> String {
        if self.keys.is_empty() {
            return format!("no keys at revision {}", self.revision);
        }
        let mut table = screen.table(["key", "bytes", "revision", "source"]);
        for row in &self.keys {
            table.add_row([
                row.key.clone(),
                row.bytes.to_string(),
                row.modify_revision.to_string(),
                row.owner.clone().unwrap_or_default(),
            ]);
        }
        trimmed(&table)
    }
}

/// Lists the keys under `prefix`.
pub(crate) async fn run(api: &Api, prefix: &str, screen: Screen) -> anyhow::Result<()> {
    let selection = Selection::prefix(Prefix::new(prefix));
    let state = api.read(&selection, None);
    let state = screen.waiting("reading the keys", state).await?;
    screen.show(&Listing {
        revision: state.stamp.revision.0,
        keys: state.entries.into_iter().map(Row::from).collect(),
    })
}
