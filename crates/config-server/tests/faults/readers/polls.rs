//! Long polls as Consul's clients send them, each at its replica.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde::Deserialize;
use service_kit::http_client::{self, HttpClientSettings};
use tokio::time::sleep;

use super::{At, Reader};
use crate::content::Mirror;

/// Between an answer that is none and the next request.
const PAUSE: Duration = Duration::from_millis(30);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    value: Option<String>,
    modify_index: u64,
}

/// Polls without end. The wait is short because an index says nothing of the epoch: a poll with an
/// index that a promoted copy has not reached is answered at the end of its wait.
pub(crate) async fn run(reader: Arc<Reader>, http: SocketAddr) {
    let client = http_client::new(&HttpClientSettings::new("config-server-test/0"));
    let client = client.expect("a client can be made");
    let prefix = reader.scope.prefix();
    let mut index = 0;
    loop {
        let url = format!("http://{http}/v1/kv/{prefix}?recurse&wait=2s&index={index}");
        match poll(&client, &url).await {
            Some((next, mirror)) => {
                if next < index && !reader.shared.has_promoted() {
                    reader.complain(&format!("was sent back from index {index} to {next}"));
                }
                index = next;
                // An index is one above its revision.
                reader.show(At::Revision(next.saturating_sub(1)), |held| *held = mirror);
            }
            None => sleep(PAUSE).await,
        }
    }
}

async fn poll(client: &reqwest::Client, url: &str) -> Option<(u64, Mirror)> {
    let response = client.get(url).send().await.ok()?;
    let index = response.headers().get("x-consul-index")?;
    let index = index.to_str().ok()?.parse().ok()?;
    let entries: Vec<Entry> = match response.status() {
        StatusCode::OK => response.json().await.ok()?,
        StatusCode::NOT_FOUND => Vec::new(),
        _ => return None,
    };
    let mut mirror = Mirror::default();
    for entry in entries {
        let value = STANDARD.decode(entry.value.unwrap_or_default()).ok()?;
        mirror.put(&entry.key, &value, entry.modify_index.saturating_sub(1));
    }
    Some((index, mirror))
}
