//! States as they are sent: encoded once for all who watch the same and lack the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chameleon_model::{Revision, Snapshot, Stamp};
use chameleon_proto::{framed, state_chunks, v1};
use prost::Message;

use crate::app::selection::{Selection, Update};

/// How much of the newest state is kept encoded, in bytes with the names of what is watched, and in ways
/// to it. What does not fit is encoded for each watcher.
const KEPT_BYTES: usize = 16 * 1024 * 1024;
const KEPT_WAYS: usize = 1_024;

/// The largest way that is encoded before it is sent, in bytes. The chunks of larger ones are encoded
/// one by one, so that no watcher holds a copy of them all.
const WAY_BYTES: usize = 1024 * 1024;

/// What leads a watcher to the newest state. Equal ones have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) selection: Arc<Selection>,
    /// The state that the watcher has.
    pub(super) base: Option<Stamp>,
    /// Within which time its outcome is asked for; 0 if it is not.
    pub(super) outcome_within_ms: u32,
}

/// A way, ready to be sent.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) stamp: Stamp,
    chunks: Chunks,
    /// The revisions that it brings.
    pub(super) revisions: Arc<[Revision]>,
    /// Whether it changes nothing but the stamp.
    pub(super) is_empty: bool,
}

/// At least one.
#[derive(Debug)]
enum Chunks {
    /// As they stand in the body of a call.
    Framed(Vec<Bytes>),
    /// Values are shared with the snapshot.
    Large(Vec<v1::State>),
}

/// The ways to the newest state that somebody has gone, kept until there is a newer one.
#[derive(Default)]
pub(super) struct States(Mutex<Newest>);

#[derive(Default)]
struct Newest {
    stamp: Stamp,
    bytes: usize,
    ways: HashMap<Way, Arc<Encoded>>,
}

