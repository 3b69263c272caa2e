//! What differs between two states.

use std::sync::Arc;

use chameleon_model::{Entry, Key, Revision, Snapshot, Stamp};

use super::App;
use super::access::Caller;
use super::error::Error;
use super::selection::Selection;

/// What differs between two states under a key.
pub(crate) struct Difference {
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Entry>>,
    pub(crate) after: Option<Arc<Entry>>,
}

impl App {
    /// The stamps of two states and what differs between them in `selection`, ordered by key.
    pub(crate) async fn diff(
        &self,
        caller: &Caller,
        from: Revision,
        to: Option<Revision>,
        selection: &Selection,
    ) -> Result<(Stamp, Stamp, Vec<Difference>), Error> {
        caller.may_read(selection)?;
        let before = self.snapshot_at(Some(from)).await?;
        let after = self.snapshot_at(to).await?;
        let differences = between(selection, &before, &after);
        Ok((before.stamp(), after.stamp(), differences))
    }
}

/// What differs in `selection` between two states, ordered by key.
pub(super) fn between(
    selection: &Selection,
    before: &Snapshot,
    after: &Snapshot,
) -> Vec<Difference> {
    let mut differences: Vec<_> = (selection.entries(before))
        .map(|entry| Difference {
            key: entry.key.clone(),
            before: Some(Arc::clone(entry)),
            after: after.get(entry.key.as_str()).cloned(),
        })
        .collect();
    let created = (selection.entries(after))
        .filter(|entry| before.get(entry.key.as_str()).is_none())
        .map(|entry| Difference {
            key: entry.key.clone(),
            before: None,
            after: Some(Arc::clone(entry)),
        });
    differences.extend(created);
    differences.retain(Difference::is_one);
    differences.sort_by(|one, other| one.key.cmp(&other.key));
    differences
}

impl Difference {
    /// The bytes of both values.
    pub(crate) fn bytes(&self) -> usize {
        let sides = [&self.before, &self.after];
        (sides.into_iter().flatten())
            .map(|entry| entry.value.len())
            .sum()
    }

    fn is_one(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                (&before.value, before.flags) != (&after.value, after.flags)
            }
            (before, after) => before.is_some() != after.is_some(),
        }
    }
}
