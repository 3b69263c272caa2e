//! Which file is whose.

use std::fmt;

/// The folder of a prefix in which documents lie.
const FOLDER: &str = "config/";
const SCHEMAS: &str = "schemas/";
const SCHEMA_ENDING: &str = ".schema.yml";

/// A service's or profile's name is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no name of a {what}; use lower-case letters, digits and `-`, and start with a letter or digit"
)]
pub struct NameError {
    name: String,
    what: &'static str,
}

fn validated(name: &str, what: &'static str) -> Result<Box<str>, NameError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = name.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(is_plain);
    if good {
        Ok(name.into())
    } else {
        Err(NameError {
            name: name.to_owned(),
            what,
        })
    }
}

/// A service's name, such as `location`: `[a-z0-9][a-z0-9-]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service(Box<str>);

impl Service {
    /// The service whose documents are the base of every other's.
    pub const APPLICATION: &str = "application";

    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        validated(name, "service").map(Self)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this is `application`, whose documents every service reads.
    pub fn is_application(&self) -> bool {
        &*self.0 == Self::APPLICATION
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A profile's name, such as `beta`: `[a-z0-9][a-z0-9-]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Profile(Box<str>);

impl Profile {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        validated(name, "profile").map(Self)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The profiles that a source declares; they decide which file is whose.
///
/// ```
/// use chameleon_model::document::{FileName, Profiles};
///
/// let profiles = Profiles::new(["dev", "beta", "prod"]).unwrap();
/// let file = FileName::parse("location-api-beta.yml", &profiles).unwrap().unwrap();
/// assert_eq!(file.service().as_str(), "location-api");
/// assert_eq!(file.profile().unwrap().as_str(), "beta");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    /// Longest first, so that `eu-prod` wins over `prod`.
    longest_first: Vec<Profile>,
}

impl Profiles {
    /// Checks the names; naming one twice is the same as naming it once.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, NameError> {
        let checked = names.into_iter().map(|name| Profile::new(name.as_ref()));
        Ok(checked
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .collect())
    }

    /// Returns the profiles, longest name first.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.longest_first.iter()
    }

    /// Tells whether no profile is declared.
    pub fn is_empty(&self) -> bool {
        self.longest_first.is_empty()
    }

    /// Splits `location-beta` into `location` and the profile `beta`.
    fn split<'a>(&self, stem: &'a str) -> (&'a str, Option<&Profile>) {
        for profile in &self.longest_first {
            let service = stem
                .strip_suffix(profile.as_str())
                .and_then(|start| start.strip_suffix('-'));
            if let Some(service) = service.filter(|service| !service.is_empty()) {
                return (service, Some(profile));
            }
        }
        (stem, None)
    }
}

impl FromIterator<Profile> for Profiles {
    fn from_iter<I: IntoIterator<Item = Profile>>(profiles: I) -> Self {
        let mut longest_first: Vec<_> = profiles.into_iter().collect();
        longest_first.sort_by(|one, other| (other.0.len(), one).cmp(&(one.0.len(), other)));
        longest_first.dedup();
        Self { longest_first }
    }
}

/// What a file in a configuration folder is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `{service}.yml` or `{service}-{profile}.yml`.
    Document {
        /// Who reads it; everybody, if it is `application`.
        service: Service,
        /// In which profile it counts; in all of them, if `None`.
        profile: Option<Profile>,
    },
    /// `schemas/{service}.schema.yml`.
    Schema {
        /// Whose merged documents it describes.
        service: Service,
    },
}

/// A file that may not lie in a configuration folder under this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FileError {
    reason: String,
    /// The declared profile that the name ends in, so that a filter still applies to the file.
    pub profile: Option<Profile>,
}

