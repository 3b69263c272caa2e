//! What documents have to satisfy before they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chameleon_model::check::{check_affected, check_own_document, schema_key};
use chameleon_model::document::{Fault, FileName, Profile, Profiles, split_key};
use chameleon_model::{
    Commit, Key, Known, Operation, Precondition, Prefix, Snapshot, SourceName, SourceUpdate, Tag,
    Transaction, decide,
};

use super::error::Error;
use super::replica::{Contents, Observer};

/// More operations than this are no quick matter.
const QUICK_OPERATIONS: usize = 64;

/// Judges changes before they are queued, by the documents' own schemas.
///
/// A check speaks of the state that it saw. Of two changes at the same moment each may be good
/// and both together not; clients judge every state once more before they apply it.
pub(crate) struct Checker {
    configured: Vec<Profile>,
    sources: Mutex<BTreeMap<SourceName, Vec<Profile>>>,
}

impl Checker {
    /// A checker that knows `configured` profiles, and those of the sources that it observes.
    pub(crate) fn new(configured: Vec<Profile>) -> Self {
        Self {
            configured,
            sources: Mutex::default(),
        }
    }

    /// Says whether `transaction` touches no document and no schema, so that judging it is a matter of
    /// microseconds.
    pub(crate) fn is_quick(transaction: &Transaction) -> bool {
        // What was changed under a prefix is looked for in all that is there.
        let looks_under = |one: &Precondition| matches!(one, Precondition::Unchanged { .. });
        transaction.operations.len() <= QUICK_OPERATIONS
            && !transaction.preconditions.iter().any(looks_under)
            && (transaction.operations.iter()).all(|operation| match operation {
                Operation::Put { key, .. }
                | Operation::Delete { key }
                | Operation::Release { key }
                | Operation::Restore { key, .. }
                | Operation::Lock { key, .. }
                | Operation::Unlock { key, .. } => !is_file(key),
                Operation::OpenSession(_) | Operation::EndSession(_) | Operation::Hold { .. } => {
                    true
                }
                Operation::DeletePrefix { .. } => false,
            })
    }

    /// Judges the merged documents that `transaction` would affect.
    ///
    /// A transaction that will be refused for another reason passes: the store says why.
    pub(crate) fn merged(&self, base: &Snapshot, transaction: &Transaction) -> Result<(), Error> {
        let profiles = match &transaction.source {
            Some(update) => declared(update)?,
            None => self.profiles(),
        };
        let markers = (transaction.source.iter())
            .filter_map(|update| Some((update.name.clone(), update.expected.clone()?)))
            .collect();
        let known = Known {
            markers,
            ..Known::default()
        };
        let decided = decide(base, vec![transaction.clone()], known, Tag::default);
        let Some(commit) = decided.commits.first() else {
            return Ok(());
        };
        let after = &decided.snapshot;
        let changed = || commit.changes.iter().map(|change| change.key().as_str());
        let folders: BTreeSet<Prefix> = changed()
            .filter_map(|key| split_key(key).map(|(folder, _)| Prefix::new(folder)))
            .collect();
        let keys = (folders.iter())
            .flat_map(|folder| after.under(folder))
            .map(|entry| entry.key.as_str());
        let lookup = |key: &str| after.get(key).map(|entry| entry.value.clone());
        let verdict = check_affected(keys, changed(), lookup, &profiles);
        if verdict.is_good() {
            return Ok(());
        }
        let mut faults = verdict.faults;
        if transaction.source.is_some() {
            for fault in &mut faults {
                name_hold(fault, after);
            }
        }
        Err(Error::Faulty(faults))
    }

    /// Judges each value that `transaction` writes by itself.
    pub(crate) fn each(&self, base: &Snapshot, transaction: &Transaction) -> Result<(), Error> {
        (transaction.operations.iter()).try_for_each(|operation| match operation {
            Operation::Put { key, value, .. }
            | Operation::Restore { key, value, .. }
            | Operation::Lock { key, value, .. }
            | Operation::Unlock { key, value, .. } => self.own(base, key, value),
            Operation::Delete { .. }
            | Operation::DeletePrefix { .. }
            | Operation::OpenSession(_)
            | Operation::EndSession(_)
            | Operation::Hold { .. }
            | Operation::Release { .. } => Ok(()),
        })
    }

    /// Judges a value by itself, as far as its schema can be held against one layer.
    fn own(&self, base: &Snapshot, key: &Key, value: &[u8]) -> Result<(), Error> {
        let profiles = self.profiles();
        let schema = schema_key(key.as_str(), &profiles)
            .and_then(|name| base.get(&name).map(|entry| (name, entry.value.clone())));
        let schema = schema
            .as_ref()
            .map(|(name, bytes)| (name.as_str(), bytes.as_ref()));
        let verdict = check_own_document(key.as_str(), value, schema);
        if verdict.is_good() {
            Ok(())
        } else {
            Err(Error::Faulty(verdict.faults))
        }
    }

