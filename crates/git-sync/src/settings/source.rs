//! The sources: repository, branch, folder, and where its files go.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chameleon_model::document::{FileName, Profile, Profiles};
use chameleon_model::{Key, SourceName};
use secrecy::SecretString;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use service_kit::settings::secret_from;

use super::{DEFAULT_POLL_INTERVAL, SettingsError};
use crate::git::Address;

const MAX_NAME_BYTES: usize = 64;
const SHORTEST_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// One source as people write it; [`Sources::new`] checks it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSettings {
    /// Its name, also in its webhook's address: lower-case letters, digits and `-`.
    pub name: String,
    /// The repository: a URL, `user@host:path`, or a path.
    pub repository: String,
    /// The branch that is applied.
    pub branch: String,
    /// The folder in the repository whose files are applied; `.` for its top.
    pub folder: String,
    /// Where the files go: the keys are `{prefix}config/{file}`. Empty, or ends in `/`.
    pub prefix: String,
    /// The profiles that file names may end in.
    pub profiles: Vec<String>,
    /// Apply the files of these profiles and those without one; all, if absent.
    pub only: Option<Vec<String>>,
    /// The webhook's secret; without one the source is polled only.
    pub secret: Option<SecretString>,
    /// A file that holds the webhook's secret.
    pub secret_file: Option<PathBuf>,
    /// How often the repository is looked at without a webhook, such as `30s`.
    #[serde(deserialize_with = "duration")]
    pub poll_interval: Duration,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            repository: String::new(),
            branch: "main".to_owned(),
            folder: "config".to_owned(),
            prefix: String::new(),
            profiles: ["dev", "beta", "prod"].map(str::to_owned).to_vec(),
            only: None,
            secret: None,
            secret_file: None,
            poll_interval: DEFAULT_POLL_INTERVAL,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time like `30s`")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text)
                .map_err(|_| E::custom(format!("`{text}` is no time; write it like `30s`")))
        }
    }

    // A visitor, because only its errors know their line.
    deserializer.deserialize_str(Time)
}

/// One source, checked.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) name: SourceName,
    pub(crate) address: Address,
    pub(crate) branch: String,
    /// Without slashes around it; empty for the top of the repository.
    pub(crate) folder: String,
    pub(crate) prefix: String,
    pub(crate) profiles: Profiles,
    pub(crate) only: Option<Vec<Profile>>,
    pub(crate) secret: Option<SecretString>,
    pub(crate) poll_interval: Duration,
}

impl Source {
    fn new(settings: SourceSettings) -> Result<Self, SettingsError> {
        let place = match settings.name.as_str() {
            "" => "source".to_owned(),
            name => format!("source `{name}`"),
        };
        let wrong = |field: &str, reason: &str| {
            SettingsError::new(place.clone(), format!("`{field}` {reason}"))
        };
        check_name(&settings.name).map_err(|reason| wrong("name", reason))?;
        let address =
            Address::parse(&settings.repository).map_err(|reason| wrong("repository", &reason))?;
        check_branch(&settings.branch).map_err(|reason| wrong("branch", reason))?;
        let folder = folder(&settings.folder).map_err(|reason| wrong("folder", reason))?;
        check_prefix(&settings.prefix).map_err(|reason| wrong("prefix", &reason))?;
        let profiles = Profiles::new(&settings.profiles)
            .map_err(|error| SettingsError::new(&*place, format!("`profiles`: {error}")))?;
        let only = settings
            .only
            .map(|names| only(&names, &profiles))
            .transpose()
            .map_err(|reason| wrong("only", &reason))?;
        if settings.poll_interval < SHORTEST_POLL_INTERVAL {
            return Err(wrong("pollInterval", "is under a second; make it longer"));
        }
        let secret = secret_from(settings.secret, settings.secret_file.as_deref(), "secret")
            .map_err(|error| SettingsError::new(place.clone(), format!("{error:#}")))?;
        Ok(Self {
            name: settings.name.as_str().into(),
            address,
            branch: settings.branch,
            folder,
            prefix: settings.prefix,
            profiles,
            only,
            secret,
            poll_interval: settings.poll_interval,
        })
    }

