//! What is counted and timed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chameleon_model::SourceName;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use service_kit::metrics::Registry;

/// The metrics of the process.
#[derive(Clone)]
pub(crate) struct Metrics {
    turns: Family<TurnLabels, Counter>,
    stages: Family<StageLabels, Histogram>,
    committed_at: Family<SourceLabels, Gauge<i64>>,
    in_step_at: Family<SourceLabels, Gauge<f64, AtomicU64>>,
    held: Family<SourceLabels, Gauge<i64>>,
    webhooks: Family<WebhookLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    source: String,
    outcome: Turn,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    source: String,
    stage: SyncStage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    sender: Sender,
    answer: WebhookAnswer,
}

/// How a look at a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub(crate) enum Turn {
    applied,
    unchanged,
    rejected,
    waiting,
    failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
enum SyncStage {
    fetched,
    checked,
    stored,
}

/// Who sent a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub(crate) enum Sender {
    github,
}

/// What a webhook was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub(crate) enum WebhookAnswer {
    accepted,
    ignored,
    refused,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            turns: Family::default(),
            // 1 ms to 16 s.
            stages: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            committed_at: Family::default(),
            in_step_at: Family::default(),
            held: Family::default(),
            webhooks: Family::default(),
        };
        registry.register(
            "chameleon_sync_turns",
            "Looks at a source, by their outcome",
            metrics.turns.clone(),
        );
        registry.register_with_unit(
            "chameleon_sync_stage_duration",
            "Time that a stage of applying a commit took",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        registry.register_with_unit(
            "chameleon_sync_applied_commit_time",
            "When the applied commit was committed, by git, since the Unix epoch",
            Unit::Seconds,
            metrics.committed_at.clone(),
        );
        registry.register_with_unit(
            "chameleon_sync_in_step_time",
            "When the source was last seen to be applied, since the Unix epoch",
            Unit::Seconds,
            metrics.in_step_at.clone(),
        );
        registry.register(
            "chameleon_sync_held_keys",
            "Keys of the source that are held, which pushes do not reach",
            metrics.held.clone(),
        );
        registry.register(
            "chameleon_webhooks",
            "Webhooks, by what they were answered",
            metrics.webhooks.clone(),
        );
        metrics
    }

    /// The metrics of one source.
    pub(crate) fn of_source(&self, source: &SourceName) -> SourceMetrics {
        SourceMetrics {
            metrics: self.clone(),
            source: Arc::clone(&source.0),
        }
    }

    pub(crate) fn webhook(&self, sender: Sender, answer: WebhookAnswer) {
        let labels = WebhookLabels { sender, answer };
        self.webhooks.get_or_create(&labels).inc();
    }
}

/// The metrics of one source.
#[derive(Clone)]
pub(crate) struct SourceMetrics {
    metrics: Metrics,
    source: Arc<str>,
}

impl SourceMetrics {
    /// Counts a turn; one that found the newest commit applied sets the clock of being in step.
    pub(crate) fn turn(&self, outcome: Turn) {
        let labels = TurnLabels {
            source: self.source.to_string(),
            outcome,
        };
        self.metrics.turns.get_or_create(&labels).inc();
        if matches!(outcome, Turn::applied | Turn::unchanged) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let gauge = self.metrics.in_step_at.get_or_create(&self.label());
            gauge.set(now.unwrap_or_default().as_secs_f64());
        }
    }

    pub(crate) fn checked(&self, fetched: Duration, checked: Duration) {
        self.stage(SyncStage::fetched, fetched);
        self.stage(SyncStage::checked, checked);
    }

    pub(crate) fn stored(&self, took: Duration) {
        self.stage(SyncStage::stored, took);
    }

    /// Sets the time of the applied commit, in seconds since 1970.
    pub(crate) fn applied(&self, committed_at: i64) {
        let gauge = self.metrics.committed_at.get_or_create(&self.label());
        gauge.set(committed_at);
    }

    /// Sets the number of the source's keys that are held.
    pub(crate) fn held(&self, keys: usize) {
        let gauge = self.metrics.held.get_or_create(&self.label());
        gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    fn stage(&self, stage: SyncStage, took: Duration) {
        let labels = StageLabels {
            source: self.source.to_string(),
            stage,
        };
        let histogram = self.metrics.stages.get_or_create(&labels);
        histogram.observe(took.as_secs_f64());
    }

    fn label(&self) -> SourceLabels {
        SourceLabels {
            source: self.source.to_string(),
        }
    }
}