    /// All profiles that are known, for a writer who declares none.
    fn profiles(&self) -> Profiles {
        let mut all = self.configured.clone();
        all.extend(self.lock().values().flatten().cloned());
        all.into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceName, Vec<Profile>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Checker {
    fn committed(&self, commit: &Commit, _stored: Option<Duration>) {
        if let Some(update) = &commit.source {
            (self.lock()).insert(update.name.clone(), known(&update.profiles));
        }
    }

    fn replaced(&self, contents: &Contents) {
        let sources = (contents.sources.values())
            .map(|marker| (marker.name.clone(), known(&marker.profiles)))
            .collect();
        *self.lock() = sources;
    }
}

/// Says whether `key` names a document or a schema, or would if it were well formed.
fn is_file(key: &Key) -> bool {
    let name = split_key(key.as_str()).map(|(_, name)| FileName::parse(name, &Profiles::default()));
    !matches!(name, None | Some(Ok(None)))
}

/// Says of a fault in a document that is held that the source's commit is not what is wrong there.
fn name_hold(fault: &mut Fault, after: &Snapshot) {
    if let Some(hold) = after.hold(&fault.file) {
        fault.reason = format!(
            "{}; the key is held by `{}` and is not what the commit has: `chameleon release {}` \
             ends that",
            fault.reason, hold.author, hold.key
        );
    }
}

/// A source's own profiles: another's would find services in places where they never run.
fn declared(update: &SourceUpdate) -> Result<Profiles, Error> {
    let profiles = update.profiles.iter().map(|name| {
        Profile::new(name).map_err(|error| Error::Invalid(format!("source.profiles: {error}")))
    });
    profiles.collect()
}

/// The names that are profiles' names: what an older version has stored may hold others.
fn known(names: &[String]) -> Vec<Profile> {
    let parsed = names.iter().map(|name| Profile::new(name));
    parsed.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "config/schemas/location.schema.yml";

    fn put(key: &str, value: &str) -> Operation {
        Operation::Put {
            key: Key::new(key).unwrap(),
            value: value.to_owned().into(),
            flags: 0,
        }
    }

    fn transaction(operations: Vec<Operation>) -> Transaction {
        Transaction {
            operations,
            ..Transaction::default()
        }
    }

    fn state(operations: Vec<Operation>) -> Snapshot {
        let group = vec![transaction(operations)];
        decide(&Snapshot::default(), group, Known::default(), Tag::default).snapshot
    }

    fn checker() -> Checker {
        Checker::new(vec![Profile::new("beta").unwrap()])
    }

    fn faults(result: Result<(), Error>) -> String {
        match result {
            Err(Error::Faulty(faults)) => Error::Faulty(faults).to_string(),
            other => panic!("no faults: {other:?}"),
        }
    }

    #[test]
    fn a_change_is_judged_by_the_merged_documents_it_affects() {
        let base = state(vec![
            put(
                SCHEMA,
                "required: [port]\nproperties: { port: { type: integer } }\n",
            ),
            put("config/application.yml", "port: 80\n"),
        ]);
        let checker = checker();
        let good = transaction(vec![put("config/location-beta.yml", "host: x\n")]);
        checker.merged(&base, &good).unwrap();
        let bad = transaction(vec![put("config/location-beta.yml", "port: high\n")]);
        let text = faults(checker.merged(&base, &bad));
        assert!(
            text.starts_with("config/location-beta.yml:1:7: port: "),
            "{text}"
        );
        let free = transaction(vec![put("state/x.yml", "a: [\n")]);
        checker.merged(&base, &free).unwrap();
        let delete = transaction(vec![Operation::DeletePrefix {
            prefix: Prefix::new("config/"),
        }]);
        checker.merged(&base, &delete).unwrap();
    }

    #[test]
    fn a_document_alone_need_not_be_complete() {
        let base = state(vec![put(
            SCHEMA,
            "required: [port]\nproperties: { port: { type: integer } }\n",
        )]);
        let key = Key::new("config/location-beta.yml").unwrap();
        let checker = checker();
        checker.own(&base, &key, b"host: x\n").unwrap();
        let text = faults(checker.own(&base, &key, b"port: high\n"));
        assert!(
            text.starts_with("config/location-beta.yml:1:7: port: "),
            "{text}"
        );
        let text = faults(checker.own(&base, &key, b"a: 1\nb: [\n"));
        assert!(text.starts_with("config/location-beta.yml:"), "{text}");
        (checker.own(&base, &Key::new("anything").unwrap(), b"\xff")).unwrap();
    }

    #[test]
    fn only_what_is_no_file_is_quick() {
        let is_quick = |operations| Checker::is_quick(&transaction(operations));
        assert!(is_quick(vec![put("state/x", "1"), put("state/y", "2")]));
        assert!(!is_quick(vec![put("config/location-beta.yml", "a: 1\n")]));
        assert!(!is_quick(vec![put("state/x", "1"), put(SCHEMA, "{}")]));
        assert!(!is_quick(vec![Operation::DeletePrefix {
            prefix: Prefix::new("state/"),
        }]));
        assert!(!is_quick(vec![put("state/x", "1"); QUICK_OPERATIONS + 1]));
    }

    #[test]
    fn profiles_come_from_the_commit_too() {
        let mut change = transaction(vec![put("config/location-qa.yml", "port: high\n")]);
        let schema = put(SCHEMA, "properties: { port: { type: integer } }\n");
        change.operations.push(schema);
        let checker = Checker::new(vec![]);
        checker.merged(&Snapshot::default(), &change).unwrap();
        let update = |profile: &str| SourceUpdate {
            name: "main".into(),
            expected: Some("0".into()),
            commit: "1".into(),
            profiles: vec![profile.to_owned()],
        };
        change.source = Some(update("qa"));
        faults(checker.merged(&Snapshot::default(), &change));
        change.source = Some(update("Not a profile"));
        let error = checker.merged(&Snapshot::default(), &change).unwrap_err();
        assert!(
            error.to_string().starts_with("source.profiles: "),
            "{error}"
        );
    }
}
