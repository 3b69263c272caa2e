//! Whether a process is alive, and whether traffic should be sent to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// The state of a process as its orchestrator should see it. Clones share the state.
///
/// The process is ready if no named check fails and no shutdown has begun. It is live as long as
/// it can answer at all.
#[derive(Clone)]
pub struct Health {
    soft: CancellationToken,
    checks: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// One part's say in the health of its process; it fails as `starting` until it is first told.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

/// The state of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Passing,
    /// The part carries on in a weaker way, and traffic is still welcome.
    Warning(String),
    /// No traffic should come.
    Failing(String),
}

/// What `/health/ready` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether traffic should be sent here.
    pub ready: bool,
    /// Whether the process is on its way out.
    pub shutting_down: bool,
    /// Every check by its name.
    pub checks: BTreeMap<&'static str, State>,
}

impl Health {
    /// The health of a process that is no longer ready once `soft` is cancelled.
    ///
    /// Give it [`Lifecycle::soft`](crate::Lifecycle::soft), so that readiness is the first to go.
    pub fn new(soft: CancellationToken) -> Self {
        Self {
            soft,
            checks: Arc::default(),
        }
    }

    /// Adds the check `name`; the process is not ready before it passes.
    ///
    /// Handles for the same name share one check.
    pub fn check(&self, name: &'static str) -> Check {
        self.checks()
            .entry(name)
            .or_insert_with(|| State::Failing("starting".to_owned()));
        Check {
            name,
            health: self.clone(),
        }
    }

    /// Whether traffic should be sent here, and why not.
    pub fn readiness(&self) -> Readiness {
        let checks = self.checks().clone();
        let shutting_down = self.soft.is_cancelled();
        let failing = checks
            .values()
            .any(|state| matches!(state, State::Failing(_)));
        Readiness {
            ready: !failing && !shutting_down,
            shutting_down,
            checks,
        }
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// All is well.
    pub fn pass(&self) {
        self.set(State::Passing);
    }

    /// The part carries on in a weaker way; `reason` is public, so it must hold no secret.
    pub fn warn(&self, reason: impl Into<String>) {
        self.set(State::Warning(reason.into()));
    }

    /// No traffic should come; `reason` is public, so it must hold no secret.
    pub fn fail(&self, reason: impl Into<String>) {
        self.set(State::Failing(reason.into()));
    }

    fn set(&self, state: State) {
        self.health.checks().insert(self.name, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_checks_is_ready() {
        assert!(Health::new(CancellationToken::new()).readiness().ready);
    }

    #[test]
    fn every_check_has_to_pass_first() {
        let health = Health::new(CancellationToken::new());
        let store = health.check("store");
        let vendors = health.check("vendors");
        vendors.pass();
        assert!(!health.readiness().ready);
        store.warn("database away for 3 s");
        assert!(health.readiness().ready);
        vendors.fail("no provider");
        assert!(!health.readiness().ready);
    }

    #[test]
    fn asking_for_a_check_again_keeps_its_state() {
        let health = Health::new(CancellationToken::new());
        health.check("store").pass();
        let _same = health.check("store");
        assert!(health.readiness().ready);
    }

    #[test]
    fn readiness_ends_with_the_shutdown() {
        let soft = CancellationToken::new();
        let health = Health::new(soft.clone());
        soft.cancel();
        let readiness = health.readiness();
        assert!(!readiness.ready && readiness.shutting_down);
    }

    #[test]
    fn readiness_reads_well_as_json() {
        let health = Health::new(CancellationToken::new());
        health.check("cache").pass();
        health.check("store").fail("database away");
        assert_eq!(
            serde_json::to_value(health.readiness()).unwrap(),
            serde_json::json!({
                "ready": false,
                "shutting_down": false,
                "checks": {
                    "cache": {"state": "passing"},
                    "store": {"state": "failing", "reason": "database away"},
                },
            })
        );
    }
}
