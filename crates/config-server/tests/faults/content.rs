//! What is written: groups of keys that carry one number, so that half of a transaction shows in
//! any state, and what a reader holds of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::ops::RangeInclusive;

use bytes::Bytes;
use chameleon_model::{Key, Operation};
use rand::rngs::StdRng;
use rand::{RngExt as _, seq::IndexedRandom as _};

/// The folders that each group has a key in.
const FOLDERS: [&str; 3] = ["kv/a/", "kv/b/", "kv/c/"];

/// The group whose values are so large that a complete state takes several chunks.
const LARGE: [&str; 3] = ["large/a/", "large/b/", "large/c/"];
const LARGE_BYTES: usize = 400 * 1024;

/// Few enough to be written again and again, enough that most differ between two histories.
const GROUPS: RangeInclusive<u32> = 1..=40;

/// What a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// Everything but the large values.
    Small,
    /// One key of each group.
    Folder,
}

impl Scope {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Small => "kv/",
            Self::Folder => "kv/b/",
        }
    }
}

/// The operations of transaction `number` of `writer`.
pub(crate) fn draw(random: &mut StdRng, writer: &str, number: u64) -> Vec<Operation> {
    let groups: Vec<u32> = GROUPS.collect();
    let count = random.random_range(1..=3);
    let mut operations: Vec<_> = groups
        .sample(random, count)
        .flat_map(|group| {
            let group = format!("{group:02}");
            if random.random_ratio(1, 6) {
                keys(FOLDERS, &group).map(|key| Operation::Delete { key })
            } else {
                keys(FOLDERS, &group).map(|key| put(key, number, 0))
            }
        })
        .collect();
    if random.random_ratio(1, 150) {
        operations.extend(keys(LARGE, "x").map(|key| put(key, number, LARGE_BYTES)));
    }
    // So that every transaction changes something.
    operations.push(put(key("kv/writer/", writer), number, 0));
    operations
}

/// The operations of a transaction that every reader sees.
pub(crate) fn seen_by_all(number: u64) -> Vec<Operation> {
    let operations = keys(FOLDERS, "all").map(|key| put(key, number, 0));
    operations.into_iter().collect()
}

fn keys(folders: [&str; 3], group: &str) -> [Key; 3] {
    folders.map(|folder| key(folder, group))
}

fn key(folder: &str, name: &str) -> Key {
    Key::new(&format!("{folder}{name}")).expect("a name without anything special")
}

fn put(key: Key, number: u64, padding: usize) -> Operation {
    let value = format!("{number} {}", "x".repeat(padding));
    Operation::Put {
        key,
        value: Bytes::from(value),
        flags: 0,
    }
}

/// The number in front of a value.
pub(crate) fn number_of(value: &[u8]) -> Option<u64> {
    let digits = value.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What a reader holds, with a digest that changes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirror {
    entries: BTreeMap<String, Held>,
    digests: [u64; 3],
}

/// What is kept of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    number: Option<u64>,
    /// The revision of its last change.
    revision: u64,
    hash: u64,
}

impl Mirror {
    pub(crate) fn put(&mut self, key: &str, value: &[u8], revision: u64) {
        let mut hasher = DefaultHasher::new();
        hasher.write(key.as_bytes());
        hasher.write_u64(revision);
        hasher.write(value);
        let held = Held {
            number: number_of(value),
            revision,
            hash: hasher.finish(),
        };
        self.delete(key);
        self.entries.insert(key.to_owned(), held);
        self.count(key, held.hash);
    }

    pub(crate) fn delete(&mut self, key: &str) {
        if let Some(held) = self.entries.remove(key) {
            self.count(key, held.hash.wrapping_neg());
        }
    }

    fn count(&mut self, key: &str, hash: u64) {
        for scope in [Scope::All, Scope::Small, Scope::Folder] {
            if key.starts_with(scope.prefix()) {
                let digest = &mut self.digests[scope as usize];
                *digest = digest.wrapping_add(hash);
            }
        }
    }

    /// A number that two mirrors share if they hold the same in `scope`.
    pub(crate) fn digest(&self, scope: Scope) -> u64 {
        self.digests[scope as usize]
    }

    /// A group of which a part is of another transaction than the rest, or not there.
    pub(crate) fn half(&self) -> Option<String> {
        [FOLDERS, LARGE]
            .into_iter()
            .find_map(|folders| self.half_of(folders))
    }

    fn half_of(&self, folders: [&str; 3]) -> Option<String> {
        let parts = folders.map(|folder| self.under(folder));
        let names = parts.iter().flat_map(BTreeMap::keys);
        names.copied().find_map(|name| {
            let group = parts.each_ref().map(|part| part.get(name).copied());
            let whole = group.iter().all(|part| *part == group[0]);
            (!whole).then(|| format!("group `{name}` holds {group:?} (number, revision)"))
        })
    }

    fn under(&self, folder: &str) -> BTreeMap<&str, (Option<u64>, u64)> {
        let from = self.entries.range(folder.to_owned()..);
        from.map_while(|(key, held)| {
            let name = key.strip_prefix(folder)?;
            Some((name, (held.number, held.revision)))
        })
        .collect()
    }

    /// The first key in `scope` at which `other` holds something else.
    pub(crate) fn difference(&self, other: &Self, scope: Scope) -> Option<String> {
        let inside = |mirror: &Self| -> BTreeMap<String, Held> {
            let entries = mirror.entries.iter();
            let inside = entries.filter(|(key, _)| key.starts_with(scope.prefix()));
            inside.map(|(key, held)| (key.clone(), *held)).collect()
        };
        let (ours, theirs) = (inside(self), inside(other));
        let keys = ours.keys().chain(theirs.keys());
        keys.into_iter().find_map(|key| {
            let show = |held: Option<&Held>| match held {
                None => "nothing".to_owned(),
                Some(Held {
                    number: Some(number),
                    revision,
                    ..
                }) => format!("{number} of revision {revision}"),
                Some(held) => format!("something else of revision {}", held.revision),
            };
            let (one, two) = (ours.get(key), theirs.get(key));
            (one != two).then(|| format!("`{key}` is {} instead of {}", show(one), show(two)))
        })
    }
}

#[test]
fn half_of_a_transaction_shows() {
    let mut mirror = Mirror::default();
    for folder in FOLDERS {
        mirror.put(&format!("{folder}01"), b"7 ", 3);
    }
    assert_eq!(mirror.half(), None);
    let whole = mirror.clone();
    mirror.put("kv/b/01", b"8 ", 4);
    assert!(mirror.half().is_some());
    assert_eq!(
        mirror.difference(&whole, Scope::Folder).unwrap(),
        "`kv/b/01` is 8 of revision 4 instead of 7 of revision 3"
    );
    assert_ne!(mirror.digest(Scope::Folder), whole.digest(Scope::Folder));
    mirror.delete("kv/b/01");
    assert!(mirror.half().is_some());
    mirror.put("kv/b/01", b"7 ", 3);
    assert_eq!(mirror, whole);
}
