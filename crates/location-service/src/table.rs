//! The providers in force: built from each new configuration, swapped whole.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
struct Tally(Mutex<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    answered: u64,
    failed: u64,
    last_failure: Option<(FailureClass, Instant)>,
    /// How the newest attempt failed; none if it was answered.
    failing: Option<FailureClass>,
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
        // A text that the vendor refuses says nothing about the vendor.
        let failure = answer
            .as_ref()
            .err()
            .filter(|error| error.class.fails_over());
        self.report(failure, self.tally.count(failure.map(|error| error.class)));
        metrics.attempt(
            &self.name,
            self.vendor,
            lookup.kind(),
            result,
            started.elapsed(),
        );
        answer
    }

    /// Logs what changes: a vendor that stays down at fifty searches a second is one line.
    fn report(&self, failure: Option<&VendorError>, before: Option<FailureClass>) {
        let (provider, vendor) = (&self.name, self.vendor);
        match failure {
            Some(error) if before != Some(error.class) => {
                tracing::warn!(%provider, class = error.class.name(), "provider `{provider}` fails: {error}");
            }
            Some(error) => tracing::debug!(%provider, "provider `{provider}` still fails: {error}"),
            None if before.is_some() => {
                tracing::info!(%provider, "provider `{provider}` ({vendor}) answers again");
            }
            None => {}
        }
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
        let counts = self.tally.counts();
        ProviderOverview {
            provider: self.name.to_string(),
            vendor: self.vendor.name(),
            share_percent,
            timeout_ms: self.timeout.as_millis(),
            answered: counts.answered,
            failed: counts.failed,
            failing: counts.failing.map(FailureClass::name),
            last_failure: counts.last_failure.map(|(class, at)| LastFailure {
                class: class.name(),
                seconds_ago: at.elapsed().as_secs(),
            }),
        }
    }
}

impl Tally {
    /// Counts an attempt; tells how the one before had failed, if it had.
    fn count(&self, failure: Option<FailureClass>) -> Option<FailureClass> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            None => counts.answered += 1,
            Some(class) => {
                counts.failed += 1;
                counts.last_failure = Some((class, Instant::now()));
            }
        }
        std::mem::replace(&mut counts.failing, failure)
    }

    fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The class of the newest attempt's failure; null if it was answered.
    failing: Option<&'static str>,
    last_failure: Option<LastFailure>,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    class: &'static str,
    seconds_ago: u64,
}