impl States {
    /// Encodes `way` to `snapshot`, unless somebody has.
    pub(super) fn encoded(&self, way: &Way, snapshot: &Snapshot) -> Arc<Encoded> {
        let stamp = snapshot.stamp();
        {
            let newest = self.lock();
            if newest.stamp == stamp
                && let Some(encoded) = newest.ways.get(way)
            {
                return Arc::clone(encoded);
            }
        }
        // Outside of the lock: a large state takes its time, and others have ways of their own.
        let encoded = Arc::new(Encoded::new(way, snapshot));
        // Those of the state before are freed outside of the lock, for which everybody waits now.
        let _before = self.lock().keep(stamp, way, &encoded);
        encoded
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newest {
    /// Keeps a way to `stamp`; what was kept for a state before that comes back.
    fn keep(&mut self, stamp: Stamp, way: &Way, encoded: &Arc<Encoded>) -> Option<Self> {
        let before = self.stamp.may_advance_to(stamp).then(|| {
            let next = Self {
                stamp,
                ..Self::default()
            };
            std::mem::replace(self, next)
        });
        // What changes nothing is quick to encode, and is mostly not even sent.
        if let Chunks::Framed(frames) = &encoded.chunks
            && !encoded.is_empty
        {
            let frames: usize = frames.iter().map(Bytes::len).sum();
            let bytes = frames + way.selection.bytes() + size_of_val(&*encoded.revisions);
            let fits = self.bytes + bytes <= KEPT_BYTES && self.ways.len() < KEPT_WAYS;
            // Another may have been quicker: that one stays.
            if self.stamp == stamp && fits && !self.ways.contains_key(way) {
                self.bytes += bytes;
                self.ways.insert(way.clone(), Arc::clone(encoded));
            }
        }
        before
    }
}

impl Encoded {
    /// How many chunks it has.
    pub(super) fn chunks(&self) -> usize {
        match &self.chunks {
            Chunks::Framed(frames) => frames.len(),
            Chunks::Large(states) => states.len(),
        }
    }

    /// The chunk at `place` as it stands in the body of a call.
    pub(super) fn chunk(&self, place: usize) -> Option<Bytes> {
        match &self.chunks {
            Chunks::Framed(frames) => frames.get(place).cloned(),
            Chunks::Large(states) => states.get(place).map(framed),
        }
    }

    fn new(way: &Way, snapshot: &Snapshot) -> Self {
        let update = way.selection.update(snapshot, way.base);
        let is_empty = update.is_empty();
        let Update {
            stamp,
            base,
            puts,
            deletes,
            revisions,
        } = update;
        let puts = puts.iter().map(|entry| v1::Entry::from(&**entry));
        let deletes = deletes.iter().map(ToString::to_string).collect();
        let mut chunks = state_chunks(stamp, base, puts, deletes);
        if let Some(last) = chunks.last_mut() {
            last.outcome_within_ms = way.outcome_within_ms;
        }
        let bytes: usize = chunks.iter().map(Message::encoded_len).sum();
        Self {
            stamp,
            chunks: if bytes <= WAY_BYTES {
                Chunks::Framed(chunks.iter().map(framed).collect())
            } else {
                Chunks::Large(chunks)
            },
            revisions: revisions.into(),
            is_empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Key, Known, Operation, Prefix, Tag, Transaction, decide};

    use super::*;

    fn after(base: &Snapshot, puts: &[(&str, &str)]) -> Snapshot {
        let put = |&(key, value): &(&str, &str)| Operation::Put {
            key: Key::new(key).unwrap(),
            value: value.to_owned().into(),
            flags: 0,
        };
        let transaction = Transaction {
            operations: puts.iter().map(put).collect(),
            ..Transaction::default()
        };
        decide(base, vec![transaction], Known::default(), || Tag(1)).snapshot
    }

    fn under(prefix: &str, base: Option<&Snapshot>) -> Way {
        Way {
            selection: Arc::new(Selection::prefix(Prefix::new(prefix))),
            base: base.map(Snapshot::stamp),
            outcome_within_ms: 0,
        }
    }

    /// What a client makes of it.
    fn read(encoded: &Encoded) -> Vec<v1::State> {
        (0..encoded.chunks())
            .map(|place| {
                let frame = encoded.chunk(place).unwrap();
                let (head, message) = frame.split_at(5);
                assert_eq!(head[0], 0);
                assert_eq!(
                    head[1..],
                    u32::try_from(message.len()).unwrap().to_be_bytes()
                );
                v1::State::decode(message).unwrap()
            })
            .collect()
    }

    fn keys(encoded: &Encoded) -> Vec<String> {
        let states = read(encoded).into_iter();
        states
            .flat_map(|state| state.puts.into_iter().map(|entry| entry.key))
            .collect()
    }

    fn kept(states: &States) -> (usize, usize) {
        let newest = states.lock();
        (newest.ways.len(), newest.bytes)
    }

    #[test]
    fn who_watches_the_same_and_has_the_same_shares_the_bytes() {
        let one = after(&Snapshot::default(), &[("a/1", "x"), ("b/1", "x")]);
        let two = after(&one, &[("a/2", "y"), ("b/2", "y")]);
        let states = States::default();

        let first = states.encoded(&under("a/", Some(&one)), &two);
        let again = states.encoded(&under("a/", Some(&one)), &two);
        assert!(Arc::ptr_eq(&first, &again));
        let update = under("a/", None).selection.update(&two, Some(one.stamp()));
        let puts = update.puts.iter().map(|entry| v1::Entry::from(&**entry));
        let expected = state_chunks(update.stamp, update.base, puts, Vec::new());
        assert_eq!(read(&first), expected);
        assert_eq!(first.stamp, two.stamp());
        assert_eq!(*first.revisions, *update.revisions);
        assert!(!first.is_empty);

        let other = states.encoded(&under("b/", Some(&one)), &two);
        assert_eq!(
            (keys(&first), keys(&other)),
            (vec!["a/2".to_owned()], vec!["b/2".to_owned()])
        );
        let whole = states.encoded(&under("a/", None), &two);
        assert_eq!(keys(&whole), ["a/1", "a/2"]);
        assert_eq!(read(&whole)[0].base, None);
        let nothing = states.encoded(&under("a/", Some(&two)), &two);
        assert!(nothing.is_empty && keys(&nothing).is_empty());
        let asked = Way {
            outcome_within_ms: 250,
            ..under("a/", Some(&one))
        };
        assert_eq!(
            read(&states.encoded(&asked, &two))[0].outcome_within_ms,
            250
        );
        // But what changes nothing.
        assert_eq!(kept(&states).0, 4);
    }

    #[test]
    fn only_the_newest_state_is_kept() {
        let one = after(&Snapshot::default(), &[("a", "x")]);
        let two = after(&one, &[("a", "y")]);
        let states = States::default();
        let value = |encoded: &Encoded| read(encoded)[0].puts[0].value.clone();
        let whole = under("", None);
        assert_eq!(value(&states.encoded(&whole, &one)), "x");
        assert_eq!(value(&states.encoded(&whole, &two)), "y");
        // A reader that had taken the state before is served, and changes nothing.
        assert_eq!(value(&states.encoded(&whole, &one)), "x");
        assert_eq!(value(&states.encoded(&whole, &two)), "y");
        let newest = states.encoded(&whole, &two);
        let bytes = newest.chunk(0).unwrap().len() + size_of_val(&*newest.revisions);
        assert_eq!(kept(&states), (1, bytes));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let large = "x".repeat(400 * 1024);
        let entries: Vec<_> = (0..100).map(|number| format!("{number:02}/a")).collect();
        let puts: Vec<_> = entries
            .iter()
            .map(|key| (key.as_str(), large.as_str()))
            .collect();
        let snapshot = after(&Snapshot::default(), &puts);
        let states = States::default();

        // Larger than what is encoded at once: as many chunks, and nothing is kept.
        let whole = states.encoded(&under("", None), &snapshot);
        assert!(whole.chunks() > 40);
        assert_eq!((keys(&whole), kept(&states)), (entries.clone(), (0, 0)));

        for key in &entries {
            let encoded = states.encoded(&under(&key[..3], None), &snapshot);
            assert_eq!(keys(&encoded), [key.as_str()]);
        }
        let (ways, bytes) = kept(&states);
        assert!(
            bytes <= KEPT_BYTES && bytes + large.len() + 100 > KEPT_BYTES,
            "{bytes}"
        );
        assert_eq!(ways, KEPT_BYTES / (large.len() + 100));

        let small = after(&snapshot, &[("small", "x")]);
        for number in 0..2 * KEPT_WAYS {
            let way = under(&format!("nothing/{number}"), None);
            assert!(keys(&states.encoded(&way, &small)).is_empty());
        }
        assert_eq!(kept(&states).0, KEPT_WAYS);

        // Long names of what is not there count as well.
        let next = after(&small, &[("x/small", "y")]);
        let long = "y".repeat(1024 * 1024);
        for number in 0..2 * KEPT_BYTES / long.len() {
            let way = under(&format!("{number}{long}"), None);
            assert!(keys(&states.encoded(&way, &next)).is_empty());
        }
        let (ways, bytes) = kept(&states);
        assert_eq!(ways, KEPT_BYTES / long.len() - 1);
        assert!(bytes <= KEPT_BYTES, "{bytes}");
    }
}
