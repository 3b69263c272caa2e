//! Where the values of a tree stand: a second tree of the same shape.

use super::fault::Position;
use super::name::canonical;
use super::path::{Path, Segment};
use std::collections::BTreeMap;

/// The origin of one value, and of those inside it.
#[derive(Clone)]
pub(super) struct Marks {
    /// Index of the file among the document's files.
    pub(super) layer: u16,
    /// Where the value's name stands, if it has one.
    pub(super) key: Option<Position>,
    pub(super) value: Position,
    pub(super) filled: Option<Filled>,
    pub(super) children: Children,
}

#[derive(Clone)]
pub(super) enum Children {
    None,
    Map(BTreeMap<String, Marks>),
    List(Vec<Marks>),
}

/// How a placeholder shaped the value.
#[derive(Clone)]
pub(super) enum Filled {
    /// A scalar that was one placeholder; this is the text before it was typed as YAML.
    Typed(Box<str>),
    /// A text with placeholders inside, all known.
    Text,
    /// A scalar that is one placeholder without default: anything may stand here later.
    Open,
    /// A text with a placeholder without default inside: some text will stand here.
    OpenText,
}

impl Marks {
    pub(super) fn scalar(value: Position) -> Self {
        Self {
            layer: 0,
            key: None,
            value,
            filled: None,
            children: Children::None,
        }
    }

    /// Returns the position to show for this value: that of its name, else its own.
    pub(super) fn shown(&self) -> Position {
        self.key.unwrap_or(self.value)
    }

    fn child(&self, segment: &Segment) -> Option<&Marks> {
        match (&self.children, segment) {
            (Children::Map(children), Segment::Name(name)) => children.get(name).or_else(|| {
                let wanted = canonical(name);
                let found = children.iter().find(|(name, _)| canonical(name) == wanted);
                found.map(|(_, marks)| marks)
            }),
            (Children::List(children), Segment::Index(index)) => children.get(*index),
            _ => None,
        }
    }

    /// Returns the marks at `path`; names are compared canonically.
    pub(super) fn get(&self, path: &Path) -> Option<&Marks> {
        path.segments()
            .iter()
            .try_fold(self, |marks, segment| marks.child(segment))
    }

    /// Returns the marks at `path`, or of the nearest value around it.
    pub(super) fn nearest(&self, path: &Path) -> &Marks {
        let mut marks = self;
        for segment in path.segments() {
            let Some(child) = marks.child(segment) else {
                break;
            };
            marks = child;
        }
        marks
    }

    /// Assigns the whole tree to a layer.
    pub(super) fn set_layer(&mut self, layer: u16) {
        self.layer = layer;
        match &mut self.children {
            Children::None => {}
            Children::Map(children) => {
                for child in children.values_mut() {
                    child.set_layer(layer);
                }
            }
            Children::List(children) => {
                for child in children {
                    child.set_layer(layer);
                }
            }
        }
    }
}
