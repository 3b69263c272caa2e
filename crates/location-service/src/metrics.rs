//! What is counted: searches, providers' answers, upstream calls, and the shares in force.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use service_kit::metrics::Registry;

use crate::{
    config::{MapConfig, ProviderName},
    lookup::LookupKind,
    vendors::{FailureClass, Operation, Vendor},
};

/// Counters that every part shares; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Families>);

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

struct Families {
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms<KindLabel>,
    provider_requests: Family<ProviderLabels, Counter>,
    provider_duration: Histograms<ProviderKindLabels>,
    vendor_calls: Family<CallLabels, Counter>,
    vendor_call_duration: Histograms<CallKindLabels>,
    shares: Family<ProviderLabel, Gauge<f64, AtomicU64>>,
    revision: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: ProviderName,
    vendor: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderKindLabels {
    provider: ProviderName,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    provider: ProviderName,
    vendor: &'static str,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallKindLabels {
    provider: ProviderName,
    call: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: ProviderName,
}

impl EncodeLabelValue for ProviderName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

fn histogram() -> Histogram {
    // Around the deadlines that matter, 800 ms for a provider and 1.5 s for a search.
    Histogram::new([
        0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.5, 3.0,
    ])
}

impl Metrics {
    /// Registers all families.
    pub(crate) fn new(registry: &Registry) -> Self {
        let new: fn() -> Histogram = histogram;
        let families = Families {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(new),
            provider_requests: Family::default(),
            provider_duration: Family::new_with_constructor(new),
            vendor_calls: Family::default(),
            vendor_call_duration: Family::new_with_constructor(new),
            shares: Family::default(),
            revision: Gauge::default(),
        };
        registry.register(
            "location_requests",
            "Requests by what they were answered",
            families.requests.clone(),
        );
        registry.register_with_unit(
            "location_request_duration",
            "Time from a request to its answer",
            Unit::Seconds,
            families.request_duration.clone(),
        );
        registry.register(
            "location_provider_requests",
            "Attempts at a provider by their outcome",
            families.provider_requests.clone(),
        );
        registry.register_with_unit(
            "location_provider_duration",
            "Time of an attempt at a provider",
            Unit::Seconds,
            families.provider_duration.clone(),
        );
        registry.register(
            "location_vendor_calls",
            "Upstream calls by their outcome; an attempt can take several",
            families.vendor_calls.clone(),
        );
        registry.register_with_unit(
            "location_vendor_call_duration",
            "Time of an upstream call",
            Unit::Seconds,
            families.vendor_call_duration.clone(),
        );
        registry.register_with_unit(
            "location_provider_share",
            "Configured part of the traffic, 0 to 1",
            Unit::Ratios,
            families.shares.clone(),
        );
        registry.register(
            "location_config_revision",
            "Revision of the configuration in force",
            families.revision.clone(),
        );
        Self(Arc::new(families))
    }

    /// Counts one answered request.
    pub(crate) fn request(&self, kind: LookupKind, outcome: &'static str, elapsed: Duration) {
        let operation = kind.name();
        self.0
            .requests
            .get_or_create(&RequestLabels { operation, outcome })
            .inc();
        self.0
            .request_duration
            .get_or_create(&KindLabel { operation })
            .observe(elapsed.as_secs_f64());
    }

    /// Counts one attempt at a provider; success tells whether anything was found.
    pub(crate) fn attempt(
        &self,
        provider: &ProviderName,
        vendor: Vendor,
        kind: LookupKind,
        result: Result<bool, FailureClass>,
        elapsed: Duration,
    ) {
        let labels = ProviderLabels {
            provider: provider.clone(),
            vendor: vendor.name(),
            operation: kind.name(),
            outcome: outcome(result),
        };
        self.0.provider_requests.get_or_create(&labels).inc();
        let labels = ProviderKindLabels {
            provider: provider.clone(),
            operation: kind.name(),
        };
        self.0
            .provider_duration
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// Counts one upstream call; success tells whether the vendor sent something.
    pub(crate) fn vendor_call(
        &self,
        provider: &ProviderName,
        vendor: Vendor,
        operation: Operation,
        result: Result<bool, FailureClass>,
        elapsed: Duration,
    ) {
        let call = operation.name();
        let labels = CallLabels {
            provider: provider.clone(),
            vendor: vendor.name(),
            call,
            outcome: outcome(result),
        };
        self.0.vendor_calls.get_or_create(&labels).inc();
        let labels = CallKindLabels {
            provider: provider.clone(),
            call,
        };
        self.0
            .vendor_call_duration
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// Tells the configuration in force; providers that are gone are no longer told.
    pub(crate) fn configured(&self, config: &MapConfig, revision: u64) {
        self.0.shares.clear();
        for (provider, share) in config.providers.iter().zip(config.shares.as_slice()) {
            let label = ProviderLabel {
                provider: provider.name.clone(),
            };
            self.0
                .shares
                .get_or_create(&label)
                .set(share.percent() / 100.0);
        }
        self.0.revision.set(revision);
    }
}

fn outcome(result: Result<bool, FailureClass>) -> &'static str {
    match result {
        Ok(true) => "found",
        Ok(false) => "no_result",
        Err(class) => class.name(),
    }
}
