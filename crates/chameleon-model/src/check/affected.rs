//! Checks what a transaction touches.

use super::folder::{Folder, Pair};
use super::verdict::{Findings, Verdict, Weight};
use crate::document::{Fault, FileName, Profiles, split_key};
use std::collections::{BTreeMap, BTreeSet};

/// Judges the merged documents that a transaction affects, in the state after it.
///
/// `keys` are all keys of that state (those outside of the touched folders are skipped), `changed`
/// those that the transaction writes or deletes, and `lookup` answers a key's value in that state.
/// A document of `application` affects every service of its folder; a schema or a document without
/// profile affects its service in all profiles. Deletes affect nothing, for a schema never refuses
/// them; changed keys outside of configuration folders are not looked at.
///
/// ```
/// use chameleon_model::check::check_affected;
/// use chameleon_model::document::Profiles;
/// use std::collections::BTreeMap;
///
/// let state = BTreeMap::from([
///     ("config/application.yml", "port: high\n"),
///     ("config/location-beta.yml", "a: 1\n"),
///     ("config/schemas/location.schema.yml", "properties: { port: { type: integer } }\n"),
/// ]);
/// let verdict = check_affected(
///     state.keys().copied(),
///     ["config/application.yml"],
///     |key| state.get(key).copied(),
///     &Profiles::new(["beta"]).unwrap(),
/// );
/// assert_eq!(
///     verdict.to_string(),
///     "config/application.yml:1:7: port: must be an integer, is a text\n",
/// );
/// ```
pub fn check_affected<'a, B: AsRef<[u8]>>(
    keys: impl IntoIterator<Item = &'a str>,
    changed: impl IntoIterator<Item = &'a str>,
    lookup: impl Fn(&str) -> Option<B>,
    profiles: &Profiles,
) -> Verdict {
    let mut findings = Findings::default();
    let mut touched = BTreeMap::<&str, (BTreeSet<FileName>, BTreeSet<FileName>)>::new();
    for key in changed {
        let Some((folder, name)) = split_key(key) else {
            continue;
        };
        if lookup(key).is_none() {
            continue;
        }
        match FileName::parse(name, profiles) {
            Ok(Some(name)) => drop(touched.entry(folder).or_default().0.insert(name)),
            Ok(None) => {}
            Err(error) => findings.add(Weight::Forbids, [Fault::of_file(key, error.to_string())]),
        }
    }
    if touched.is_empty() {
        return findings.into_verdict();
    }
    for key in keys {
        let Some((folder, name)) = split_key(key) else {
            continue;
        };
        let Some((_, names)) = touched.get_mut(folder) else {
            continue;
        };
        names.extend(FileName::parse(name, profiles).ok().flatten());
    }
    for (label, (written, names)) in touched {
        let load =
            |name: &str| lookup(&format!("{label}{name}")).map(|bytes| bytes.as_ref().into());
        let mut folder = Folder::new(label, names, &load, profiles, None);
        let mut pairs = BTreeSet::new();
        for name in &written {
            folder.check_file(name);
            pairs.extend(affected(&folder, name));
        }
        for (service, profile) in pairs {
            folder.check_merged(&service, profile.as_ref());
        }
        findings.append(folder.into_findings());
    }
    findings.into_verdict()
}

/// Returns the services and profiles whose merged documents a file is part of.
fn affected(folder: &Folder<'_>, name: &FileName) -> BTreeSet<Pair> {
    let is_schema = matches!(name, FileName::Schema { .. });
    let mut pairs = match name.service() {
        service if service.is_application() && !is_schema => folder.existing(),
        service => folder.existing_of(service),
    };
    if let Some(only) = name.profile() {
        pairs.retain(|(_, profile)| profile.as_ref() == Some(only));
    }
    pairs
}
