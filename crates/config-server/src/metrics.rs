//! What this server counts, for Prometheus.

use std::fmt;
use std::time::Duration;

use chameleon_model::Stage;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use service_kit::metrics::Registry;

use crate::app::access::Limited;

/// From half a millisecond to half a minute: a change should take milliseconds, and one that takes
/// seconds should still be told from one that takes minutes.
const PROPAGATION: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// Long polls are requests too, so the buckets reach to minutes.
const REQUESTS: [f64; 12] = [
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0,
];

/// Handles to all counters and histograms. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    commits: Family<CommitLabels, Counter>,
    verdicts: Verdicts,
    propagation: Family<StageLabels, Histogram>,
    /// Of the same family, at hand because every instance adds to them with every change.
    delivered: Histogram,
    applied: Histogram,
    http_requests: Family<HttpLabels, Counter>,
    http_seconds: Family<RouteLabels, Histogram>,
    grpc_requests: Family<GrpcLabels, Counter>,
    reports: Family<ReportLabels, Counter>,
    limited: Limited,
}

/// The counters of one family, at hand because every instance adds to one with every change.
#[derive(Clone)]
struct Verdicts {
    applied: Counter,
    rejected: Counter,
    received: Counter,
}

/// The way by which something came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Grpc,
    Consul,
    Api,
}

/// What became of a request to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitResult {
    Committed,
    Unchanged,
    Refused,
    Faulty,
    Failed,
}

/// What an instance said of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    Rejected,
    Received,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabels {
    face: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcLabels {
    method: &'static str,
    code: &'static str,
}

impl Metrics {
    /// Registers everything that is counted where it happens.
    pub(crate) fn new(registry: &Registry) -> Self {
        let verdicts = Family::<VerdictLabels, Counter>::default();
        let verdict = |verdict| verdicts.get_or_create_owned(&VerdictLabels { verdict });
        let propagation =
            Family::<StageLabels, Histogram>::new_with_constructor(|| Histogram::new(PROPAGATION));
        let stage = |stage: Stage| {
            let stage = stage.name();
            propagation.get_or_create_owned(&StageLabels { stage })
        };
        let over_limit = Family::<LimitLabels, Counter>::default();
        let limit = |limit| over_limit.get_or_create_owned(&LimitLabels { limit });
        let metrics = Self {
            limited: Limited {
                requests: limit("requests"),
                watches: limit("watches"),
            },
            commits: Family::default(),
            verdicts: Verdicts {
                applied: verdict("applied"),
                rejected: verdict("rejected"),
                received: verdict("received"),
            },
            delivered: stage(Stage::Delivered),
            applied: stage(Stage::Applied),
            propagation,
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(|| Histogram::new(REQUESTS)),
            grpc_requests: Family::default(),
            reports: Family::default(),
        };
        registry.register(
            "chameleon_commits",
            "Transactions by the face they came through and what became of them",
            metrics.commits.clone(),
        );
        registry.register(
            "chameleon_over_limit",
            "Requests and watches that were refused because their client had too many",
            over_limit,
        );
        registry.register(
            "chameleon_verdicts",
            "States that instances have applied, rejected, or are still working on",
            verdicts,
        );
        registry.register_with_unit(
            "chameleon_propagation",
            "Time of each stage on a change's way to an instance",
            Unit::Seconds,
            metrics.propagation.clone(),
        );
        registry.register(
            "chameleon_http_requests",
            "HTTP requests by route and status",
            metrics.http_requests.clone(),
        );
        registry.register_with_unit(
            "chameleon_http_request",
            "Time to answer HTTP requests, long polls included",
            Unit::Seconds,
            metrics.http_seconds.clone(),
        );
        registry.register(
            "chameleon_grpc_requests",
            "gRPC calls by method and status code; streams count when they are accepted or refused",
            metrics.grpc_requests.clone(),
        );
        registry.register(
            "chameleon_fleet_reports",
            "Reports of this server's instances to the other servers on its database",
            metrics.reports.clone(),
        );
        metrics
    }

    pub(crate) fn committed(&self, face: Face, result: CommitResult) {
        let labels = CommitLabels {
            face: match face {
                Face::Grpc => "grpc",
                Face::Consul => "consul",
                Face::Api => "api",
            },
            outcome: match result {
                CommitResult::Committed => "committed",
                CommitResult::Unchanged => "unchanged",
                CommitResult::Refused => "refused",
                CommitResult::Faulty => "faulty",
                CommitResult::Failed => "failed",
            },
        };
        self.commits.get_or_create(&labels).inc();
    }

    /// The other servers were told of this one's instances, or could not be.
    pub(crate) fn reported(&self, arrived: bool) {
        let result = if arrived { "arrived" } else { "failed" };
        self.reports.get_or_create(&ReportLabels { result }).inc();
    }

    /// Where it is counted that a client has met a limit.
    pub(crate) fn limited(&self) -> Limited {
        self.limited.clone()
    }

    pub(crate) fn judged(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Applied => &self.verdicts.applied,
            Verdict::Rejected => &self.verdicts.rejected,
            Verdict::Received => &self.verdicts.received,
        };
        counter.inc();
    }

    /// A change was delivered to an instance, and then applied or rejected by it.
    pub(crate) fn reached(&self, delivered: Duration, applied: Duration) {
        self.delivered.observe(delivered.as_secs_f64());
        self.applied.observe(applied.as_secs_f64());
    }

    pub(crate) fn propagated(&self, stage: Stage, took: Duration) {
        let labels = StageLabels {
            stage: stage.name(),
        };
        (self.propagation.get_or_create(&labels)).observe(took.as_secs_f64());
    }

    pub(crate) fn http(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        took: Duration,
    ) {
        let labels = HttpLabels {
            method,
            route,
            status,
        };
        self.http_requests.get_or_create(&labels).inc();
        (self.http_seconds.get_or_create(&RouteLabels { route })).observe(took.as_secs_f64());
    }

    pub(crate) fn grpc(&self, method: &'static str, code: &'static str) {
        (self
            .grpc_requests
            .get_or_create(&GrpcLabels { method, code }))
        .inc();
    }
}

/// A gauge that is read when somebody asks for it.
pub(crate) struct Measured<F>(pub(crate) F);

impl<F> fmt::Debug for Measured<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured")
    }
}

impl<F: Fn() -> f64> EncodeMetric for Measured<F> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(&(self.0)())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counted_is_in_the_text() {
        let registry = Registry::new("config-server", "0");
        let metrics = Metrics::new(&registry);
        registry.register("chameleon_answer", "The answer", Measured(|| 42.5));
        metrics.committed(Face::Consul, CommitResult::Faulty);
        metrics.judged(Verdict::Applied);
        metrics.propagated(Stage::Stored, Duration::from_millis(3));
        metrics.http("GET", "/v1/kv", 200, Duration::from_millis(1));
        metrics.grpc("Read", "ok");
        let text = registry.text();
        for line in [
            r#"chameleon_commits_total{face="consul",outcome="faulty"} 1"#,
            r#"chameleon_verdicts_total{verdict="applied"} 1"#,
            r#"chameleon_propagation_seconds_bucket{le="0.005",stage="stored"} 1"#,
            r#"chameleon_http_requests_total{method="GET",route="/v1/kv",status="200"} 1"#,
            r#"chameleon_grpc_requests_total{method="Read",code="ok"} 1"#,
            "chameleon_answer 42.5",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no `{line}` in:\n{text}"
            );
        }
    }
}
