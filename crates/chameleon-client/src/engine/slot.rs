//! One bound type: decoding a state for it, and swapping the result in.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chameleon_model::Stamp;
use chameleon_model::document::{Fault, Path, Resolved, Segment, canonical};
use serde_json::Value;
use tokio::sync::watch;

use crate::Configuration;
use crate::live::{Live, LiveId, Versioned};

/// A binding whatever its type.
pub(crate) trait Slot: Send + Sync {
    /// Decodes and checks a state; nothing is visible before the result is called.
    fn prepare(&self, resolved: &Resolved, stamp: Stamp) -> Result<Publish<'_>, Vec<Fault>>;

    /// The current value's place in frames.
    fn framed(&self) -> (LiveId, Arc<dyn Any + Send + Sync>);
}

/// Swaps a checked value in.
pub(crate) type Publish<'a> = Box<dyn FnOnce() + 'a>;

pub(crate) struct TypedSlot<T> {
    id: LiveId,
    path: Box<str>,
    cell: Arc<ArcSwap<Versioned<T>>>,
    changes: watch::Sender<Arc<Versioned<T>>>,
    /// What the value was decoded from, to tell a change from a mere new revision.
    source: Mutex<Option<Value>>,
}

impl<T: Configuration> TypedSlot<T> {
    /// Decodes the first value.
    pub(crate) fn bind(
        path: &str,
        resolved: &Resolved,
        stamp: Stamp,
    ) -> Result<(Self, Live<T>), Vec<Fault>> {
        let value = Arc::new(decode::<T>(resolved, path)?);
        let first = Arc::new(Versioned { stamp, value });
        let cell = Arc::new(ArcSwap::new(Arc::clone(&first)));
        let (changes, receiver) = watch::channel(first);
        let slot = Self {
            id: LiveId::new(),
            path: path.into(),
            cell: Arc::clone(&cell),
            changes,
            source: Mutex::new(find(resolved.value(), path).cloned()),
        };
        let live = Live::new(slot.id, cell, receiver);
        Ok((slot, live))
    }
}

impl<T: Configuration> Slot for TypedSlot<T> {
    fn prepare(&self, resolved: &Resolved, stamp: Stamp) -> Result<Publish<'_>, Vec<Fault>> {
        let value = Arc::new(decode::<T>(resolved, &self.path)?);
        let source = find(resolved.value(), &self.path).cloned();
        Ok(Box::new(move || {
            let next = Arc::new(Versioned { stamp, value });
            let mut held = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            let is_change = *held != source;
            *held = source;
            self.cell.store(Arc::clone(&next));
            self.changes.send_if_modified(|newest| {
                *newest = next;
                is_change
            });
        }))
    }

    fn framed(&self) -> (LiveId, Arc<dyn Any + Send + Sync>) {
        let value: Arc<T> = Arc::clone(&self.cell.load().value);
        (self.id, value)
    }
}

/// Decodes and checks; a panic of the service's own code is a fault like any other.
fn decode<T: Configuration>(resolved: &Resolved, path: &str) -> Result<T, Vec<Fault>> {
    let base: Path = path.parse().unwrap_or_default();
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let value: T = resolved.bind(path).map_err(|fault| vec![fault])?;
        match value.validate() {
            Ok(()) => Ok(value),
            Err(violations) => Err((violations.into_iter())
                .map(|violation| {
                    let (path, reason) = violation.below(&base);
                    resolved.fault(path, reason)
                })
                .collect()),
        }
    }));
    decoded.unwrap_or_else(|_| {
        let name = std::any::type_name::<T>();
        let reason = format!("decoding or validating `{name}` panicked; see the service's log");
        Err(vec![resolved.fault(base, reason)])
    })
}

/// The value at `path` by canonical names.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let path: Path = path.parse().ok()?;
    (path.segments().iter()).try_fold(value, |value, segment| match (value, segment) {
        (Value::Object(fields), Segment::Name(name)) => {
            let wanted = canonical(name);
            let mut fields = fields.iter();
            fields
                .find(|(name, _)| canonical(name) == wanted)
                .map(|(_, value)| value)
        }
        (Value::Array(items), Segment::Index(index)) => items.get(*index),
        _ => None,
    })
}
