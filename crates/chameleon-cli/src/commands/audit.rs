//! `chameleon audit`: who did what, or was refused it, and from where.

use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use chameleon_client::Api;
use chameleon_model::{
    AuditId, AuditOutcome, AuditQuery, AuditRecord, AuditTarget, AuditVerdict, Key, Prefix,
    Timestamp,
};
use serde::Serialize;

use super::Moment;
use crate::args::AuditArgs;
use crate::screen::{Answer, Screen, Tone, harmless, trimmed};

#[derive(Serialize)]
struct Listing {
    records: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    at: Moment,
    who: String,
    dialect: String,
    peer: Option<String>,
    action: &'static str,
    target_kind: &'static str,
    target: String,
    outcome: &'static str,
    revision: Option<u64>,
    times: u64,
    detail: String,
    #[serde(skip)]
    shown: Shown,
}

/// What the columns of the table say.
struct Shown {
    target: AuditTarget,
    outcome: AuditOutcome,
}

impl From<AuditRecord> for Row {
    fn from(record: AuditRecord) -> Self {
        let (target_kind, target) = record.target.parts();
        Self {
            id: record.id.to_string(),
            at: record.at.into(),
            who: record.who,
            dialect: record.dialect,
            peer: record.peer.map(|peer| peer.to_string()),
            action: record.action.name(),
            target_kind,
            target,
            outcome: record.outcome.verdict.name(),
            revision: record.outcome.revision.map(|revision| revision.0),
            times: record.times,
            detail: record.detail,
            shown: Shown {
                target: record.target,
                outcome: record.outcome,
            },
        }
    }
}

impl Row {
    fn place(&self) -> String {
        let peer = self.peer.as_deref().unwrap_or_default();
        format!("{} {peer}", self.dialect).trim().to_owned()
    }

    fn what(&self) -> String {
        let what = format!("{} {}", spaced(self.action), self.shown.target);
        harmless(what.trim_end())
    }

    /// `committed at 12`, `refused, 340 times`, with the reason where there is one.
    fn outcome(&self, screen: Screen) -> String {
        let mut text = spaced(self.outcome);
        if let Some(revision) = self.revision {
            let _ = write!(text, " at {revision}");
        }
        if self.times > 1 {
            let _ = write!(text, ", {} times", self.times);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&harmless(&self.detail));
        }
        match self.shown.outcome.verdict {
            AuditVerdict::Refused | AuditVerdict::TurnedAway | AuditVerdict::Lost => {
                screen.paint(Tone::Bad, text)
            }
            _ => text,
        }
    }
}

/// A name as it reads in a sentence.
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

impl Answer for Listing {
    fn text(&self, screen: Screen) -> String {
        if self.records.is_empty() {
            return "no such record is kept".to_owned();
        }
        let mut table = screen.table(["at", "who", "from", "what", "outcome"]);
        for row in &self.records {
            table.add_row([
                row.at.to_string(),
                harmless(&row.who),
                harmless(&row.place()),
                row.what(),
                row.outcome(screen),
            ]);
        }
        trimmed(&table)
    }
}

/// Lists what was done and refused, newest first.
pub(crate) async fn run(api: &Api, args: AuditArgs, screen: Screen) -> anyhow::Result<()> {
    let query = query(args)?;
    let records = screen
        .waiting("asking for the audit", api.audit(query))
        .await?;
    screen.show(&Listing {
        records: records.into_iter().map(Row::from).collect(),
    })
}

fn query(args: AuditArgs) -> anyhow::Result<AuditQuery> {
    let since = match args.since {
        None => None,
        Some(age) => {
            Some((SystemTime::now().checked_sub(age)).context("`--since` reaches back too far")?)
        }
    };
    let key = args.key.as_deref().map(Key::new).transpose();
    let before = match args.before {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(AuditId(id)),
            Err(_) => bail!("`--before {id}` is no record's id; `--output json` tells them"),
        },
    };
    Ok(AuditQuery {
        who: args.who,
        key: key.context("`--key`")?,
        prefix: args.prefix.map(|prefix| Prefix::new(&prefix)),
        refused: args.refused.then_some(true),
        since: since.map(Timestamp::from),
        before,
        limit: args.limit,
    })
}
