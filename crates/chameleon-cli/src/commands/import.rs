//! `chameleon import`: keys with their values from the text of `chameleon export`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::process::ExitCode;

use anyhow::Context as _;
use chameleon_client::{Api, CommitOutcome, Selection, State};
use chameleon_model::{Operation, Origin, Precondition, Prefix, Revision, Transaction};
use serde::Serialize;

use super::author;
use crate::args::ImportArgs;
use crate::dump::Dump;
use crate::screen::{Answer, Screen, Tone, harmless};

/// What one transaction takes at most: a quarter of what servers allow by default in bytes, and the
/// number of operations that they allow.
const TRANSACTION_BYTES: usize = 16 * 1024 * 1024;
const TRANSACTION_OPERATIONS: usize = 20_000;

/// What leads from the server's state to the file's.
#[derive(Default, Serialize)]
struct Plan {
    created: Vec<String>,
    changed: Vec<String>,
    deleted: Vec<String>,
    unchanged: usize,
    #[serde(skip)]
    operations: Vec<Operation>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Imported {
    Planned(Plan),
    Committed {
        created: usize,
        changed: usize,
        deleted: usize,
        unchanged: usize,
        transactions: usize,
        revision: u64,
    },
    Refused {
        committed: usize,
        transactions: usize,
        reasons: Vec<String>,
    },
}

impl Answer for Imported {
    fn text(&self, screen: Screen) -> String {
        match self {
            Self::Planned(plan) => {
                let listed = |sign: char, tone: Tone, keys: &[String]| {
                    let line =
                        |key: &String| screen.paint(tone, format!("{sign} {}", harmless(key)));
                    keys.iter().map(line).collect::<Vec<_>>()
                };
                let mut lines = listed('+', Tone::Good, &plan.created);
                lines.extend(listed('~', Tone::Strong, &plan.changed));
                lines.extend(listed('-', Tone::Bad, &plan.deleted));
                lines.push(format!(
                    "would create {}, change {} and delete {} keys; {} are so already",
                    plan.created.len(),
                    plan.changed.len(),
                    plan.deleted.len(),
                    plan.unchanged
                ));
                lines.join("\n")
            }
            Self::Committed {
                created,
                changed,
                deleted,
                unchanged,
                transactions,
                revision,
            } => {
                let done =
                    format!("created {created}, changed {changed} and deleted {deleted} keys");
                let done = screen.paint(Tone::Good, done);
                format!(
                    "{done} in {}, up to revision {revision}; {unchanged} were so already",
                    counted(*transactions)
                )
            }
            Self::Refused {
                committed,
                transactions,
                reasons,
            } => {
                let refused = screen.paint(Tone::Bad, "the import was refused");
                format!(
                    "{refused} after {committed} of {}:\n  {}\nrun it again: what is written \
                     already is left as it is",
                    counted(*transactions),
                    reasons.join("\n  ")
                )
            }
        }
    }
}

fn counted(transactions: usize) -> String {
    match transactions {
        1 => "1 transaction".to_owned(),
        count => format!("{count} transactions"),
    }
}

/// Brings the keys to what the file says, and tells what changed; a refusal is exit code 1.
///
/// Every transaction is refused if somebody else has changed something under the file's prefix since
/// the plan was made.
pub(crate) async fn run(api: &Api, args: ImportArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let dump = read(&args)?;
    let selection = Selection::prefix(dump.prefix.clone());
    let state = api.read(&selection, None);
    let state = screen.waiting("reading the keys", state).await?;
    let mut since = state.stamp.revision;
    let mut plan = Plan::new(state, &dump, args.replace);
    if args.dry_run {
        screen.show(&Imported::Planned(plan))?;
        return Ok(ExitCode::SUCCESS);
    }
    let groups = grouped(std::mem::take(&mut plan.operations));
    let transactions = groups.len();
    for (committed, operations) in groups.into_iter().enumerate() {
        let transaction = transaction(&dump.prefix, since, operations, &args.message);
        let commit = api.commit(transaction);
        match screen.waiting("writing the keys", commit).await? {
            CommitOutcome::Committed(stamp) | CommitOutcome::Unchanged(stamp) => {
                since = stamp.revision;
            }
            CommitOutcome::Refused { reasons, .. } => {
                screen.show(&Imported::Refused {
                    committed,
                    transactions,
                    reasons,
                })?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    screen.show(&Imported::Committed {
        created: plan.created.len(),
        changed: plan.changed.len(),
        deleted: plan.deleted.len(),
        unchanged: plan.unchanged,
        transactions,
        revision: since.0,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn read(args: &ImportArgs) -> anyhow::Result<Dump> {
    let Some(path) = &args.file else {
        return Dump::read(io::stdin().lock()).context("read standard input");
    };
    let what = || format!("read `{}`", path.display());
    let file = File::open(path).with_context(what)?;
    Dump::read(BufReader::new(file)).with_context(what)
}

impl Plan {
    /// `state` is all that the server has under the file's prefix; `replace` deletes of it what the
    /// file has not.
    fn new(state: State, dump: &Dump, replace: bool) -> Self {
        let mut plan = Self::default();
        let mut missing: BTreeMap<_, _> = (state.entries.into_iter())
            .map(|entry| (entry.key.clone(), entry))
            .collect();
        for (key, content) in &dump.entries {
            match missing.remove(key) {
                Some(held) if held.value == content.value && held.flags == content.flags => {
                    plan.unchanged += 1;
                    continue;
                }
                Some(_) => plan.changed.push(key.to_string()),
                None => plan.created.push(key.to_string()),
            }
            plan.operations.push(Operation::Put {
                key: key.clone(),
                value: content.value.clone(),
                flags: content.flags,
            });
        }
        if replace {
            for key in missing.into_keys() {
                plan.deleted.push(key.to_string());
                plan.operations.push(Operation::Delete { key });
            }
        }
        plan
    }
}

/// As few transactions as the bounds allow, in the order of the operations.
fn grouped(operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    let mut groups: Vec<Vec<Operation>> = Vec::new();
    let mut bytes = 0;
    for operation in operations {
        let size = match &operation {
            Operation::Put { key, value, .. } => key.as_str().len() + value.len(),
            _ => 0,
        };
        match groups.last_mut() {
            Some(group)
                if group.len() < TRANSACTION_OPERATIONS && bytes + size <= TRANSACTION_BYTES =>
            {
                bytes += size;
                group.push(operation);
            }
            _ => {
                bytes = size;
                groups.push(vec![operation]);
            }
        }
    }
    groups
}

fn transaction(
    prefix: &Prefix,
    since: Revision,
    operations: Vec<Operation>,
    message: &str,
) -> Transaction {
    Transaction {
        preconditions: vec![Precondition::Unchanged {
            prefix: prefix.clone(),
            since,
        }],
        operations,
        origin: Origin {
            author: author(),
            message: message.to_owned(),
            ..Origin::default()
        },
        ..Transaction::default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chameleon_model::Key;

    use super::*;

    #[test]
    fn transactions_are_as_few_as_the_bounds_allow() {
        let put = |number: usize, bytes: usize| Operation::Put {
            key: Key::new(&format!("k{number}")).unwrap(),
            value: Bytes::from(vec![0; bytes]),
            flags: 0,
        };
        let sizes = |operations| grouped(operations).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), [0; 0]);
        let small = (0..=TRANSACTION_OPERATIONS).map(|number| put(number, 1));
        assert_eq!(sizes(small.collect()), [TRANSACTION_OPERATIONS, 1]);
        let quarter = TRANSACTION_BYTES / 4;
        let large = (0..5).map(|number| put(number, quarter));
        // The keys have their bytes too.
        assert_eq!(sizes(large.collect()), [3, 2]);
        assert_eq!(
            sizes(vec![put(0, 2 * TRANSACTION_BYTES), put(1, 1)]),
            [1, 1]
        );
    }
}
