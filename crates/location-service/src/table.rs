//! The providers in force: built from each new configuration, swapped whole.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    answer::Answer,
    config::{MapConfig, ProviderConfig, ProviderName, Shares},
    lookup::Lookup,
    metrics::Metrics,
    rank,
    vendors::{self, FailureClass, MapVendor, Vendor, VendorError},
};

/// One configuration's providers, ready to be called; a request keeps the table it started with.
pub(crate) struct RoutingTable {
    pub(crate) revision: u64,
    pub(crate) shares: Shares,
    pub(crate) deadline: Duration,
    /// In the order of `shares`.
    pub(crate) providers: Vec<Provider>,
}

/// A configured, named use of a vendor.
pub(crate) struct Provider {
    pub(crate) name: ProviderName,
    pub(crate) vendor: Vendor,
    pub(crate) timeout: Duration,
    adapter: Arc<dyn MapVendor>,
    tally: Arc<Tally>,
}

/// How a provider has fared since the process started; it outlives changes of the configuration.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<(FailureClass, Instant)>>,
}

impl RoutingTable {
    /// Builds the providers; those that were there before keep their tallies.
    pub(crate) fn build(
        config: &MapConfig,
        revision: u64,
        previous: Option<&Self>,
        client: &reqwest::Client,
        metrics: &Metrics,
    ) -> Self {
        let provider = |settings: &ProviderConfig| {
            let vendor = settings.vendor.vendor();
            let before = previous.and_then(|table| {
                table
                    .providers
                    .iter()
                    .find(|before| before.name == settings.name && before.vendor == vendor)
            });
            Provider {
                name: settings.name.clone(),
                vendor,
                timeout: settings.timeout,
                adapter: vendors::connect(&settings.name, &settings.vendor, client, metrics),
                tally: before
                    .map(|before| Arc::clone(&before.tally))
                    .unwrap_or_default(),
            }
        };
        Self {
            revision,
            shares: config.shares.clone(),
            deadline: config.deadline,
            providers: config.providers.iter().map(provider).collect(),
        }
    }

    /// What the table says of itself; no secret is in it.
    pub(crate) fn overview(&self) -> Overview {
        let providers = self.providers.iter().zip(self.shares.as_slice());
        Overview {
            revision: self.revision,
            deadline_ms: self.deadline.as_millis(),
            providers: providers
                .map(|(provider, share)| provider.overview(share.percent()))
                .collect(),
        }
    }
}

impl Provider {
    /// Asks the vendor; ends at `deadline` at the latest.
    pub(crate) async fn ask(
        &self,
        lookup: &Lookup,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Answer, VendorError> {
        let started = Instant::now();
        let answer = match lookup {
            Lookup::Address(query) => {
                let places = self.adapter.search_address(query, deadline).await;
                places.map(|places| Answer::of_places(&rank::arrange(query, places)))
            }
            Lookup::Reverse(point) => {
                let pin = self.adapter.reverse_address(*point, deadline).await;
                pin.map(|pin| Answer::of_pin(pin.as_ref()))
            }
        };
        let result = answer
            .as_ref()
            .map(|answer| !answer.is_empty())
            .map_err(|error| error.class);
        self.tally.count(result.err());
        metrics.attempt(
            &self.name,
            self.vendor,
            lookup.kind(),
            result,
            started.elapsed(),
        );
        answer
    }

    /// A provider with a vendor made for a test.
    #[cfg(test)]
    pub(crate) fn fake(name: &str, timeout: Duration, adapter: Arc<dyn MapVendor>) -> Self {
        Self {
            name: ProviderName::parse(name).expect("a name"),
            vendor: Vendor::Tmap,
            timeout,
            adapter,
            tally: Arc::default(),
        }
    }

    fn overview(&self, share_percent: f64) -> ProviderOverview {
        let last = *self
            .tally
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ProviderOverview {
            provider: self.name.to_string(),
            vendor: self.vendor.name(),
            share_percent,
            timeout_ms: self.timeout.as_millis(),
            answered: self.tally.answered.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            last_failure: last.map(|(class, at)| LastFailure {
                class: class.name(),
                seconds_ago: at.elapsed().as_secs(),
            }),
        }
    }
}

impl Tally {
    fn count(&self, failure: Option<FailureClass>) {
        match failure {
            None => {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(class) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                *self
                    .last_failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some((class, Instant::now()));
            }
        }
    }
}

/// The routing in force, for people and dashboards.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    revision: u64,
    deadline_ms: u128,
    providers: Vec<ProviderOverview>,
}

#[derive(Debug, Serialize)]
struct ProviderOverview {
    provider: String,
    vendor: &'static str,
    share_percent: f64,
    timeout_ms: u128,
    answered: u64,
    failed: u64,
    last_failure: Option<LastFailure>,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    class: &'static str,
    seconds_ago: u64,
}
