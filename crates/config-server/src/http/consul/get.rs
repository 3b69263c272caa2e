//! `GET /v1/kv/{key}`: one value, all under a prefix, or their names; at once or on a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use chameleon_model::{Entry, Key, Prefix, Revision, Right, Snapshot};

use super::answer::{EntryAnswer, Layout, encoded, json, not_found, raw, with_read_headers};
use super::blocking::Reading;
use super::error::Refused;
use super::query::{Query, Wait};
use super::{Face, admit, key_of};
use crate::app::access::Caller;
use crate::app::selection::Selection;

/// Set where a token narrows a list, as in Consul.
const FILTERED: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");
const YES: HeaderValue = HeaderValue::from_static("true");

/// What is asked for.
enum Target {
    One(Key, Form),
    Many(Many),
}

/// Everything under a prefix that the caller may read.
struct Many {
    prefix: Prefix,
    readable: Selection,
    list: List,
}

/// What of it is answered.
enum List {
    Entries,
    /// The names, up to a separator.
    Names(Option<String>),
}

/// How one value is answered.
enum Form {
    Entry,
    Raw,
}

pub(super) async fn get(face: &Face, request: Parts) -> Result<Response, Refused> {
    let Asked {
        caller,
        target,
        wait,
        consistent,
        layout,
    } = asked(face, &request)?;
    // Its buffer is as large as all else of a connection, and the next request may have it.
    drop(request);
    let reading = Reading {
        face,
        caller: &caller,
        wait,
        consistent,
    };
    let watch = |place| {
        let selection = Arc::new(target.selection());
        face.app.replica.hub().watch(selection, place)
    };
    let snapshot = reading.state(watch, |state| target.index(state)).await?;
    let index = target.index(&snapshot);
    let answer = target.answer(face, &snapshot, layout);
    let mut answer = with_read_headers(answer, face, index);
    if target.is_narrowed() {
        answer.headers_mut().insert(FILTERED, YES);
    }
    Ok(answer)
}

struct Asked {
    caller: Caller,
    target: Target,
    wait: Option<Wait>,
    consistent: bool,
    layout: Layout,
}

fn asked(face: &Face, request: &Parts) -> Result<Asked, Refused> {
    let query = Query::of(&request.uri);
    let caller = admit(face, &query, request)?;
    query.check_consistency()?;
    let target = Target::new(&caller, &key_of(&request.uri)?, &query)?;
    Ok(Asked {
        caller,
        target,
        wait: query.wait()?,
        consistent: query.is_consistent(),
        layout: query.layout(),
    })
}

impl Target {
    fn new(caller: &Caller, key: &str, query: &Query<'_>) -> Result<Self, Refused> {
        let list = |list| -> Result<Self, Refused> {
            let prefix = Prefix::new(key);
            Ok(Self::Many(Many {
                readable: caller.readable(prefix.clone())?,
                prefix,
                list,
            }))
        };
        if query.has("keys") {
            let separator = query.text("separator").or_else(|| query.text("seperator"));
            return list(List::Names(separator.map(str::to_owned)));
        }
        if query.has("recurse") {
            return list(List::Entries);
        }
        if key.is_empty() {
            return Err(Refused::bad("Missing key name"));
        }
        let key = Key::new(key).map_err(|error| Refused::bad(error.to_string()))?;
        caller.may(Right::Read, &key)?;
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
            Self::Many(many) => many.readable.clone(),
        }
    }

    fn index(&self, snapshot: &Snapshot) -> Revision {
        match self {
            Self::One(key, _) => snapshot.index_of(key.as_str()),
            Self::Many(many) => many.readable.index(snapshot),
        }
    }

    /// Says whether something that is asked for may be hidden.
    fn is_narrowed(&self) -> bool {
        match self {
            Self::One(..) => false,
            Self::Many(many) => many.readable != Selection::prefix(many.prefix.clone()),
        }
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
            Self::Many(many) => many.answer(snapshot, layout),
        }
    }
}

impl Many {
    fn answer(&self, snapshot: &Snapshot, layout: Layout) -> Response {
        match &self.list {
            List::Entries => {
                let mut entries: Vec<&Arc<Entry>> = self.readable.entries(snapshot).collect();
                // They come from several places where not all may be read.
                entries.sort_by(|one, other| one.key.cmp(&other.key));
                if entries.is_empty() {
                    return not_found();
                }
                let entries: Vec<_> = entries.into_iter().map(EntryAnswer::from).collect();
                json(layout, &entries)
            }
            List::Names(separator) => {
                let prefix = self.prefix.as_str();
                let keys = (self.readable.entries(snapshot)).map(|entry| entry.key.as_str());
                let names = names(keys, prefix, separator.as_deref());
                if names.is_empty() && !prefix.is_empty() {
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
