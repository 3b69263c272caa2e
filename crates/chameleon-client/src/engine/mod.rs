//! Judges states and swaps them in: all bound types at once, or none.

mod documents;
mod slot;
mod verdict;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use chameleon_model::Stamp;
use chameleon_model::document::{Fault, Resolved};
use tokio::sync::{Notify, watch};

use crate::live::{Frame, FrameValues};
use crate::{Configuration, Live};

pub(crate) use documents::{Documents, Layers, Lookup};
use slot::{Publish, Slot, TypedSlot};
pub use verdict::{ClientState, Rejection};
pub(crate) use verdict::{Verdict, faults_line};

/// The rules that a client was built with.
pub(crate) struct Rules {
    pub(crate) layers: Layers,
    pub(crate) allow_vanished: bool,
    pub(crate) allow_defaults: bool,
}

/// The heart of a client: what it holds, and what it has bound.
pub(crate) struct Engine {
    rules: Rules,
    inner: Mutex<Inner>,
    frame: ArcSwap<FrameValues>,
    state: watch::Sender<ClientState>,
    bound: Notify,
}

struct Inner {
    good: Good,
    /// The verdict on the newest state that a server has sent.
    verdict: Option<Verdict>,
    /// The file's state until a server's state has been applied to bound types.
    last_good: Option<Documents>,
    group: Vec<Box<dyn Slot>>,
    isolated: Vec<Box<dyn Slot>>,
    disconnected: Option<Instant>,
}

/// The state that is in use.
struct Good {
    documents: Documents,
    resolved: Resolved,
    is_live: bool,
}

/// Why there is nothing to start with.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// No server has sent a state.
    Nothing,
    /// The server's state is not usable.
    Rejected(Rejection),
}

impl Engine {
    /// Starts with the server's first state, else with the file's, else with the defaults.
    pub(crate) fn start(
        rules: Rules,
        first: Option<Documents>,
        last_good: Option<Documents>,
    ) -> Result<Self, NoStart> {
        let judged = first.map(|documents| {
            let stamp = documents.stamp;
            let resolved = rules.judge(&documents, last_good.as_ref());
            match resolved {
                Ok(resolved) => Ok(Good {
                    documents,
                    resolved,
                    is_live: true,
                }),
                Err(faults) => Err(Rejection { stamp, faults }),
            }
        });
        let (good, verdict) = match judged {
            Some(Ok(good)) => {
                let verdict = Verdict::Applied(good.documents.stamp);
                (good, Some(verdict))
            }
            not_usable => {
                let rejection = not_usable.and_then(Result::err);
                let mut fallbacks = rules.fallbacks(last_good.as_ref());
                match (fallbacks.next(), rejection) {
                    (Some(good), rejection) => (good, rejection.map(Verdict::Rejected)),
                    (None, Some(rejection)) => return Err(NoStart::Rejected(rejection)),
                    (None, None) => return Err(NoStart::Nothing),
                }
            }
        };
        let frame = FrameValues {
            stamp: good.documents.stamp,
            ..FrameValues::default()
        };
        let inner = Inner {
            disconnected: verdict.is_none().then(now),
            good,
            verdict,
            last_good,
            group: Vec::new(),
            isolated: Vec::new(),
        };
        Ok(Self {
            state: watch::Sender::new(inner.state()),
            rules,
            inner: Mutex::new(inner),
            frame: ArcSwap::from_pointee(frame),
            bound: Notify::new(),
        })
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.rules.layers
    }

    /// Judges a server's new state, and applies it to all types of the group or to none.
    pub(crate) fn apply(&self, documents: Documents) -> Verdict {
        let mut inner = self.lock();
        let stamp = documents.stamp;
        let judged = self.rules.judge(&documents, Some(&inner.good.documents));
        let verdict = match judged {
            Ok(resolved) => {
                let applied = match prepare(&inner.group, &resolved, stamp) {
                    Ok(publish) => {
                        swap_in(publish);
                        Verdict::Applied(stamp)
                    }
                    Err(faults) => Verdict::Rejected(Rejection { stamp, faults }),
                };
                inner.apply_isolated(&resolved, stamp);
                if matches!(applied, Verdict::Applied(_)) {
                    inner.good = Good {
                        documents,
                        resolved,
                        is_live: true,
                    };
                    if inner.has_bindings() {
                        inner.last_good = None;
                    }
                }
                applied
            }
            Err(faults) => Verdict::Rejected(Rejection { stamp, faults }),
        };
        inner.verdict = Some(verdict.clone());
        self.publish(&inner);
        verdict
    }

    /// Binds a type on the state in use.
    ///
    /// Where that state is not good for it, all of the group go back to a state that is: that of the
    /// file, or the defaults. An isolated binding goes back alone.
    pub(crate) fn bind<T: Configuration>(
        &self,
        path: &str,
        isolated: bool,
    ) -> Result<Live<T>, Vec<Fault>> {
        let mut inner = self.lock();
        let good = &inner.good;
        let live = match TypedSlot::<T>::bind(path, &good.resolved, good.documents.stamp) {
            Ok((slot, live)) => {
                inner.add(slot, isolated);
                live
            }
            Err(faults) => {
                let (fallback, slot, live) = self.bind_fallback(&inner, path, isolated, &faults)?;
                if let Some(fallback) = fallback {
                    inner.fall_back(fallback, faults);
                }
                inner.add(slot, isolated);
                live
            }
        };
        self.publish(&inner);
        self.bound.notify_one();
        Ok(live)
    }

