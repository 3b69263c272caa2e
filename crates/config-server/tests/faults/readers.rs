//! Readers of the newest state: what each has seen, and whether it may be seen so.

pub(crate) mod polls;
pub(crate) mod roamers;
pub(crate) mod watches;

use std::sync::{Arc, Mutex, PoisonError};

use chameleon_model::Stamp;
use tokio::sync::watch;

use crate::content::{Mirror, Scope};
use crate::shared::Shared;

/// One reader.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    view: watch::Sender<View>,
    /// What was seen since everybody agreed, with its digest.
    seen: Mutex<Vec<(At, u64)>>,
    shared: Arc<Shared>,
}

/// What a reader holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) at: Option<At>,
    pub(crate) mirror: Mirror,
}

/// What a state is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Stamp(Stamp),
    /// In the Consul dialect: the revision of the last change of what is read.
    Revision(u64),
}

impl Reader {
    pub(crate) fn new(name: String, scope: Scope, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            name,
            scope,
            view: watch::Sender::default(),
            seen: Mutex::default(),
            shared: Arc::clone(shared),
        })
    }

    /// What is held now, and everything after it.
    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// What was seen since the last call.
    pub(crate) fn take_seen(&self) -> Vec<(At, u64)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen)
    }

    fn stamp(&self) -> Option<Stamp> {
        match self.view.borrow().at {
            Some(At::Stamp(stamp)) => Some(stamp),
            _ => None,
        }
    }

    /// Takes over what is called `at`.
    fn show(&self, at: At, change: impl FnOnce(&mut Mirror)) {
        let mut half = None;
        self.view.send_modify(|view| {
            change(&mut view.mirror);
            view.at = Some(at);
            half = view.mirror.half();
            let digest = view.mirror.digest(self.scope);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((at, digest));
        });
        if let (Some(half), true) = (half, self.scope != Scope::Folder) {
            self.complain(&format!("saw half of a transaction at {at:?}: {half}"));
        }
    }

    fn complain(&self, complaint: &str) {
        let complaint = format!("{} {complaint}", self.name);
        self.shared.complaints.add(complaint);
    }
}
