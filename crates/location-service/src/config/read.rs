//! From the document to a valid configuration, or to everything that is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{
    DEFAULT_DEADLINE, DEFAULT_TIMEOUT, Fault, Faults, MapConfig, ProviderConfig, ProviderName,
    Share, Shares, VendorSettings, canonical, section::Section,
};

const MAPS: &str = "maps";
const SEARCH: &str = "search";
const PERCENTAGE: &str = "mappercentage";

/// Tells whether a top-level key of the document belongs to this configuration.
pub(crate) fn is_ours(key: &str) -> bool {
    let name = canonical(key);
    name == MAPS || name == SEARCH || name.ends_with(PERCENTAGE)
}

/// Reads the document's keys that are ours.
pub(crate) fn map_config(document: &Map<String, Value>) -> Result<MapConfig, Faults> {
    let mut faults = Vec::new();
    let mut maps = None;
    let mut search = None;
    let mut percentages = Percentages::default();
    for (key, value) in document {
        let name = canonical(key);
        match name.strip_suffix(PERCENTAGE) {
            Some(provider) => percentages.read(key, provider, value, &mut faults),
            None if name == MAPS => unique(&mut maps, key, value, &mut faults),
            None => unique(&mut search, key, value, &mut faults),
        }
    }

    let deadline = read_deadline(search, &mut faults);
    let declared = read_providers(maps, &mut faults);
    let shares = percentages.assign(&declared, &mut faults);
    let providers: Option<Vec<ProviderConfig>> = declared.into_values().collect();

    match (Faults::some(faults), providers, shares, deadline) {
        (None, Some(providers), Some(shares), Some(deadline)) => Ok(MapConfig {
            providers,
            shares,
            deadline,
        }),
        (Some(faults), ..) => Err(faults),
        (None, ..) => unreachable!("whatever could not be read has left a fault"),
    }
}

/// Remembers a top-level section; two spellings of its name are a fault.
fn unique<'a>(
    slot: &mut Option<(&'a str, &'a Value)>,
    key: &'a str,
    value: &'a Value,
    faults: &mut Vec<Fault>,
) {
    match slot {
        None => *slot = Some((key, value)),
        Some((first, _)) => faults.push(Fault {
            path: key.to_owned(),
            message: format!("is the same name as `{first}`: keep one of them"),
        }),
    }
}

fn read_deadline(search: Option<(&str, &Value)>, faults: &mut Vec<Fault>) -> Option<Duration> {
    let Some((key, map)) = map_at(search, faults) else {
        return Some(DEFAULT_DEADLINE);
    };
    let mut section = Section::new(key.to_owned(), map);
    let deadline = section.duration("deadline", DEFAULT_DEADLINE);
    faults.extend(section.finish());
    deadline
}

/// The declared providers by name; one with faults stays in the list without settings, so that its
/// percentage is not called one without a provider.
fn read_providers(
    maps: Option<(&str, &Value)>,
    faults: &mut Vec<Fault>,
) -> BTreeMap<ProviderName, Option<ProviderConfig>> {
    let mut declared = BTreeMap::new();
    let faults_before = faults.len();
    if let Some((maps_key, map)) = map_at(maps, faults) {
        for (key, value) in map {
            let path = format!("{maps_key}.{key}");
            let fault = |message: &str| Fault {
                path: path.clone(),
                message: message.to_owned(),
            };
            let Some(name) = ProviderName::parse(key) else {
                faults.push(fault(
                    "is no name for a provider: use at most 32 letters and digits",
                ));
                continue;
            };
            if declared.contains_key(&name) {
                faults.push(fault(
                    "is the same name as another provider: keep one of them",
                ));
                continue;
            }
            let Value::Object(settings) = value else {
                faults.push(fault("has to be a map with `vendor` and its settings"));
                declared.insert(name, None);
                continue;
            };
            let mut section = Section::new(path.clone(), settings);
            let timeout = section.duration("timeout", DEFAULT_TIMEOUT);
            let vendor = VendorSettings::read(&mut section);
            faults.extend(section.finish());
            let provider = timeout.zip(vendor).map(|(timeout, vendor)| ProviderConfig {
                name: name.clone(),
                timeout,
                vendor,
            });
            declared.insert(name, provider);
        }
    }
    if declared.is_empty() && faults.len() == faults_before {
        faults.push(Fault {
            path: MAPS.to_owned(),
            message: "declares no provider: add one, such as `a: {vendor: tmap, appKey: …}`"
                .to_owned(),
        });
    }
    declared
}

