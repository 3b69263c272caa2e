//! What the handlers share: the routing in force, the upstream client, the counters.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use service_kit::{
    http_client::{self, HttpClientSettings},
    metrics::Registry,
};

use crate::{
    config::MapConfig,
    lookup::{self, Lookup, Served, Unserved},
    metrics::Metrics,
    routing::Draw,
    table::{Overview, RoutingTable},
};

/// A host that does not take a connection in this time is down; the search goes elsewhere.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Above every deadline; the deadlines of the calls decide.
const CALL_TIMEOUT: Duration = Duration::from_secs(70);

/// The address search over the configured providers. Clones share everything.
#[derive(Clone)]
pub struct LocationService {
    // Kept over changes of the configuration, so that a new share finds open connections.
    client: reqwest::Client,
    metrics: Metrics,
    table: Arc<ArcSwap<RoutingTable>>,
}

impl LocationService {
    /// Starts with a configuration and registers its metrics.
    ///
    /// # Errors
    /// If no HTTP client can be made, which means that TLS can not be set up.
    pub fn new(config: &MapConfig, revision: u64, registry: &Registry) -> anyhow::Result<Self> {
        let mut settings =
            HttpClientSettings::new(concat!("chameleon-location/", env!("CARGO_PKG_VERSION")));
        settings.connect_timeout = CONNECT_TIMEOUT;
        settings.timeout = CALL_TIMEOUT;
        let client = http_client::new(&settings)?;
        let metrics = Metrics::new(registry);
        metrics.configured(config, revision);
        let table = RoutingTable::build(config, revision, None, &client, &metrics);
        Ok(Self {
            client,
            metrics,
            table: Arc::new(ArcSwap::from_pointee(table)),
        })
    }

    /// Sends the next requests by a new configuration; those in flight end by the old one.
    ///
    /// To be called from one task only: two at a time could install in the wrong order.
    pub fn install(&self, config: &MapConfig, revision: u64) {
        let before = self.table.load();
        let table =
            RoutingTable::build(config, revision, Some(&before), &self.client, &self.metrics);
        self.table.store(Arc::new(table));
        self.metrics.configured(config, revision);
    }

    /// Answers one request by the routing in force.
    pub(crate) async fn serve(&self, lookup: &Lookup) -> Result<Served, Unserved> {
        let table = self.table.load_full();
        lookup::serve(&table, lookup, Draw::random(), &self.metrics).await
    }

    /// The routing in force.
    pub(crate) fn overview(&self) -> Overview {
        self.table.load().overview()
    }

    /// The shared counters.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
