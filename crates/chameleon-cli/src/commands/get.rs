//! `chameleon get`: the value of a key.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use chameleon_client::{Api, Selection};
use chameleon_model::{Key, Revision};
use serde::Serialize;

use crate::screen::{self, Screen};

#[derive(Serialize)]
struct Got<'a> {
    key: &'a str,
    /// Absent if the value is no UTF-8.
    value: Option<&'a str>,
    value_base64: String,
    flags: u64,
    create_revision: u64,
    modify_revision: u64,
    owner: Option<&'a str>,
}

/// Prints the bytes of `key` as they are.
pub(crate) async fn run(
    api: &Api,
    key: &str,
    revision: Option<u64>,
    screen: Screen,
) -> anyhow::Result<()> {
    let key = Key::new(key)?;
    let selection = Selection::key(key.clone());
    let state = api.read(&selection, revision.map(Revision));
    let state = screen.waiting("reading the key", state).await?;
    let Some(entry) = state.entries.first() else {
        let revision = state.stamp.revision;
        bail!("key `{key}` does not exist at revision {revision}; `chameleon ls` lists what does");
    };
    if screen.is_json() {
        let got = Got {
            key: entry.key.as_str(),
            value: std::str::from_utf8(&entry.value).ok(),
            value_base64: base64::prelude::BASE64_STANDARD.encode(&entry.value),
            flags: entry.flags,
            create_revision: entry.create_revision.0,
            modify_revision: entry.modify_revision.0,
            owner: entry.owner.as_ref().map(|owner| &*owner.0),
        };
        let text = serde_json::to_string(&got).context("write the answer as JSON")?;
        return screen::print(format!("{text}\n").as_bytes());
    }
    screen::print(&entry.value)
}
