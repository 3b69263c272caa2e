//! `chameleon search`: what an address search answers, and which vendor served it.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use service_kit::http_client::{self, HttpClientSettings};

use crate::screen::{Answer, Screen, Tone, harmless, trimmed};

#[derive(Serialize)]
struct Found {
    provider: String,
    vendor: String,
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    road_address: Option<String>,
    jibun_address: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    items: Vec<Item>,
}

impl Answer for Found {
    fn text(&self, screen: Screen) -> String {
        let served = format!("served by provider {}, {}", self.provider, self.vendor);
        let mut lines = vec![screen.paint(Tone::Strong, harmless(&served))];
        if self.items.is_empty() {
            lines.push("nothing found".to_owned());
            return lines.join("\n");
        }
        let mut table = screen.table(["name", "road address", "lot address"]);
        for item in &self.items {
            table.add_row([
                harmless(&item.name),
                harmless(item.road_address.as_deref().unwrap_or_default()),
                harmless(item.jibun_address.as_deref().unwrap_or_default()),
            ]);
        }
        lines.extend([String::new(), trimmed(&table)]);
        lines.join("\n")
    }
}

/// Asks the instance at `base` for `query`.
pub(crate) async fn run(query: &str, base: &str, screen: Screen) -> anyhow::Result<()> {
    let asked = || format!("search at `{base}`; `--at` names another instance");
    let client = http_client::new(&HttpClientSettings::new("chameleon-cli"))?;
    let request = client
        .get(format!("{base}/location/address"))
        .query(&[("schvalue", query)]);
    let response = request.send().await;
    let response = response
        .map_err(reqwest::Error::without_url)
        .with_context(asked)?;
    let header = |name: &str| {
        let value = response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (provider, vendor) = (header("x-chameleon-provider"), header("x-chameleon-vendor"));
    let status = response.status();
    let body = response.text().await.with_context(asked)?;
    if !status.is_success() {
        bail!("`{base}` answered {status}: {}", harmless(body.trim()));
    }
    let body: Body = serde_json::from_str(&body).with_context(asked)?;
    screen.show(&Found {
        provider,
        vendor,
        items: body.items,
    })
}
