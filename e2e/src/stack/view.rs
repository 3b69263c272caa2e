//! What can be seen of the stack from outside, and what can be switched in it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chameleon_client::{Api, ApiSettings, Source, Token};
use chameleon_model::Revision;
use serde::Deserialize;
use test_kit::eventually;

use super::role::{CONFIG_GRPC, CONFIG_HTTP, CONTROL, LOCATION, LOCATION_ADMIN, Role};
use super::{SOURCE, Stack};

/// How an instance of the address search spreads its traffic.
#[derive(Debug, Deserialize)]
pub(crate) struct Routing {
    pub(crate) deadline_ms: u64,
    providers: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
struct Provider {
    provider: String,
    share_percent: f64,
}

impl Routing {
    /// The shares of `a` and `b` in percent.
    pub(crate) fn shares(&self) -> (f64, f64) {
        let share = |name| {
            let mut named = self
                .providers
                .iter()
                .filter(|provider| provider.provider == name);
            named.next().map_or(0.0, |provider| provider.share_percent)
        };
        (share("a"), share("b"))
    }
}

/// A key as the Consul dialect serves it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) index: u64,
}

impl Stack {
    /// The API of one config server.
    pub(crate) async fn api(&self, server: Role) -> anyhow::Result<Api> {
        let settings = ApiSettings {
            servers: vec![self.part(server)?.url(CONFIG_GRPC).await?],
            token: Some(Token::value(self.run().token())),
            ..ApiSettings::default()
        };
        Ok(Api::connect(settings)?)
    }

    /// The newest revision that a config server serves.
    pub(crate) async fn head(&self, server: Role) -> anyhow::Result<Revision> {
        Ok(self.api(server).await?.status().await?.head.revision)
    }

    /// The git source as a config server knows it.
    pub(crate) async fn source(&self, server: Role) -> anyhow::Result<Source> {
        let sources = self.api(server).await?.sources().await?;
        let mut ours = sources
            .into_iter()
            .filter(|source| *source.name.0 == *SOURCE);
        ours.next()
            .with_context(|| format!("the server knows no source `{SOURCE}`"))
    }

    /// How an instance of the address search spreads its traffic.
    pub(crate) async fn routing(&self, instance: Role) -> anyhow::Result<Routing> {
        let base = self.part(instance)?.url(LOCATION_ADMIN).await?;
        let request = self.http().get(format!("{base}/location/routing"));
        let text = answer(request).await?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("understand `{text}`"))
    }

    /// Waits until every instance of the address search has these shares of `a` and `b`.
    pub(crate) async fn shares_become(&self, a: f64, b: f64) {
        let what = format!("both instances have the shares {a} and {b}");
        eventually(&what, async || {
            for instance in Role::LOCATIONS {
                let shares = self.routing(instance).await.ok()?.shares();
                if shares != (a, b) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Reads a key at a config server by the Consul dialect.
    pub(crate) async fn value(&self, server: Role, key: &str) -> anyhow::Result<Value> {
        self.consul(server, key, &[]).await
    }

    /// Waits at a config server for a change of a key by the Consul dialect, for a second.
    pub(crate) async fn long_poll(
        &self,
        server: Role,
        key: &str,
        index: u64,
    ) -> anyhow::Result<Value> {
        let index = index.to_string();
        self.consul(server, key, &[("index", &index), ("wait", "1s")])
            .await
    }

    /// The base addresses of the address search.
    pub(crate) async fn location_urls(&self) -> anyhow::Result<Vec<String>> {
        let mut urls = Vec::new();
        for instance in Role::LOCATIONS {
            urls.push(self.part(instance)?.url(LOCATION).await?);
        }
        Ok(urls)
    }

    /// Lets a vendor take requests and never answer them.
    pub(crate) async fn silence(&self, vendor: &str) -> anyhow::Result<()> {
        let base = self.part(Role::Simulator)?.url(CONTROL).await?;
        let request = self.http().put(format!("{base}/faults/{vendor}"));
        answer(request.body(r#"{"silence": true}"#)).await?;
        Ok(())
    }

    /// Lets a vendor answer again.
    pub(crate) async fn heal(&self, vendor: &str) -> anyhow::Result<()> {
        let base = self.part(Role::Simulator)?.url(CONTROL).await?;
        answer(self.http().delete(format!("{base}/faults/{vendor}"))).await?;
        Ok(())
    }

    async fn consul(
        &self,
        server: Role,
        key: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let base = self.part(server)?.url(CONFIG_HTTP).await?;
        let request = self.http().get(format!("{base}/v1/kv/{key}"));
        let request = request
            .query(&[("raw", "")])
            .query(query)
            .header("X-Consul-Token", self.run().token())
            .timeout(Duration::from_secs(10));
        let response = answer(request).await?;
        let index = response
            .headers()
            .get("X-Consul-Index")
            .context("the answer has no index")?;
        let index = index.to_str()?.parse().context("read the index")?;
        let text = response.text().await?;
        Ok(Value { text, index })
    }
}

/// Sends a request; an answer that is no success is an error with its text.
async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let url = response.url().clone();
    let text = response.text().await.unwrap_or_default();
    bail!("{url} answered {status}: {}", text.trim())
}
