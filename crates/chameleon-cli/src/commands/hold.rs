//! `chameleon hold` and `chameleon release`: keys that stay as they are against git.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use bytes::Bytes;
use chameleon_client::{Api, CommitEffects, CommitOutcome, HeldKey, Selection};
use chameleon_model::{Hold, Key, Operation, Origin, Timestamp, Transaction};
use serde::Serialize;

use super::{Moment, Target, author};
use crate::args::{HoldArgs, ReleaseArgs};
use crate::patch;
use crate::screen::{Answer, Screen, Tone, harmless, print, trimmed};
use crate::shell::word;

/// How many keys one call of the server names at most.
const NAMED: usize = 500;

/// A key's value right now; `None` if it does not exist.
type Live = BTreeMap<Key, Bytes>;

#[derive(Serialize)]
struct Holds {
    holds: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    key: String,
    source: String,
    author: String,
    reason: String,
    since: Moment,
    expires: Moment,
    expired: bool,
    revision: u64,
    live: State,
    #[serde(skip)]
    age: Duration,
    /// Until it expires, or since then.
    #[serde(skip)]
    left: Duration,
}

/// How what is live differs from git.
#[derive(Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum State {
    AsInGit,
    Changed,
    Deleted,
}

impl Item {
    fn new(hold: &Hold, live: &Live, now: Timestamp) -> Self {
        let expired = hold.is_expired(now);
        let value = live.get(&hold.key);
        Self {
            key: hold.key.to_string(),
            source: hold.source.to_string(),
            author: hold.author.clone(),
            reason: hold.reason.clone(),
            since: hold.since.into(),
            expires: hold.expires.into(),
            expired,
            revision: hold.revision.0,
            live: match (value, hold.git.as_ref().map(|git| &git.value)) {
                (live, git) if live == git => State::AsInGit,
                (Some(_), _) => State::Changed,
                (None, _) => State::Deleted,
            },
            age: hold.since.until(now),
            left: if expired {
                hold.expires.until(now)
            } else {
                now.until(hold.expires)
            },
        }
    }
}

impl Answer for Holds {
    fn text(&self, screen: Screen) -> String {
        if self.holds.is_empty() {
            return "no key is held".to_owned();
        }
        let mut table = screen.table(["key", "live", "by", "for", "why", "expires"]);
        for hold in &self.holds {
            let left = coarse(hold.left);
            table.add_row([
                harmless(&hold.key),
                match hold.live {
                    State::AsInGit => "as in git".to_owned(),
                    State::Changed => "changed".to_owned(),
                    State::Deleted => "deleted".to_owned(),
                },
                harmless(&hold.author),
                coarse(hold.age),
                harmless(hold.reason.lines().next().unwrap_or_default()),
                if hold.expired {
                    screen.paint(Tone::Bad, format!("expired {left} ago, still in force"))
                } else {
                    format!("in {left}")
                },
            ]);
        }
        trimmed(&table)
    }
}