    /// The key of a file of the folder.
    pub(crate) fn key(&self, file: &str) -> Result<Key, chameleon_model::KeyError> {
        Key::new(&format!("{}config/{file}", self.prefix))
    }

    /// Where a file of the folder stands in the repository.
    pub(crate) fn path(&self, file: &str) -> String {
        match self.folder.as_str() {
            "" => file.to_owned(),
            folder => format!("{folder}/{file}"),
        }
    }

    /// Says whether a file is applied: it has a place, and its profile passes the filter.
    pub(crate) fn keeps(&self, file: &str) -> bool {
        match FileName::parse(file, &self.profiles) {
            Ok(Some(name)) => match (&self.only, name.profile()) {
                (Some(only), Some(profile)) => only.contains(profile),
                _ => true,
            },
            Ok(None) | Err(_) => false,
        }
    }
}

/// All sources of a process; no two of them write the same keys.
#[derive(Clone, Debug)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Checks the sources alone and together.
    ///
    /// # Errors
    /// Names the source, the field, and what would be right. Secret files are read here.
    pub fn new(settings: impl IntoIterator<Item = SourceSettings>) -> Result<Self, SettingsError> {
        let sources = settings
            .into_iter()
            .map(Source::new)
            .collect::<Result<Vec<_>, _>>()?;
        if sources.is_empty() {
            return Err(SettingsError::new(
                "`sources`",
                "is empty; name at least one",
            ));
        }
        for (at, source) in sources.iter().enumerate() {
            for earlier in &sources[..at] {
                check_apart(earlier, source)?;
            }
        }
        Ok(Self(sources))
    }

    /// The sources in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }
}

impl fmt::Display for Source {
    /// One line for people, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.folder.is_empty() {
            "."
        } else {
            &self.folder
        };
        let webhook = match self.secret {
            Some(_) => "webhook and poll",
            None => "poll only",
        };
        write!(
            f,
            "{}: {} branch {} folder {folder} -> {}config/ ({webhook}, every {})",
            self.name,
            self.address,
            self.branch,
            self.prefix,
            humantime::format_duration(self.poll_interval),
        )
    }
}

fn check_apart(one: &Source, other: &Source) -> Result<(), SettingsError> {
    let reason = if one.name == other.name {
        "has the same name as another; give each its own".to_owned()
    } else if one.prefix == other.prefix {
        format!(
            "overlaps source `{}`: both write `{}config/`; give each its own `prefix`",
            one.name, other.prefix
        )
    } else {
        return Ok(());
    };
    Err(SettingsError::new(
        format!("source `{}`", other.name),
        reason,
    ))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match name {
        "" => Err("is missing; give the source one"),
        _ if name.len() > MAX_NAME_BYTES => Err("is longer than 64 bytes; shorten it"),
        _ if name.starts_with('-') || !name.bytes().all(plain) => {
            Err("may hold lower-case letters, digits and `-` only")
        }
        _ => Ok(()),
    }
}

fn check_branch(branch: &str) -> Result<(), &'static str> {
    let odd =
        |letter: char| letter.is_whitespace() || letter.is_control() || "~^:?*[\\".contains(letter);
    if branch.starts_with("refs/") {
        return Err("is a full ref; give the name alone, such as `main`");
    }
    let wrong = branch.is_empty()
        || branch.contains(odd)
        || branch.contains("..")
        || branch.contains("//")
        || branch.starts_with(['-', '/', '.'])
        || branch.ends_with(['/', '.']);
    if wrong {
        return Err("is no name of a branch; give one such as `main`");
    }
    Ok(())
}

fn folder(text: &str) -> Result<String, &'static str> {
    let odd = |part: &str| part.is_empty() || part == ".." || part == ".";
    let text = text.strip_suffix('/').unwrap_or(text);
    if matches!(text, "." | "") {
        return Ok(String::new());
    }
    if text.starts_with('/') || text.split('/').any(odd) || text.chars().any(char::is_control) {
        return Err("is no folder of a repository; give a path such as `config`, or `.`");
    }
    Ok(text.to_owned())
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(format!("does not end in `/`; write `{prefix}/`"));
    }
    if prefix.starts_with('/') {
        return Err("starts with `/`; leave that out".to_owned());
    }
    match Key::new(&format!("{prefix}config/x.yml")) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("makes no key: {error}")),
    }
}

