//! What became of a change of one key, as `put` and `delete` tell it.

use std::process::ExitCode;

use chameleon_client::{CommitEffects, CommitOutcome};
use chameleon_model::{Key, Precondition, Revision};
use serde::Serialize;

use super::hold::HeldUntil;
use crate::screen::{Answer, Screen, Tone};

/// What was to be done with the key.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Write,
    Delete,
}

#[derive(Serialize)]
struct Written {
    #[serde(skip)]
    act: Act,
    key: String,
    #[serde(flatten)]
    outcome: Outcome,
    /// Absent if no git source owns the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldUntil>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    Committed { revision: u64 },
    Unchanged { revision: u64 },
    Refused { reasons: Vec<String> },
}

impl Answer for Written {
    fn text(&self, screen: Screen) -> String {
        let Self {
            act,
            key,
            outcome,
            held,
        } = self;
        match outcome {
            Outcome::Committed { revision } => {
                let done = match act {
                    Act::Write => "wrote",
                    Act::Delete => "deleted",
                };
                let done = format!("{done} `{key}` as revision {revision}");
                let done = screen.paint(Tone::Good, done);
                match held {
                    Some(held) => format!("{done}\n{}", held.line()),
                    None => done,
                }
            }
            Outcome::Unchanged { revision } => match act {
                Act::Write => format!("`{key}` was so already at revision {revision}"),
                Act::Delete => format!("there was no `{key}` at revision {revision}"),
            },
            Outcome::Refused { reasons } => {
                let what = match act {
                    Act::Write => "write",
                    Act::Delete => "delete",
                };
                let refused = screen.paint(Tone::Bad, format!("refused to {what} `{key}`:"));
                format!("{refused}\n  {}", reasons.join("\n  "))
            }
        }
    }
}

/// The condition that the key's last change is a revision; that it does not exist for 0.
pub(super) fn condition(key: &Key, revision: Option<u64>) -> Vec<Precondition> {
    (revision.into_iter())
        .map(|revision| Precondition::last_changed(key.clone(), Revision(revision)))
        .collect()
}

/// Tells what became of it, and that the key is held now; a refusal is exit code 1.
pub(super) fn show(
    act: Act,
    key: &Key,
    effects: CommitEffects,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let (outcome, code) = match effects.outcome {
        CommitOutcome::Committed(stamp) => {
            let revision = stamp.revision.0;
            (Outcome::Committed { revision }, ExitCode::SUCCESS)
        }
        CommitOutcome::Unchanged(stamp) => {
            let revision = stamp.revision.0;
            (Outcome::Unchanged { revision }, ExitCode::SUCCESS)
        }
        CommitOutcome::Refused { reasons, .. } => (Outcome::Refused { reasons }, ExitCode::FAILURE),
    };
    screen.show(&Written {
        act,
        key: key.to_string(),
        outcome,
        held: effects.held.into_iter().next().map(HeldUntil::from),
    })?;
    Ok(code)
}
