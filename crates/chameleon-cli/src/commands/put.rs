//! `chameleon put`: write the value of a key.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use chameleon_client::{Api, CommitOutcome};
use chameleon_model::{Key, Operation, Origin, Precondition, Revision, Stamp, Transaction};
use serde::Serialize;

use super::author;
use super::hold::HeldUntil;
use crate::args::PutArgs;
use crate::screen::{Answer, Screen, Tone};

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Written {
    Committed {
        key: String,
        revision: u64,
        /// Absent if no git source owns the key.
        #[serde(skip_serializing_if = "Option::is_none")]
        held: Option<HeldUntil>,
    },
    Unchanged {
        key: String,
        revision: u64,
    },
    Refused {
        key: String,
        reasons: Vec<String>,
    },
}

impl Answer for Written {
    fn text(&self, screen: Screen) -> String {
        match self {
            Self::Committed {
                key,
                revision,
                held,
            } => {
                let wrote = format!("wrote `{key}` as revision {revision}");
                let wrote = screen.paint(Tone::Good, wrote);
                match held {
                    Some(held) => format!("{wrote}\n{}", held.line()),
                    None => wrote,
                }
            }
            Self::Unchanged { key, revision } => {
                format!("`{key}` was so already at revision {revision}")
            }
            Self::Refused { key, reasons } => {
                let refused = screen.paint(Tone::Bad, format!("refused to write `{key}`:"));
                format!("{refused}\n  {}", reasons.join("\n  "))
            }
        }
    }
}

/// Writes the value and tells what became of it; a refusal is exit code 1.
pub(crate) async fn run(api: &Api, args: PutArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let key = Key::new(&args.key)?;
    let value = value_of(&args)?;
    let precondition = args.if_revision.map(|revision| match revision {
        0 => Precondition::Absent { key: key.clone() },
        n => Precondition::AtRevision {
            key: key.clone(),
            revision: Revision(n),
        },
    });
    let transaction = Transaction {
        preconditions: precondition.into_iter().collect(),
        operations: vec![Operation::Put {
            key: key.clone(),
            value,
            flags: 0,
        }],
        origin: Origin {
            author: author(),
            message: args.message,
            ..Origin::default()
        },
        ..Transaction::default()
    };
    let key = key.to_string();
    let at = |stamp: Stamp| stamp.revision.0;
    let commit = api.commit_with_effects(transaction);
    let effects = screen.waiting("writing the key", commit).await?;
    let (written, code) = match effects.outcome {
        CommitOutcome::Committed(stamp) => {
            let written = Written::Committed {
                key,
                revision: at(stamp),
                held: effects.held.into_iter().next().map(HeldUntil::from),
            };
            (written, ExitCode::SUCCESS)
        }
        CommitOutcome::Unchanged(stamp) => {
            let revision = at(stamp);
            (Written::Unchanged { key, revision }, ExitCode::SUCCESS)
        }
        CommitOutcome::Refused { reasons, .. } => {
            (Written::Refused { key, reasons }, ExitCode::FAILURE)
        }
    };
    screen.show(&written)?;
    Ok(code)
}

fn value_of(args: &PutArgs) -> anyhow::Result<Bytes> {
    if let Some(value) = &args.value {
        return Ok(Bytes::from(value.clone()));
    }
    if let Some(file) = &args.file {
        let bytes = std::fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
        return Ok(bytes.into());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("read the value from standard input")?;
    Ok(bytes.into())
}