    /// The first older state on which a new binding is good, and with it the group.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn bind_fallback<T: Configuration>(
        &self,
        inner: &Inner,
        path: &str,
        isolated: bool,
        faults: &[Fault],
    ) -> Result<(Option<Good>, TypedSlot<T>, Live<T>), Vec<Fault>> {
        if inner.good.is_live {
            for fallback in self.rules.fallbacks(inner.last_good.as_ref()) {
                let stamp = fallback.documents.stamp;
                let bound = TypedSlot::<T>::bind(path, &fallback.resolved, stamp);
                let Ok((slot, live)) = bound else { continue };
                if isolated {
                    return Ok((None, slot, live));
                }
                if let Ok(publish) = prepare(&inner.group, &fallback.resolved, stamp) {
                    swap_in(publish);
                    return Ok((Some(fallback), slot, live));
                }
            }
        }
        Err(faults.to_vec())
    }

    /// Waits until something was bound since the last call; cancelling loses nothing.
    pub(crate) async fn bound(&self) {
        self.bound.notified().await;
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.lock().verdict.clone()
    }

    /// The server's state that bound types are using, to be kept for the next start.
    pub(crate) fn worth_keeping(&self) -> Option<Documents> {
        let inner = self.lock();
        (inner.good.is_live && inner.has_bindings()).then(|| inner.good.documents.clone())
    }

    pub(crate) fn connected(&self) {
        let mut inner = self.lock();
        inner.disconnected = None;
        self.publish(&inner);
    }

    pub(crate) fn disconnected(&self) {
        let mut inner = self.lock();
        inner.disconnected.get_or_insert_with(now);
        self.publish(&inner);
    }

    pub(crate) fn states(&self) -> watch::Receiver<ClientState> {
        self.state.subscribe()
    }

    pub(crate) fn frame(&self) -> Frame {
        Frame::new(self.frame.load_full())
    }

    fn publish(&self, inner: &Inner) {
        let slots = inner.group.iter().chain(&inner.isolated);
        self.frame.store(Arc::new(FrameValues {
            stamp: inner.good.documents.stamp,
            values: slots.map(|slot| slot.framed()).collect(),
        }));
        let state = inner.state();
        self.state.send_if_modified(|held| {
            let is_change = *held != state;
            *held = state;
            is_change
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn judge(
        &self,
        documents: &Documents,
        before: Option<&Documents>,
    ) -> Result<Resolved, Vec<Fault>> {
        let had_own = before.is_some_and(Documents::has_own);
        if had_own && !documents.has_own() && !self.allow_vanished {
            return Err(vec![self.layers.vanished()]);
        }
        self.layers.resolve(documents)
    }

    /// What may stand in for a server's state, best first.
    fn fallbacks(&self, last_good: Option<&Documents>) -> impl Iterator<Item = Good> {
        let defaults = self.allow_defaults.then(Documents::default);
        (last_good.cloned().into_iter().chain(defaults)).filter_map(|documents| {
            match self.layers.resolve(&documents) {
                Ok(resolved) => Some(Good {
                    documents,
                    resolved,
                    is_live: false,
                }),
                Err(faults) => {
                    let faults = faults_line(&faults);
                    tracing::warn!("the last-known-good state is not usable: {faults}");
                    None
                }
            }
        })
    }
}

impl Inner {
    fn state(&self) -> ClientState {
        match self.disconnected {
            _ if !self.good.is_live => ClientState::Fallback,
            Some(since) => ClientState::Stale { since },
            None => ClientState::Ready,
        }
    }

    fn has_bindings(&self) -> bool {
        !self.group.is_empty() || !self.isolated.is_empty()
    }

    fn add(&mut self, slot: impl Slot + 'static, isolated: bool) {
        if isolated {
            self.isolated.push(Box::new(slot));
        } else {
            self.group.push(Box::new(slot));
        }
    }

    fn apply_isolated(&self, resolved: &Resolved, stamp: Stamp) {
        for slot in &self.isolated {
            match slot.prepare(resolved, stamp) {
                Ok(publish) => publish(),
                Err(faults) => {
                    let revision = stamp.revision;
                    let faults = faults_line(&faults);
                    tracing::warn!(
                        %stamp,
                        "an isolated binding rejected revision {revision} and keeps its value: {faults}"
                    );
                }
            }
        }
    }

    fn fall_back(&mut self, fallback: Good, faults: Vec<Fault>) {
        let stamp = self.good.documents.stamp;
        tracing::warn!(
            %stamp,
            "the server's revision {} is not usable, falling back to revision {}: {}",
            stamp.revision,
            fallback.documents.stamp.revision,
            faults_line(&faults)
        );
        self.verdict = Some(Verdict::Rejected(Rejection { stamp, faults }));
        self.good = fallback;
    }
}

/// Prepares a state for all slots; the faults are those of all of them.
fn prepare<'a>(
    slots: &'a [Box<dyn Slot>],
    resolved: &Resolved,
    stamp: Stamp,
) -> Result<Vec<Publish<'a>>, Vec<Fault>> {
    let mut publish = Vec::with_capacity(slots.len());
    let mut faults = Vec::new();
    for slot in slots {
        match slot.prepare(resolved, stamp) {
            Ok(ready) => publish.push(ready),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() {
        return Ok(publish);
    }
    faults.sort();
    faults.dedup();
    Err(faults)
}

fn swap_in(publish: Vec<Publish<'_>>) {
    for publish in publish {
        publish();
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
