//! Faults of a vendor that can be switched on and off while it serves.

mod inject;
mod json;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

pub(crate) use inject::{Gate, Refuse, inject};
pub use json::FaultError;

use crate::vendor::Vendor;

/// What goes wrong at a vendor.
///
/// As JSON: `{"delay_ms": 500}`, `{"status": 503}`, `{"status": 429, "code": "THROTTLED"}`,
/// `{"silence": true}`, `{"broken_json": true}`, `{"cut": true}`; a delay goes with any other, and
/// all take a `"share"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    delay: Duration,
    effect: Option<Effect>,
    share_percent: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    Status {
        status: StatusCode,
        code: Option<String>,
    },
    Silence,
    BrokenJson,
    Cut,
}

impl Fault {
    /// The longest delay.
    pub const MAX_DELAY: Duration = Duration::from_mins(10);

    /// Answers come `delay` later, at most [`Fault::MAX_DELAY`].
    pub fn delay(delay: Duration) -> Self {
        Self::new(delay, None)
    }

    /// Requests are refused with `status`, in the words that the vendor has for it.
    pub fn status(status: StatusCode) -> Self {
        Self::new(Duration::ZERO, Some(Effect::Status { status, code: None }))
    }

    /// Requests are accepted and never answered, until the fault changes or the client goes away.
    pub fn silence() -> Self {
        Self::new(Duration::ZERO, Some(Effect::Silence))
    }

    /// Answers end in their middle, as if they were complete.
    pub fn broken_json() -> Self {
        Self::new(Duration::ZERO, Some(Effect::BrokenJson))
    }

    /// The connection is closed in the middle of an answer.
    pub fn cut() -> Self {
        Self::new(Duration::ZERO, Some(Effect::Cut))
    }

    fn new(delay: Duration, effect: Option<Effect>) -> Self {
        Self {
            delay: delay.min(Self::MAX_DELAY),
            effect,
            share_percent: 100,
        }
    }

    /// The same fault, `delay` later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay.min(Self::MAX_DELAY);
        self
    }

    /// The same fault for `percent` of the requests, evenly spread; more than 100 is 100.
    #[must_use]
    pub fn for_share(mut self, percent: u8) -> Self {
        self.share_percent = percent.min(100);
        self
    }
}

/// The faults that are switched on; clones share them.
#[derive(Clone)]
pub struct Faults {
    vendors: Arc<[watch::Sender<Option<Arc<Active>>>; Vendor::ALL.len()]>,
}

struct Active {
    fault: Fault,
    /// Requests since the fault was switched on.
    seen: AtomicU64,
}

impl Active {
    /// The fault if it touches the next request: every request for 100 %, every other for 50 %.
    fn pick(&self) -> Option<&Fault> {
        let share = u64::from(self.fault.share_percent);
        let before = self.seen.fetch_add(1, Ordering::Relaxed);
        let touched = |requests: u64| requests.saturating_mul(share) / 100;
        (touched(before + 1) > touched(before)).then_some(&self.fault)
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self {
            vendors: Arc::new(Vendor::ALL.map(|_| watch::Sender::new(None))),
        }
    }

    /// Switches `fault` on at `vendor`, in place of the one before. Waiting requests are answered.
    pub fn set(&self, vendor: Vendor, fault: Fault) {
        tracing::info!(%vendor, ?fault, "switched a fault on at {vendor}");
        let active = Active {
            fault,
            seen: AtomicU64::new(0),
        };
        self.sender(vendor).send_replace(Some(Arc::new(active)));
    }

    /// Switches the fault at `vendor` off, if there is one. Waiting requests are answered.
    pub fn clear(&self, vendor: Vendor) {
        if self.sender(vendor).send_replace(None).is_some() {
            tracing::info!(%vendor, "switched the fault off at {vendor}");
        }
    }

    /// The fault that is switched on at `vendor`.
    pub fn get(&self, vendor: Vendor) -> Option<Fault> {
        let active = self.sender(vendor).borrow();
        active.as_ref().map(|active| active.fault.clone())
    }

    fn sender(&self, vendor: Vendor) -> &watch::Sender<Option<Arc<Active>>> {
        match vendor {
            Vendor::Tmap => &self.vendors[0],
            Vendor::Naver => &self.vendors[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_is_of_one_vendor() {
        let faults = Faults::new();
        faults.set(Vendor::Naver, Fault::silence());
        assert_eq!(faults.get(Vendor::Naver), Some(Fault::silence()));
        assert_eq!(faults.get(Vendor::Tmap), None);
        faults.clear(Vendor::Naver);
        assert_eq!(faults.get(Vendor::Naver), None);
    }

    proptest! {
        #[test]
        fn of_a_hundred_requests_exactly_the_share_is_touched(percent in 0_u8..=100) {
            let active = Active {
                fault: Fault::cut().for_share(percent),
                seen: AtomicU64::new(0),
            };
            let touched = (0..100).filter(|_| active.pick().is_some()).count();
            prop_assert_eq!(touched, usize::from(percent));
        }
    }
}
