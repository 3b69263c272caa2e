//! `chameleon rollback`: bring keys to how they were, as one new change.

use std::process::ExitCode;

use chameleon_client::{Api, CommitOutcome, KeyChange};
use chameleon_model::{Origin, Revision};
use serde::Serialize;

use super::diff::Differences;
use super::hold::HeldUntil;
use super::{Target, author};
use crate::args::RollbackArgs;
use crate::screen::{Answer, Screen, Tone, harmless};

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum RolledBack {
    Committed {
        to: u64,
        revision: u64,
        changed: u64,
        changes: Vec<Changed>,
        /// Keys of git sources, which are held now.
        held: Vec<HeldUntil>,
    },
    Unchanged {
        to: u64,
        revision: u64,
    },
    Refused {
        to: u64,
        reasons: Vec<String>,
    },
}

#[derive(Serialize)]
struct Changed {
    key: String,
    deleted: bool,
}

impl From<KeyChange> for Changed {
    fn from(change: KeyChange) -> Self {
        Self {
            key: change.key.to_string(),
            deleted: change.deleted,
        }
    }
}

impl Answer for RolledBack {
    fn text(&self, screen: Screen) -> String {
        match self {
            Self::Committed {
                to,
                revision,
                changed,
                changes,
                held,
            } => {
                let line = |change: &Changed| {
                    let (sign, tone) = if change.deleted {
                        ('-', Tone::Bad)
                    } else {
                        ('~', Tone::Strong)
                    };
                    screen.paint(tone, format!("{sign} {}", harmless(&change.key)))
                };
                let mut lines: Vec<_> = changes.iter().map(line).collect();
                if let Some(more @ 1..) = changed.checked_sub(changes.len() as u64) {
                    lines.push(format!("and {more} more"));
                }
                let done = format!("rolled back to revision {to} as revision {revision}");
                lines.push(screen.paint(Tone::Good, done));
                lines.extend(held.iter().map(HeldUntil::line));
                lines.join("\n")
            }
            Self::Unchanged { to, revision } => {
                format!("at revision {revision} it was as at revision {to} already")
            }
            Self::Refused { to, reasons } => {
                let refused = format!("refused to roll back to revision {to}:");
                let refused = screen.paint(Tone::Bad, refused);
                format!("{refused}\n  {}", reasons.join("\n  "))
            }
        }
    }
}

/// Rolls back and tells what changed; a refusal is exit code 1.
pub(crate) async fn run(api: &Api, args: RollbackArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let selection = Target::parse(args.key.as_deref().unwrap_or_default())?.selection();
    let to = Revision(args.revision);
    if args.dry_run {
        let compared = async {
            let newest = api.status().await?.head.revision;
            api.diff(newest, Some(to), &selection).await
        };
        let difference = screen.waiting("comparing", compared).await?;
        let of = args.key.as_deref().unwrap_or_default();
        screen.show(&Differences::new(of, difference))?;
        return Ok(ExitCode::SUCCESS);
    }
    let origin = Origin {
        author: author(),
        message: args.message,
        ..Origin::default()
    };
    let asked = api.roll_back(to, &selection, origin);
    let done = screen.waiting("rolling back", asked).await?;
    let to = to.0;
    let (told, code) = match done.effects.outcome {
        CommitOutcome::Committed(stamp) => {
            let told = RolledBack::Committed {
                to,
                revision: stamp.revision.0,
                changed: done.changed,
                changes: done.changes.into_iter().map(Into::into).collect(),
                held: done.effects.held.into_iter().map(Into::into).collect(),
            };
            (told, ExitCode::SUCCESS)
        }
        CommitOutcome::Unchanged(stamp) => {
            let revision = stamp.revision.0;
            (RolledBack::Unchanged { to, revision }, ExitCode::SUCCESS)
        }
        CommitOutcome::Refused { reasons, .. } => {
            (RolledBack::Refused { to, reasons }, ExitCode::FAILURE)
        }
    };
    screen.show(&told)?;
    Ok(code)
}
