//! The four documents of a service, from raw bytes to a resolved whole.

use std::array;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use chameleon_model::document::{Allowed, Fault, Profile, Resolved, Service, layer_keys, layered};
use chameleon_model::{Entry, Key, KeyError, Stamp};

/// Where a service's documents lie, and what their placeholders may read.
pub(crate) struct Layers {
    keys: [Key; 4],
    allowed: Allowed,
    lookup: Box<Lookup>,
}

pub(crate) type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Layers {
    pub(crate) fn new(
        prefix: &str,
        service: &Service,
        profile: &Profile,
        allowed: Allowed,
        lookup: Box<Lookup>,
    ) -> Result<Self, KeyError> {
        let [base, base_profile, own, own_profile] = layer_keys(prefix, service, profile);
        Ok(Self {
            keys: [
                Key::new(&base)?,
                Key::new(&base_profile)?,
                Key::new(&own)?,
                Key::new(&own_profile)?,
            ],
            allowed,
            lookup,
        })
    }

    /// The documents' keys, lowest layer first.
    pub(crate) fn keys(&self) -> &[Key; 4] {
        &self.keys
    }

    /// Takes the documents out of all entries.
    pub(crate) fn select(&self, stamp: Stamp, entries: &BTreeMap<Key, Entry>) -> Documents {
        let value = |key: &Key| entries.get(key).map(|entry| entry.value.clone());
        Documents {
            stamp,
            values: array::from_fn(|layer| value(&self.keys[layer])),
        }
    }

    /// Parses, merges and fills the documents.
    pub(crate) fn resolve(&self, documents: &Documents) -> Result<Resolved, Vec<Fault>> {
        layered(array::from_fn::<_, 4, _>(|layer| {
            (
                self.keys[layer].as_str(),
                documents.values[layer].as_deref(),
            )
        }))?
        .resolve(&self.allowed, &self.lookup)
    }

    /// The fault of a state in which the service's own documents are gone.
    pub(crate) fn vanished(&self) -> Fault {
        let [_, _, own, own_profile] = &self.keys;
        let reason = format!(
            "documents vanished: neither this key nor `{own}` exists any more; put one of them \
             back, or let the service allow it by `allow_vanished`"
        );
        Fault::of_file(own_profile.as_str(), reason)
    }
}

/// The raw documents of one state.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) stamp: Stamp,
    /// By layer, lowest first; `None` where there is no such key.
    pub(crate) values: [Option<Bytes>; 4],
}

impl Documents {
    /// Says whether any of the documents is the service's own.
    pub(crate) fn has_own(&self) -> bool {
        let [_, _, own, own_profile] = &self.values;
        own.is_some() || own_profile.is_some()
    }
}

impl fmt::Debug for Documents {
    /// Leaves the text out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.values.each_ref()).map(|value| value.as_ref().map(Bytes::len));
        f.debug_struct("Documents")
            .field("stamp", &self.stamp)
            .field("bytes", &sizes)
            .finish()
    }
}
