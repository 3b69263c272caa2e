//! The metrics of a process, in the format that Prometheus reads.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Unit};

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where a process registers its metrics. Clones share them.
///
/// Metrics are handles that count without a lock; only registering and reading the text take one.
/// Label values should come from enums or configured names, never from requests.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Mutex<prometheus_client::registry::Registry>>,
}

impl Registry {
    /// The registry of `component` in `version`, which are told as `chameleon_build_info`, with
    /// the time of this call as `process_start_time_seconds`.
    ///
    /// Version is `env!("CARGO_PKG_VERSION")` of the calling crate.
    pub fn new(component: &str, version: &str) -> Self {
        let registry = Self {
            inner: Arc::default(),
        };
        registry.register(
            "chameleon_build",
            "Component and version of the process",
            Info::new(vec![
                ("component".to_owned(), component.to_owned()),
                ("version".to_owned(), version.to_owned()),
            ]),
        );
        let started = Gauge::<f64, AtomicU64>::default();
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        started.set(since_epoch.as_secs_f64());
        registry.register_with_unit(
            "process_start_time",
            "Time at which the process started, since the Unix epoch",
            Unit::Seconds,
            started,
        );
        registry
    }

    /// Registers `metric`, mostly a clone of one that the caller keeps, for as long as the registry lives.
    ///
    /// The text adds `_total` to counters and a full stop to `help`.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.lock().register(name, help, metric);
    }

    /// Registers `metric` under `name` followed by its unit, such as `_seconds`.
    pub fn register_with_unit(&self, name: &str, help: &str, unit: Unit, metric: impl Metric) {
        self.lock().register_with_unit(name, help, unit, metric);
    }

    /// All metrics as text of [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock()).expect("writing to a string cannot fail");
        text
    }

    fn lock(&self) -> MutexGuard<'_, prometheus_client::registry::Registry> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn the_text_tells_the_process_and_what_was_counted() {
        let registry = Registry::new("git-sync", "1.2.3");
        let pushes = Counter::<u64>::default();
        registry.register("chameleon_pushes", "Pushes seen", pushes.clone());
        pushes.inc_by(3);
        let text = registry.text();
        for line in [
            r#"chameleon_build_info{component="git-sync",version="1.2.3"} 1"#,
            "# TYPE process_start_time_seconds gauge",
            "# HELP chameleon_pushes Pushes seen.",
            "chameleon_pushes_total 3",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in:\n{text}");
        }
    }

    #[test]
    fn clones_share_their_metrics() {
        let registry = Registry::new("x", "0");
        let counter = Counter::<u64>::default();
        registry.clone().register("seen", "Seen", counter);
        assert!(registry.text().contains("seen_total 0"));
    }
}
