//! Checks the documents of one configuration folder, each alone and merged.

use super::verdict::{Findings, Verdict, Weight};
use crate::document::{
    Document, Fault, FileName, Merged, Mode, Profile, Profiles, Schema, Service,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// Judges a whole folder: names, YAML, placeholders, schemas, and every merged document.
///
/// `files` are named relative to the folder, such as `location-beta.yml` or
/// `schemas/location.schema.yml`. With `only`, faults of other profiles warn.
///
/// A service exists in the profiles that have a document of its own; if none has, in all of them.
///
/// ```
/// use chameleon_model::check::check_folder;
/// use chameleon_model::document::Profiles;
/// use std::collections::BTreeMap;
///
/// let files = BTreeMap::from([
///     ("location-beta.yml".to_owned(), "port: eighty\n"),
///     ("schemas/location.schema.yml".to_owned(), "properties: { port: { type: integer } }\n"),
/// ]);
/// let verdict = check_folder(&files, &Profiles::new(["dev", "beta"]).unwrap(), None);
/// assert_eq!(
///     verdict.to_string(),
///     "location-beta.yml:1:7: port: must be an integer, is a text\n",
/// );
/// ```
pub fn check_folder<B: AsRef<[u8]>>(
    files: &BTreeMap<String, B>,
    profiles: &Profiles,
    only: Option<&[Profile]>,
) -> Verdict {
    let mut findings = Findings::default();
    let mut names = BTreeSet::new();
    for name in files.keys() {
        match FileName::parse(name, profiles) {
            Ok(found) => names.extend(found),
            Err(error) => {
                let weight = weight(only, error.profile.as_ref());
                findings.add(weight, [Fault::of_file(name.as_str(), error.to_string())]);
            }
        }
    }
    let load = |name: &str| files.get(name).map(|bytes| bytes.as_ref().into());
    let mut folder = Folder::new("", names, &load, profiles, only);
    folder.check_files();
    for (service, profile) in folder.existing() {
        folder.check_merged(&service, profile.as_ref());
    }
    findings.append(folder.into_findings());
    findings.into_verdict()
}

/// Faults of profiles outside of the filter only warn.
fn weight(only: Option<&[Profile]>, profile: Option<&Profile>) -> Weight {
    match (only, profile) {
        (Some(only), Some(profile)) if !only.contains(profile) => Weight::Warns,
        _ => Weight::Forbids,
    }
}

/// A service in a profile; `None` where a source declares no profiles.
pub(super) type Pair = (Service, Option<Profile>);

/// The bytes of a file, by its name in the folder.
pub(super) type Load<'a> = dyn Fn(&str) -> Option<Box<[u8]>> + 'a;

/// A folder that is read as far as it is checked, each file once.
pub(super) struct Folder<'a> {
    /// What stands before the names in faults.
    label: &'a str,
    names: BTreeSet<FileName>,
    load: &'a Load<'a>,
    profiles: &'a Profiles,
    only: Option<&'a [Profile]>,
    documents: HashMap<FileName, Read<Document>>,
    schemas: HashMap<Service, Read<Schema>>,
    findings: Findings,
}

/// What is known of a file once it was read; its faults have been collected by then.
enum Read<T> {
    Good(Rc<T>),
    Broken,
}

impl<T> Clone for Read<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Good(read) => Self::Good(Rc::clone(read)),
            Self::Broken => Self::Broken,
        }
    }
}

impl<'a> Folder<'a> {
    pub(super) fn new(
        label: &'a str,
        names: BTreeSet<FileName>,
        load: &'a Load<'a>,
        profiles: &'a Profiles,
        only: Option<&'a [Profile]>,
    ) -> Self {
        let (documents, schemas) = (HashMap::new(), HashMap::new());
        Self {
            label,
            names,
            load,
            profiles,
            only,
            documents,
            schemas,
            findings: Findings::default(),
        }
    }

    pub(super) fn into_findings(self) -> Findings {
        self.findings
    }

    /// Reads every file.
    fn check_files(&mut self) {
        for name in self.names.clone() {
            self.check_file(&name);
        }
    }

    /// Reads one file; its faults count.
    pub(super) fn check_file(&mut self, name: &FileName) {
        match name {
            FileName::Document { .. } => drop(self.document(name)),
            FileName::Schema { service } => drop(self.schema(service)),
        }
    }