impl FileName {
    /// Reads a name relative to the folder, such as `location-beta.yml`.
    ///
    /// `None` is a file that is nobody's and harms nobody: its name or folder starts with a dot.
    ///
    /// # Errors
    ///
    /// Says what to rename the file to, or where to put it.
    pub fn parse(name: &str, profiles: &Profiles) -> Result<Option<Self>, FileError> {
        if name.split('/').any(|part| part.starts_with('.')) {
            return Ok(None);
        }
        if let Some(rest) = name.strip_prefix(SCHEMAS) {
            return Self::schema(rest).map(Some).map_err(|reason| FileError {
                reason,
                profile: None,
            });
        }
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let (service, profile) = profiles.split(stem);
        let refuse = |reason| FileError {
            reason,
            profile: profile.cloned(),
        };
        if name.contains('/') {
            let reason = "lies in a folder of its own; documents lie in the folder itself, schemas in `schemas/`";
            return Err(refuse(reason.to_owned()));
        }
        if extension != "yml" {
            return Err(refuse(wrong_extension(name, stem, extension)));
        }
        match Service::new(service) {
            Ok(service) => Ok(Some(Self::Document {
                service,
                profile: profile.cloned(),
            })),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    fn schema(name: &str) -> Result<Self, String> {
        let Some(service) = name.strip_suffix(SCHEMA_ENDING) else {
            let stem = name.split('.').next().unwrap_or_default();
            return Err(format!(
                "is not named like a schema; rename it to `{SCHEMAS}{stem}{SCHEMA_ENDING}`"
            ));
        };
        let service = Service::new(service).map_err(|error| error.to_string())?;
        Ok(Self::Schema { service })
    }

    /// Returns whose file it is.
    pub fn service(&self) -> &Service {
        match self {
            Self::Document { service, .. } | Self::Schema { service } => service,
        }
    }

    /// Returns the profile in which the file counts; `None` means all.
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::Document { profile, .. } => profile.as_ref(),
            Self::Schema { .. } => None,
        }
    }
}

impl fmt::Display for FileName {
    /// Writes the name relative to the folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document {
                service,
                profile: None,
            } => write!(f, "{service}.yml"),
            Self::Document {
                service,
                profile: Some(profile),
            } => write!(f, "{service}-{profile}.yml"),
            Self::Schema { service } => write!(f, "{SCHEMAS}{service}{SCHEMA_ENDING}"),
        }
    }
}

fn wrong_extension(name: &str, stem: &str, extension: &str) -> String {
    match extension.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => format!("is not named `*.yml`; rename it to `{stem}.yml`"),
        "properties" | "json" | "toml" | "ini" | "conf" => {
            format!("`{name}` is not YAML; rewrite it as YAML and rename it to `{stem}.yml`")
        }
        _ => format!(
            "`{name}` is not a document; rename it to `{stem}.yml` or move it out of the folder"
        ),
    }
}

/// Returns the keys of the four documents that a service reads, lowest layer first.
///
/// `prefix` is empty or ends in `/`.
///
/// ```
/// use chameleon_model::document::{Profile, Service, layer_keys};
///
/// let keys = layer_keys("teams/payments/", &Service::new("location").unwrap(), &Profile::new("beta").unwrap());
/// assert_eq!(keys[0], "teams/payments/config/application.yml");
/// assert_eq!(keys[3], "teams/payments/config/location-beta.yml");
/// ```
pub fn layer_keys(prefix: &str, service: &Service, profile: &Profile) -> [String; 4] {
    let base = Service::APPLICATION;
    [
        format!("{prefix}{FOLDER}{base}.yml"),
        format!("{prefix}{FOLDER}{base}-{profile}.yml"),
        format!("{prefix}{FOLDER}{service}.yml"),
        format!("{prefix}{FOLDER}{service}-{profile}.yml"),
    ]
}

/// Splits a key into its configuration folder and the file's name in it.
///
/// `None` is a key that lies in no configuration folder, or the marker of a folder itself.
///
/// ```
/// use chameleon_model::document::split_key;
///
/// assert_eq!(split_key("config/location.yml"), Some(("config/", "location.yml")));
/// assert_eq!(
///     split_key("teams/payments/config/schemas/api.schema.yml"),
///     Some(("teams/payments/config/", "schemas/api.schema.yml")),
/// );
/// assert_eq!(split_key("state/location/beta"), None);
/// ```
pub fn split_key(key: &str) -> Option<(&str, &str)> {
    let end = match key.strip_prefix(FOLDER) {
        Some(_) => FOLDER.len(),
        None => key.find("/config/")? + 1 + FOLDER.len(),
    };
    let (folder, name) = key.split_at(end);
    (!name.is_empty() && !name.ends_with('/')).then_some((folder, name))
}

#[cfg(test)]
mod tests;