/// To the minute, once there is one.
fn coarse(time: Duration) -> String {
    let seconds = match time.as_secs() {
        seconds @ 0..60 => seconds,
        seconds => seconds / 60 * 60,
    };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Done {
    Held { keys: Vec<HeldUntil>, revision: u64 },
    Released { keys: Vec<String>, revision: u64 },
    Refused { reasons: Vec<String> },
}

/// A hold that a command has put.
#[derive(Serialize)]
pub(super) struct HeldUntil {
    key: String,
    source: String,
    until: Moment,
}

impl From<HeldKey> for HeldUntil {
    fn from(held: HeldKey) -> Self {
        Self {
            key: held.key.to_string(),
            source: held.source.to_string(),
            until: held.expires.into(),
        }
    }
}

impl HeldUntil {
    /// What it means, for people.
    pub(super) fn line(&self) -> String {
        let (key, source, until) = (harmless(&self.key), harmless(&self.source), self.until);
        format!(
            "`{key}` is held against source `{source}`: pushes do not reach it. It expires at {until}, \
             and stays in force until `chameleon release {}` or a commit that changes its file",
            word(&key)
        )
    }
}

impl Answer for Done {
    fn text(&self, screen: Screen) -> String {
        match self {
            Self::Held { keys, .. } => {
                let lines: Vec<_> = keys.iter().map(HeldUntil::line).collect();
                lines.join("\n")
            }
            Self::Released { keys, revision } => {
                let keys: Vec<_> = (keys.iter())
                    .map(|key| format!("`{}`", harmless(key)))
                    .collect();
                let done = format!(
                    "released {}: what git has is live as revision {revision}",
                    keys.join(", ")
                );
                screen.paint(Tone::Good, done)
            }
            Self::Refused { reasons } => {
                let refused = screen.paint(Tone::Bad, "refused, and nothing was changed:");
                format!("{refused}\n  {}", reasons.join("\n  "))
            }
        }
    }
}

/// Lists what is held, holds keys, or prints the patch that brings git to what is live.
pub(crate) async fn run(api: &Api, args: HoldArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let keys = parsed(&args.keys)?;
    if args.as_commit {
        return as_commit(api, &keys, &args.folder, screen).await;
    }
    if keys.is_empty() {
        let holds = screen.waiting("asking for the holds", api.holds()).await?;
        let live = screen
            .waiting("reading the keys", live(api, &holds))
            .await?;
        let now = SystemTime::now().into();
        let items = holds.iter().map(|hold| Item::new(hold, &live, now));
        screen.show(&Holds {
            holds: items.collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let operations = keys.into_iter().map(|key| Operation::Hold { key });
    let mut transaction = transaction(operations, args.reason);
    transaction.hold_for = args.hold_for;
    let commit = api.commit_with_effects(transaction);
    let effects = screen.waiting("holding the keys", commit).await?;
    finish(effects, screen, |revision, held| Done::Held {
        keys: held.into_iter().map(HeldUntil::from).collect(),
        revision,
    })
}

/// Ends holds, and has what git has put back.
pub(crate) async fn release(
    api: &Api,
    args: ReleaseArgs,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let keys = held_at(api, &args.keys, screen).await?;
    let names = keys.iter().map(ToString::to_string).collect();
    let operations = keys.into_iter().map(|key| Operation::Release { key });
    let commit = api.commit_with_effects(transaction(operations, args.reason));
    let effects = screen.waiting("releasing the keys", commit).await?;
    finish(effects, screen, |revision, _| Done::Released {
        keys: names,
        revision,
    })
}

/// The keys that are named, and all held ones under the prefixes that are.
async fn held_at(api: &Api, names: &[String], screen: Screen) -> anyhow::Result<BTreeSet<Key>> {
    let mut keys = BTreeSet::new();
    let mut holds = None;
    for name in names {
        let prefix = match Target::parse(name)? {
            Target::Key(key) => {
                keys.insert(key);
                continue;
            }
            Target::Prefix(prefix) => prefix,
        };
        if holds.is_none() {
            holds = Some(screen.waiting("asking for the holds", api.holds()).await?);
        }
        let under = (holds.iter().flatten()).filter(|hold| prefix.covers(&hold.key));
        let before = keys.len();
        keys.extend(under.map(|hold| hold.key.clone()));
        if keys.len() == before {
            bail!("no key under `{prefix}` is held; `chameleon hold` lists the keys that are");
        }
    }
    Ok(keys)
}

fn parsed(keys: &[String]) -> anyhow::Result<Vec<Key>> {
    let keys = keys.iter().map(|key| Ok(Key::new(key)?));
    keys.collect()
}

fn transaction(operations: impl Iterator<Item = Operation>, reason: String) -> Transaction {
    Transaction {
        operations: operations.collect(),
        origin: Origin {
            author: author(),
            message: reason,
            ..Origin::default()
        },
        ..Transaction::default()
    }
}

/// A refusal is exit code 1.
fn finish(
    effects: CommitEffects,
    screen: Screen,
    done: impl FnOnce(u64, Vec<HeldKey>) -> Done,
) -> anyhow::Result<ExitCode> {
    let (done, code) = match effects.outcome {
        CommitOutcome::Committed(stamp) | CommitOutcome::Unchanged(stamp) => {
            (done(stamp.revision.0, effects.held), ExitCode::SUCCESS)
        }
        CommitOutcome::Refused { reasons, .. } => (Done::Refused { reasons }, ExitCode::FAILURE),
    };
    screen.show(&done)?;
    Ok(code)
}

/// What is live at the held keys.
async fn live(api: &Api, holds: &[Hold]) -> anyhow::Result<Live> {
    let mut live = Live::new();
    for holds in holds.chunks(NAMED) {
        let selection = Selection {
            keys: holds.iter().map(|hold| hold.key.clone()).collect(),
            prefixes: Vec::new(),
        };
        let state = api.read(&selection, None).await?;
        live.extend((state.entries.into_iter()).map(|entry| (entry.key, entry.value)));
    }
    Ok(live)
}

async fn as_commit(
    api: &Api,
    keys: &[Key],
    folder: &str,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let mut holds = screen.waiting("asking for the holds", api.holds()).await?;
    if let Some(key) = (keys.iter()).find(|key| holds.iter().all(|hold| hold.key != **key)) {
        bail!("key `{key}` is not held; `chameleon hold` lists the keys that are");
    }
    holds.retain(|hold| keys.is_empty() || keys.contains(&hold.key));
    let live = screen
        .waiting("reading the keys", live(api, &holds))
        .await?;
    holds.retain(|hold| live.get(&hold.key) != hold.git.as_ref().map(|git| &git.value));
    let Some(first) = holds.first() else {
        bail!("git has what is live already; there is nothing to commit");
    };
    if let Some(other) = holds.iter().find(|hold| hold.source != first.source) {
        bail!(
            "the held keys are of several sources, such as `{}` and `{}`; name the keys of one",
            first.source,
            other.source
        );
    }
    let patch = patch::of(&holds, &live, folder)?;
    print(patch.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