/// The map at a section; a missing or empty section is none, anything else is a fault.
fn map_at<'a>(
    section: Option<(&'a str, &'a Value)>,
    faults: &mut Vec<Fault>,
) -> Option<(&'a str, &'a Map<String, Value>)> {
    match section? {
        (key, Value::Object(map)) => Some((key, map)),
        (_, Value::Null) => None,
        (key, _) => {
            faults.push(Fault {
                path: key.to_owned(),
                message: "has to be a map".to_owned(),
            });
            None
        }
    }
}

/// The document's percentages by the name of their provider; an unreadable one has no share.
#[derive(Default)]
struct Percentages {
    by_provider: BTreeMap<String, (String, Option<Share>)>,
}

impl Percentages {
    fn read(&mut self, key: &str, provider: &str, value: &Value, faults: &mut Vec<Fault>) {
        let mut fault = |message: String| {
            faults.push(Fault {
                path: key.to_owned(),
                message,
            });
        };
        let share = value.as_f64().and_then(Share::from_percent);
        if share.is_none() {
            let found = match value {
                Value::Number(number) => number.to_string(),
                Value::Null => "empty".to_owned(),
                _ => "not a number".to_owned(),
            };
            fault(format!(
                "is {found}: give a number from 0 to 100, with at most two decimals"
            ));
        }
        if let Some((first, _)) = self.by_provider.get(provider) {
            fault(format!("is the same name as `{first}`: keep one of them"));
            return;
        }
        self.by_provider
            .insert(provider.to_owned(), (key.to_owned(), share));
    }

    /// Gives every declared provider its share, nothing where the document is silent.
    fn assign(
        mut self,
        declared: &BTreeMap<ProviderName, Option<ProviderConfig>>,
        faults: &mut Vec<Fault>,
    ) -> Option<Shares> {
        let mut told = Vec::new();
        let mut first = None;
        // All of them are taken out first, so that what stays behind belongs to nobody.
        let shares: Vec<Option<Share>> = declared
            .keys()
            .map(|name| match self.by_provider.remove(name.as_str()) {
                None => Some(Share::NONE),
                Some((key, share)) => {
                    let share = share?;
                    first.get_or_insert_with(|| key.clone());
                    told.push(format!("`{key}` {share}"));
                    Some(share)
                }
            })
            .collect();
        let orphans = !self.by_provider.is_empty();
        for (provider, (key, _)) in self.by_provider {
            faults.push(Fault {
                path: key,
                message: format!(
                    "has no provider: declare `maps.{provider}` or remove the percentage"
                ),
            });
        }
        // With a share missing or astray the sum says nothing new.
        if orphans || declared.is_empty() {
            return None;
        }
        Shares::new(shares.into_iter().collect::<Option<_>>()?)
            .map_err(|sum| {
                faults.push(match first {
                    None => Fault {
                        path: MAPS.to_owned(),
                        message: "has no shares: give its providers their percentages, such as \
                                  `aMapPercentage: 100`"
                            .to_owned(),
                    },
                    Some(path) => Fault {
                        path,
                        message: format!(
                            "makes shares that add up to {sum}, not to 100: {}; change them together",
                            told.join(", ")
                        ),
                    },
                });
            })
            .ok()
    }
}
