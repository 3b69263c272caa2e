//! Takes out of free text what Postgres cannot store.
//!
//! Postgres refuses U+0000 in text. One such message would fail the whole group it is committed
//! in, so it is replaced before deciding; SQLite does the same, so that both keep the same.

use std::sync::Arc;

use chameleon_model::{CommitId, Operation, Origin, SourceUpdate, Transaction};

/// Stands for U+0000, as for any character that cannot be shown.
const REPLACEMENT: &str = "\u{fffd}";

pub(crate) fn transaction(transaction: &mut Transaction) {
    origin(&mut transaction.origin);
    if let Some(update) = &mut transaction.source {
        source(update);
    }
    for operation in &mut transaction.operations {
        if let Operation::OpenSession(session) = operation {
            text(&mut session.name);
        }
    }
}

fn origin(origin: &mut Origin) {
    text(&mut origin.author);
    text(&mut origin.message);
    text(&mut origin.via);
    if let Some(git) = &mut origin.git {
        text(&mut git.repository);
        text(&mut git.branch);
        commit(&mut git.commit);
    }
}

fn source(update: &mut SourceUpdate) {
    shared(&mut update.name.0);
    commit(&mut update.commit);
    update.expected.iter_mut().for_each(commit);
    update.profiles.iter_mut().for_each(text);
}

fn commit(id: &mut CommitId) {
    shared(&mut id.0);
}

/// A copy of `text` that every database can store.
pub(crate) fn cleaned(text: &str) -> String {
    text.replace('\0', REPLACEMENT)
}

pub(crate) fn text(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', REPLACEMENT);
    }
}

fn shared(text: &mut Arc<str>) {
    if text.contains('\0') {
        *text = text.replace('\0', REPLACEMENT).into();
    }
}
