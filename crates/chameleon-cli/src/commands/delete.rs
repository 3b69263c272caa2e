//! `chameleon delete`: remove a key.

use std::process::ExitCode;

use chameleon_client::Api;
use chameleon_model::{Key, Operation, Origin, Transaction};

use super::author;
use super::written::{self, Act};
use crate::args::DeleteArgs;
use crate::screen::Screen;

/// Deletes the key and tells what became of it; a refusal is exit code 1.
pub(crate) async fn run(api: &Api, args: DeleteArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let key = Key::new(&args.key)?;
    let transaction = Transaction {
        preconditions: written::condition(&key, args.if_revision),
        operations: vec![Operation::Delete { key: key.clone() }],
        origin: Origin {
            author: author(),
            message: args.message,
            ..Origin::default()
        },
        ..Transaction::default()
    };
    let effects = screen
        .waiting("deleting the key", api.commit_with_effects(transaction))
        .await?;
    written::show(Act::Delete, &key, effects, screen)
}
