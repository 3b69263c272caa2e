//! Values that follow the configuration.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use chameleon_model::{Revision, Stamp};
use futures::Stream;
use tokio::sync::watch;

/// A value with the state that it was decoded from.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    pub(crate) stamp: Stamp,
    pub(crate) value: Arc<T>,
}

/// The place of a [`Live`] in frames, unlike any other in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LiveId(u64);

impl LiveId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A bound value, always the last good one. Cloning shares it.
///
/// It outlives the [`Chameleon`](crate::Chameleon) that it came from, but does not change any more
/// then.
pub struct Live<T> {
    id: LiveId,
    cell: Arc<ArcSwap<Versioned<T>>>,
    changes: watch::Receiver<Arc<Versioned<T>>>,
}

impl<T> Live<T> {
    pub(crate) fn new(
        id: LiveId,
        cell: Arc<ArcSwap<Versioned<T>>>,
        changes: watch::Receiver<Arc<Versioned<T>>>,
    ) -> Self {
        Self { id, cell, changes }
    }

    pub(crate) fn id(&self) -> LiveId {
        self.id
    }

    /// The value as it is now, in a few nanoseconds and without a lock.
    ///
    /// Hold the result for a moment only; [`Self::load_full`] is for keeping. Two loads may see two
    /// revisions: load once for each piece of work, or use [`Chameleon::frame`](crate::Chameleon::frame).
    pub fn load(&self) -> Loaded<T> {
        Loaded(self.cell.load())
    }

    /// The value as it is now, to keep.
    pub fn load_full(&self) -> Arc<T> {
        Arc::clone(&self.cell.load().value)
    }

    /// The state that the value was decoded from.
    pub fn stamp(&self) -> Stamp {
        self.cell.load().stamp
    }

    /// That state's revision; 0 for the defaults.
    pub fn revision(&self) -> Revision {
        self.stamp().revision
    }

    /// The changes from now on. A slow reader misses those in between and gets the newest.
    pub fn subscribe(&self) -> Changes<T> {
        let mut changes = self.changes.clone();
        let seen = Arc::clone(&changes.borrow_and_update());
        Changes { seen, changes }
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            cell: Arc::clone(&self.cell),
            changes: self.changes.clone(),
        }
    }
}

impl<T> fmt::Debug for Live<T> {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("type", &std::any::type_name::<T>())
            .field("stamp", &self.stamp())
            .finish_non_exhaustive()
    }
}

/// A value on loan from a [`Live`].
pub struct Loaded<T>(Guard<Arc<Versioned<T>>>);

impl<T> Loaded<T> {
    /// The state that the value was decoded from.
    pub fn stamp(this: &Self) -> Stamp {
        this.0.stamp
    }
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

/// The changes of one [`Live`].
pub struct Changes<T> {
    seen: Arc<Versioned<T>>,
    changes: watch::Receiver<Arc<Versioned<T>>>,
}

/// One change of a value.
#[derive(Debug)]
pub struct Changed<T> {
    /// The value before, as this reader last saw it.
    pub old: Arc<T>,
    /// The value now.
    pub new: Arc<T>,
    /// The state that it was decoded from.
    pub stamp: Stamp,
}

impl<T> Changes<T> {
    /// Waits for the next change; `None` once the last [`Chameleon`](crate::Chameleon) is gone.
    ///
    /// A state that leaves the value as it was is no change. A call that is cancelled loses nothing.
    pub async fn next(&mut self) -> Option<Changed<T>> {
        self.changes.changed().await.ok()?;
        let new = Arc::clone(&self.changes.borrow_and_update());
        let old = std::mem::replace(&mut self.seen, Arc::clone(&new));
        Some(Changed {
            old: Arc::clone(&old.value),
            new: Arc::clone(&new.value),
            stamp: new.stamp,
        })
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Changed<T>> {
        futures::stream::unfold(self, async |mut changes| {
            changes.next().await.map(|change| (change, changes))
        })
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("seen", &self.seen.stamp)
            .finish_non_exhaustive()
    }
}

/// All bound values at one moment.
#[derive(Clone)]
pub struct Frame(Arc<FrameValues>);

#[derive(Default)]
pub(crate) struct FrameValues {
    pub(crate) stamp: Stamp,
    pub(crate) values: HashMap<LiveId, Arc<dyn Any + Send + Sync>>,
}

impl Frame {
    pub(crate) fn new(values: Arc<FrameValues>) -> Self {
        Self(values)
    }

    /// The state that all values bound by `bind` were decoded from.
    pub fn stamp(&self) -> Stamp {
        self.0.stamp
    }

    /// That state's revision; 0 for the defaults.
    pub fn revision(&self) -> Revision {
        self.0.stamp.revision
    }

    /// The value of `live` in this frame; `None` if it was bound later or by another client.
    pub fn get<T: Send + Sync + 'static>(&self, live: &Live<T>) -> Option<Arc<T>> {
        let value = self.0.values.get(&live.id())?;
        Arc::clone(value).downcast().ok()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("stamp", &self.0.stamp)
            .field("values", &self.0.values.len())
            .finish()
    }
}
