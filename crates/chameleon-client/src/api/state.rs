//! Chunks of the wire become whole states, and whole states one mirror of what is watched.

use std::collections::BTreeMap;
use std::time::Duration;

use chameleon_model::{Entry, Key, Stamp};
use chameleon_proto::v1;
use tokio::time::Instant;

/// One whole state as it was sent: complete, or as the change of the one before.
#[derive(Clone, Debug)]
pub struct Update {
    /// The state's name.
    pub stamp: Stamp,
    /// The state that this one changes; `None` if `puts` is everything there is.
    pub base: Option<Stamp>,
    /// Entries that are new or have changed.
    pub puts: Vec<Entry>,
    /// Keys that are gone.
    pub deletes: Vec<Key>,
    /// When its last chunk arrived.
    pub arrived: Instant,
    /// For how long the server wants an outcome to be held back at most; zero if it does not say.
    pub(crate) outcome_within: Duration,
}

/// What a server sent against the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("a state without a stamp was sent")]
    NoStamp,
    #[error("a chunk of state {found} was sent before state {expected} was whole")]
    Mixed { expected: Stamp, found: Stamp },
    #[error("state {stamp} both puts and deletes key `{key}`")]
    Contradiction { stamp: Stamp, key: Key },
    #[error("the answer ended before state {0} was whole")]
    Partial(Stamp),
    #[error("the answer holds no state")]
    Empty,
    #[error("state {stamp} changes state {base}, which is not the held {}", or_none(*.held))]
    WrongBase {
        stamp: Stamp,
        base: Stamp,
        held: Option<Stamp>,
    },
    #[error(
        "state {stamp} is older than the held {held} and of no later epoch; the server lags behind, \
         or its store was replaced"
    )]
    Backwards { stamp: Stamp, held: Stamp },
    #[error(transparent)]
    Invalid(#[from] chameleon_proto::Invalid),
}

fn or_none(stamp: Option<Stamp>) -> String {
    stamp.map_or_else(|| "none".to_owned(), |stamp| stamp.to_string())
}

/// Collects the chunks of one state after the other.
#[derive(Debug, Default)]
pub(crate) struct Assembly(Option<Partial>);

#[derive(Debug)]
struct Partial {
    stamp: Stamp,
    base: Option<Stamp>,
    puts: Vec<Entry>,
    deletes: Vec<Key>,
}

impl Assembly {
    /// Takes the next chunk; returns the state once it is whole.
    pub(crate) fn push(&mut self, chunk: v1::State) -> Result<Option<Update>, Broken> {
        let stamp: Stamp = chunk.stamp.ok_or(Broken::NoStamp)?.into();
        let base: Option<Stamp> = chunk.base.map(Into::into);
        let partial = self.0.get_or_insert_with(|| Partial {
            stamp,
            base,
            puts: Vec::new(),
            deletes: Vec::new(),
        });
        if partial.stamp != stamp || partial.base != base {
            return Err(Broken::Mixed {
                expected: partial.stamp,
                found: stamp,
            });
        }
        for entry in chunk.puts {
            partial.puts.push(entry.try_into()?);
        }
        for key in chunk.deletes {
            partial.deletes.push(parse_key("state.deletes", &key)?);
        }
        if chunk.more {
            return Ok(None);
        }
        Ok(self.0.take().map(|whole| Update {
            stamp: whole.stamp,
            base: whole.base,
            puts: whole.puts,
            deletes: whole.deletes,
            arrived: Instant::now(),
            outcome_within: Duration::from_millis(chunk.outcome_within_ms.into()),
        }))
    }

    /// The stamp of the state that is not whole yet.
    pub(crate) fn unfinished(&self) -> Option<Stamp> {
        self.0.as_ref().map(|partial| partial.stamp)
    }
}

/// The watched entries as the server last sent them.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    stamp: Option<Stamp>,
    entries: BTreeMap<Key, Entry>,
}

impl Mirror {
    /// A mirror that has no entries, but refuses what is older than `stamp`.
    pub(crate) fn not_before(stamp: Option<Stamp>) -> Self {
        Self {
            stamp,
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Key, Entry> {
        &self.entries
    }

    /// Takes over a state; on an error nothing has changed.
    pub(crate) fn accept(&mut self, update: &Update) -> Result<(), Broken> {
        let stamp = update.stamp;
        if let Some(base) = update.base
            && self.stamp != Some(base)
        {
            return Err(Broken::WrongBase {
                stamp,
                base,
                held: self.stamp,
            });
        }
        if let Some(held) = self.stamp
            && held != stamp
            && !held.may_advance_to(stamp)
        {
            return Err(Broken::Backwards { stamp, held });
        }
        if let Some(key) = contradiction(update) {
            return Err(Broken::Contradiction { stamp, key });
        }
        if let Some(held) = self.stamp
            && stamp.revision < held.revision
        {
            tracing::warn!(
                held = %held,
                sent = %stamp,
                "the server has a new epoch and went back from {held} to {stamp}; following it"
            );
        }
        if update.base.is_none() {
            self.entries.clear();
        }
        for key in &update.deletes {
            self.entries.remove(key);
        }
        for entry in &update.puts {
            self.entries.insert(entry.key.clone(), entry.clone());
        }
        self.stamp = Some(stamp);
        Ok(())
    }
}

fn contradiction(update: &Update) -> Option<Key> {
    let is_put = |key: &&Key| update.puts.iter().any(|entry| entry.key == **key);
    update.deletes.iter().find(is_put).cloned()
}

/// Parses a key of an answer.
pub(crate) fn parse_key(field: &'static str, text: &str) -> Result<Key, chameleon_proto::Invalid> {
    Key::new(text).map_err(|error| chameleon_proto::Invalid {
        field,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
