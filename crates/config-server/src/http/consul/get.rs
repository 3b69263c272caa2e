//! `GET /v1/kv/{key}`: one value, all under a prefix, or their names; at once or on a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use chameleon_model::{Key, Prefix, Revision, Snapshot};

use super::answer::{EntryAnswer, Layout, encoded, json, not_found, raw, with_read_headers};
use super::blocking::overtaken;
use super::error::Refused;
use super::query::{Query, Wait};
use super::{Face, admit, key_of};
use crate::app::error::Error;
use crate::app::selection::Selection;

/// What is asked for.
enum Target {
    One(Key, Form),
    Tree(Prefix),
    Names(Prefix, Option<String>),
}

/// How one value is answered.
enum Form {
    Entry,
    Raw,
}

pub(super) async fn get(face: &Face, request: Parts) -> Result<Response, Refused> {
    let (target, wait, layout) = asked(face, &request)?;
    // Its buffer is as large as all else of a connection, and the next request may have it.
    drop(request);
    let snapshot = match wait {
        Some(wait) => target.wait(face, wait).await?,
        None => face.app.replica.snapshot(),
    };
    let index = target.index(&snapshot);
    Ok(with_read_headers(
        target.answer(face, &snapshot, layout),
        face,
        index,
    ))
}

fn asked(face: &Face, request: &Parts) -> Result<(Target, Option<Wait>, Layout), Refused> {
    let query = Query::of(&request.uri);
    admit(face, &query, &request.headers)?;
    query.check_consistency()?;
    let target = Target::new(&key_of(&request.uri)?, &query)?;
    Ok((target, query.wait()?, query.layout()))
}

impl Target {
    fn new(key: &str, query: &Query<'_>) -> Result<Self, Refused> {
        if query.has("keys") {
            let separator = query.text("separator").or_else(|| query.text("seperator"));
            return Ok(Self::Names(Prefix::new(key), separator.map(str::to_owned)));
        }
        if query.has("recurse") {
            return Ok(Self::Tree(Prefix::new(key)));
        }
        if key.is_empty() {
            return Err(Refused::bad("Missing key name"));
        }
        let key = Key::new(key).map_err(|error| Refused::bad(error.to_string()))?;
        let form = if query.has("raw") {
            Form::Raw
        } else {
            Form::Entry
        };
        Ok(Self::One(key, form))
    }

    fn selection(&self) -> Selection {
        match self {
            Self::One(key, _) => Selection::key(key.clone()),
            Self::Tree(prefix) | Self::Names(prefix, _) => Selection::prefix(prefix.clone()),
        }
    }

    fn index(&self, snapshot: &Snapshot) -> Revision {
        match self {
            Self::One(key, _) => snapshot.index_of(key.as_str()),
            Self::Tree(prefix) | Self::Names(prefix, _) => snapshot.index_under(prefix),
        }
    }

    /// Waits until something that is asked for changes.
    async fn wait(&self, face: &Face, wait: Wait) -> Result<Arc<Snapshot>, Error> {
        let selection = Arc::new(self.selection());
        let watcher = face.app.replica.hub().watch(selection)?;
        Ok(overtaken(face, wait, &watcher, |snapshot| self.index(snapshot)).await)
    }

    fn answer(&self, face: &Face, snapshot: &Snapshot, layout: Layout) -> Response {
        match self {
            Self::One(key, form) => match (snapshot.get(key.as_str()), form, layout) {
                (None, ..) => not_found(),
                (Some(entry), Form::Raw, _) => raw(entry),
                (Some(entry), Form::Entry, Layout::Compact) => encoded(face.encoded.list_of(entry)),
                (Some(entry), Form::Entry, Layout::Pretty) => {
                    json(layout, &[EntryAnswer::from(entry)])
                }
            },
            Self::Tree(prefix) => {
                let entries: Vec<_> = snapshot.under(prefix).map(EntryAnswer::from).collect();
                if entries.is_empty() {
                    not_found()
                } else {
                    json(layout, &entries)
                }
            }
            Self::Names(prefix, separator) => {
                let keys = snapshot.under(prefix).map(|entry| entry.key.as_str());
                let names = names(keys, prefix.as_str(), separator.as_deref());
                if names.is_empty() && !prefix.as_str().is_empty() {
                    not_found()
                } else {
                    json(layout, &names)
                }
            }
        }
    }
}

/// The names up to the first separator behind the prefix, each once.
fn names<'a>(
    keys: impl Iterator<Item = &'a str>,
    prefix: &str,
    separator: Option<&str>,
) -> BTreeSet<&'a str> {
    keys.map(|key| {
        let behind = &key[prefix.len()..];
        let end = separator.and_then(|separator| {
            behind
                .find(separator)
                .map(|start| prefix.len() + start + separator.len())
        });
        &key[..end.unwrap_or(key.len())]
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_behind_the_separator() {
        let keys = ["base/base/foo", "base/base/goo", "base/foo"];
        let list = |prefix, separator| {
            let names = names(keys.into_iter(), prefix, separator);
            names.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(list("base/", Some("/")), ["base/base/", "base/foo"]);
        assert_eq!(list("base", Some("/")), ["base/"]);
        assert_eq!(list("base/", None), keys);
        assert_eq!(list("", Some("se/b")), ["base/b", "base/foo"]);
    }
}
