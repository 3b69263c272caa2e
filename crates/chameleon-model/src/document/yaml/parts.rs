//! What a tree is built of while it is read.

use crate::document::fault::Position;
use crate::document::marks::Marks;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// A finished value with its size, for the bounds on aliases.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) marks: Marks,
    pub(super) nodes: usize,
    pub(super) height: usize,
}

/// A mapping or list whose end has not been seen.
pub(super) struct Open {
    pub(super) start: Position,
    pub(super) anchor: usize,
    pub(super) nodes: usize,
    pub(super) height: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Map {
        values: Map<String, Value>,
        marks: BTreeMap<String, Marks>,
        seen: HashMap<String, Seen>,
        key: Key,
    },
    List {
        values: Vec<Value>,
        marks: Vec<Marks>,
    },
}

pub(super) struct Seen {
    pub(super) spelling: String,
    pub(super) line: u32,
}

/// What the next value of a mapping belongs to.
pub(super) enum Key {
    Awaited,
    Named {
        name: String,
        position: Position,
    },
    /// The name was refused: its value is read for faults and dropped.
    Refused,
}

impl Node {
    pub(super) fn of(value: Value, marks: Marks) -> Self {
        let nodes = 1 + value.as_str().map_or(0, extra_nodes);
        Self {
            value,
            marks,
            nodes,
            height: 0,
        }
    }
}

/// How much a text counts beyond its one value: aliases must not multiply long texts either.
pub(super) fn extra_nodes(text: &str) -> usize {
    text.len() / 64
}
