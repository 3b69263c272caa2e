//! `chameleon put`: write the value of a key.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use chameleon_client::Api;
use chameleon_model::{Key, Operation, Origin, Transaction};

use super::author;
use super::written::{self, Act};
use crate::args::PutArgs;
use crate::screen::Screen;

/// Writes the value and tells what became of it; a refusal is exit code 1.
pub(crate) async fn run(api: &Api, args: PutArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let key = Key::new(&args.key)?;
    let value = value_of(&args)?;
    let transaction = Transaction {
        preconditions: written::condition(&key, args.if_revision),
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
    let effects = screen
        .waiting("writing the key", api.commit_with_effects(transaction))
        .await?;
    written::show(Act::Write, &key, effects, screen)
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