    /// Returns the services and profiles that have a merged document.
    pub(super) fn existing(&self) -> BTreeSet<Pair> {
        self.services()
            .into_iter()
            .flat_map(|service| self.existing_of(&service))
            .collect()
    }

    /// Returns the profiles in which a service has a merged document.
    pub(super) fn existing_of(&self, service: &Service) -> BTreeSet<Pair> {
        let of = |profile| (service.clone(), profile);
        let own = self
            .profiles
            .iter()
            .filter(|profile| self.names.contains(&document(service, Some(profile))));
        let own: BTreeSet<_> = own.cloned().map(|profile| of(Some(profile))).collect();
        if !own.is_empty() {
            return own;
        }
        if self.profiles.is_empty() {
            return BTreeSet::from([of(None)]);
        }
        self.profiles
            .iter()
            .cloned()
            .map(|profile| of(Some(profile)))
            .collect()
    }

    /// Checks the merged document of a service in a profile against the service's schema.
    pub(super) fn check_merged(&mut self, service: &Service, profile: Option<&Profile>) {
        let Some(Read::Good(schema)) = self.schema(service) else {
            return;
        };
        let base = Service::new(Service::APPLICATION).expect("`application` is a good name");
        // Without a profile, and for `application` itself, some of the four are the same file.
        let mut names = Vec::with_capacity(4);
        for owner in [&base, service] {
            for name in [document(owner, None), document(owner, profile)] {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        let mut layers = Vec::with_capacity(names.len());
        for name in &names {
            match self.document(name) {
                Some(Read::Good(layer)) => layers.push(layer),
                Some(Read::Broken) => return,
                None => {}
            }
        }
        let merged = Merged::of(layers.iter().map(AsRef::as_ref));
        let mut faults = schema.check(&merged.with_defaults());
        if layers.is_empty() && !faults.is_empty() {
            let schema = FileName::Schema {
                service: service.clone(),
            };
            let reason = format!(
                "has no document to describe; add `{}`, or remove this schema too",
                document(service, None)
            );
            faults = vec![Fault::of_file(format!("{}{schema}", self.label), reason)];
        }
        self.findings.add(weight(self.only, profile), faults);
    }

    /// Reads a document; `None` if there is none.
    fn document(&mut self, name: &FileName) -> Option<Read<Document>> {
        if let Some(read) = self.documents.get(name) {
            return Some(read.clone());
        }
        if !self.names.contains(name) {
            return None;
        }
        let bytes = (self.load)(&name.to_string())?;
        let weight = weight(self.only, name.profile());
        let read = match Document::parse(&format!("{}{name}", self.label), &bytes) {
            Ok(document) => {
                if bytes.windows(2).any(|pair| pair == b"${") {
                    self.findings
                        .add(weight, Merged::of([&document]).with_defaults().faults);
                }
                Read::Good(Rc::new(document))
            }
            Err(faults) => {
                self.findings.add(weight, faults);
                Read::Broken
            }
        };
        self.documents.insert(name.clone(), read.clone());
        Some(read)
    }

    /// Compiles a service's schema; `None` if there is none.
    fn schema(&mut self, service: &Service) -> Option<Read<Schema>> {
        if let Some(read) = self.schemas.get(service) {
            return Some(read.clone());
        }
        let name = FileName::Schema {
            service: service.clone(),
        };
        if !self.names.contains(&name) {
            return None;
        }
        let bytes = (self.load)(&name.to_string())?;
        let read = match Schema::compile(&format!("{}{name}", self.label), &bytes, Mode::Whole) {
            Ok(schema) => Read::Good(Rc::new(schema)),
            Err(faults) => {
                self.findings.add(Weight::Forbids, faults);
                Read::Broken
            }
        };
        self.schemas.insert(service.clone(), read.clone());
        Some(read)
    }

    fn services(&self) -> BTreeSet<Service> {
        self.names
            .iter()
            .map(|name| name.service().clone())
            .collect()
    }
}

fn document(service: &Service, profile: Option<&Profile>) -> FileName {
    FileName::Document {
        service: service.clone(),
        profile: profile.cloned(),
    }
}
