//! How many requests each vendor had.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Serialize;
use service_kit::metrics::Registry;

use crate::vendor::{Operation, Vendor};

/// Counts requests; clones share the counts.
#[derive(Clone, Default)]
pub(crate) struct Traffic {
    requests: Family<Labels, Counter>,
    faulted: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    vendor: Vendor,
    operation: Operation,
}

/// Requests of one operation since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationStats {
    /// Requests that arrived.
    pub requests: u64,
    /// Those of them that a fault touched.
    pub faulted: u64,
}

/// Requests by vendor and by the vendor's operation, since the start.
pub type Stats = BTreeMap<&'static str, BTreeMap<&'static str, OperationStats>>;

impl Traffic {
    pub(crate) fn register(&self, registry: &Registry) {
        registry.register(
            "map_simulator_requests",
            "Requests that arrived at a simulated vendor",
            self.requests.clone(),
        );
        registry.register(
            "map_simulator_faulted_requests",
            "Requests that a fault touched",
            self.faulted.clone(),
        );
    }

    pub(crate) fn count(&self, vendor: Vendor, operation: Operation, is_faulted: bool) {
        let labels = Labels { vendor, operation };
        self.requests.get_or_create(&labels).inc();
        if is_faulted {
            self.faulted.get_or_create(&labels).inc();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let operations = |vendor: Vendor| {
            let operations = vendor.operations().iter().map(move |operation| {
                let labels = Labels {
                    vendor,
                    operation: *operation,
                };
                let stats = OperationStats {
                    requests: self.requests.get_or_create(&labels).get(),
                    faulted: self.faulted.get_or_create(&labels).get(),
                };
                (operation.name(), stats)
            });
            (vendor.name(), operations.collect())
        };
        Vendor::ALL.into_iter().map(operations).collect()
    }
}