fn only(names: &[String], profiles: &Profiles) -> Result<Vec<Profile>, String> {
    names
        .iter()
        .map(|name| {
            let declared = profiles.iter().find(|profile| profile.as_str() == name);
            declared.cloned().ok_or_else(|| {
                format!(
                    "names `{name}`, which is not one of `profiles`; add it there or leave it out"
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> SourceSettings {
        SourceSettings {
            name: "shop".to_owned(),
            repository: "https://git.example/shop.git".to_owned(),
            ..SourceSettings::default()
        }
    }

    fn refusal(settings: impl IntoIterator<Item = SourceSettings>) -> String {
        Sources::new(settings).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_need_a_name_and_a_repository_only() {
        let sources = Sources::new([shop()]).unwrap();
        let shop = sources.iter().next().unwrap();
        assert_eq!(
            shop.to_string(),
            "shop: https://git.example/shop.git branch main folder config -> config/ (poll only, \
             every 30s)"
        );
        assert_eq!(shop.key("a.yml").unwrap().as_str(), "config/a.yml");
        assert_eq!(shop.path("a.yml"), "config/a.yml");
    }

    #[test]
    fn bad_fields_say_what_would_be_right() {
        type Change = fn(&mut SourceSettings);
        let cases: [(Change, &str); 10] = [
            (
                |s| s.profiles.push("QA".into()),
                "source `shop`: `profiles`: `QA` is no name of a profile; use lower-case letters, \
                 digits and `-`, and start with a letter or digit",
            ),
            (
                |s| s.name = "Shop".into(),
                "source `Shop`: `name` may hold lower-case letters, digits and `-` only",
            ),
            (
                |s| s.name.clear(),
                "source: `name` is missing; give the source one",
            ),
            (
                |s| s.repository.clear(),
                "source `shop`: `repository` is empty; give a URL or a path",
            ),
            (
                |s| s.branch = "refs/heads/main".into(),
                "source `shop`: `branch` is a full ref; give the name alone, such as `main`",
            ),
            (
                |s| s.folder = "../x".into(),
                "source `shop`: `folder` is no folder of a repository; give a path such as \
                 `config`, or `.`",
            ),
            (
                |s| s.prefix = "teams".into(),
                "source `shop`: `prefix` does not end in `/`; write `teams/`",
            ),
            (
                |s| s.only = Some(vec!["qa".into()]),
                "source `shop`: `only` names `qa`, which is not one of `profiles`; add it there \
                 or leave it out",
            ),
            (
                |s| s.poll_interval = Duration::from_millis(1),
                "source `shop`: `pollInterval` is under a second; make it longer",
            ),
            (
                |s| s.secret = Some("".into()),
                "source `shop`: `secret` is empty: give it a value or leave it out",
            ),
        ];
        for (change, message) in cases {
            let mut settings = shop();
            change(&mut settings);
            assert_eq!(refusal([settings]), message);
        }
        assert_eq!(refusal([]), "`sources`: is empty; name at least one");
    }

    #[test]
    fn sources_that_write_the_same_keys_are_refused() {
        let other = |name: &str, prefix: &str| SourceSettings {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            ..shop()
        };
        assert_eq!(
            refusal([shop(), other("pay", "")]),
            "source `pay`: overlaps source `shop`: both write `config/`; give each its own \
             `prefix`"
        );
        assert_eq!(
            refusal([shop(), other("shop", "x/")]),
            "source `shop`: has the same name as another; give each its own"
        );
        Sources::new([shop(), other("pay", "teams/pay/")]).unwrap();
    }

    #[test]
    fn the_filter_keeps_its_profiles_the_unprofiled_and_the_schemas() {
        let settings = SourceSettings {
            only: Some(vec!["beta".to_owned()]),
            ..shop()
        };
        let sources = Sources::new([settings]).unwrap();
        let source = sources.iter().next().unwrap();
        let kept = |file| source.keeps(file);
        assert!(kept("shop-beta.yml") && kept("shop.yml") && kept("schemas/shop.schema.yml"));
        assert!(!kept("shop-prod.yml") && !kept(".gitkeep"));
    }
}
