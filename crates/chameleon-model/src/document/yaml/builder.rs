//! Builds the tree and its positions from the parser's events, and collects what is refused.

use super::parts::{Key, Kind, Node, Open, Seen, extra_nodes};
use super::{MAX_ALIASED_NODES, MAX_DEPTH, count};
use crate::document::fault::{Fault, Position};
use crate::document::marks::{Children, Marks};
use crate::document::name::canonical;
use crate::document::path::Path;
use crate::document::scalar;
use saphyr_parser::{Event, Marker, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// Keeps on building after a fault, so that one reading shows all of them.
pub(super) struct Builder<'a> {
    file: &'a str,
    faults: Vec<Fault>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

type Flow = ControlFlow<()>;
const GO_ON: Flow = Flow::Continue(());

impl<'a> Builder<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self {
            file,
            faults: Vec::new(),
            open: Vec::new(),
            root: None,
            documents: 0,
            anchors: HashMap::new(),
            aliased: 0,
        }
    }

    /// Takes the next event; breaks when going on makes no sense.
    pub(super) fn accept(&mut self, event: Event<'_>, marker: Marker) -> Flow {
        let position = position(marker);
        match event {
            Event::DocumentStart(_) => return self.start_document(position),
            Event::Alias(anchor) => return self.alias(anchor, position),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), position);
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", position);
                let kind = Kind::Map {
                    values: Map::new(),
                    marks: BTreeMap::new(),
                    seen: HashMap::new(),
                    key: Key::Awaited,
                };
                return self.start(kind, anchor, position);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", position);
                return self.start(
                    Kind::List {
                        values: Vec::new(),
                        marks: Vec::new(),
                    },
                    anchor,
                    position,
                );
            }
            Event::MappingEnd | Event::SequenceEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        GO_ON
    }

    pub(super) fn syntax_error(&mut self, marker: Marker, info: &str) {
        self.fault_at(
            position(marker),
            format!("is not YAML: {info}; correct the syntax"),
        );
    }

    /// Returns the finished tree, whose top is a mapping, or everything that was refused.
    pub(super) fn finish(mut self) -> Result<(Value, Marks), Vec<Fault>> {
        let empty = Node::of(Value::Null, Marks::scalar(Position::START));
        let mut root = self.root.take().unwrap_or(empty);
        match root.value {
            Value::Object(_) => {}
            Value::Null => {
                root.value = Value::Object(Map::new());
                root.marks.children = Children::Map(BTreeMap::new());
            }
            _ if self.faults.is_empty() => {
                let reason = "the top level must be a mapping; write `name: value` lines";
                self.fault_at(root.marks.value, reason);
            }
            _ => {}
        }
        if self.faults.is_empty() {
            Ok((root.value, root.marks))
        } else {
            Err(self.faults)
        }
    }

    fn start_document(&mut self, position: Position) -> Flow {
        self.documents += 1;
        if self.documents == 1 {
            return GO_ON;
        }
        self.fault_at(
            position,
            "a second document starts here; keep one document per file",
        );
        Flow::Break(())
    }

    fn start(&mut self, kind: Kind, anchor: usize, position: Position) -> Flow {
        if self.awaits_key() {
            self.fault_at(
                position,
                "a name must be text, not a mapping or a list; quote it",
            );
        }
        if self.open.len() >= MAX_DEPTH {
            self.fault_at(
                position,
                format!("is nested deeper than {MAX_DEPTH} levels; flatten it"),
            );
            return Flow::Break(());
        }
        self.open.push(Open {
            start: position,
            anchor,
            nodes: 1,
            height: 1,
            kind,
        });
        GO_ON
    }

    fn end(&mut self) {
        let open = self
            .open
            .pop()
            .expect("the parser ends only what it has started");
        let (value, children) = match open.kind {
            Kind::Map { values, marks, .. } => (Value::Object(values), Children::Map(marks)),
            Kind::List { values, marks } => (Value::Array(values), Children::List(marks)),
        };
        let marks = Marks {
            children,
            ..Marks::scalar(open.start)
        };
        self.complete(
            Node {
                value,
                marks,
                nodes: open.nodes,
                height: open.height,
            },
            open.anchor,
        );
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Flow {
        if self.awaits_key() {
            self.fault_at(position, "a name must be text, not an alias; write it out");
            self.refuse_key();
            return GO_ON;
        }
        // An anchor is registered at its value's end, so one that is not there yet is around us.
        let Some(node) = self.anchors.get(&anchor) else {
            self.fault_at(
                position,
                "an alias stands inside the value it names; write it out",
            );
            return Flow::Break(());
        };
        self.aliased += node.nodes;
        if self.aliased > MAX_ALIASED_NODES {
            let reason =
                format!("aliases add more than {MAX_ALIASED_NODES} values; write less by alias");
            self.fault_at(position, reason);
            return Flow::Break(());
        }
        if self.open.len() + node.height > MAX_DEPTH {
            self.fault_at(
                position,
                format!("is nested deeper than {MAX_DEPTH} levels; flatten it"),
            );
            return Flow::Break(());
        }
        let mut node = node.clone();
        node.marks.value = position;
        self.complete(node, 0);
        GO_ON
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        position: Position,
    ) {
        let typed = self.typed(text, style, tag, position);
        if self.awaits_key() {
            match typed {
                Some(Value::String(name)) => self.name(name, position),
                Some(_) => {
                    self.fault_at(position, format!("the name `{text}` is not text; quote it"));
                    self.refuse_key();
                }
                None => self.refuse_key(),
            }
            return;
        }
        let node = Node::of(typed.unwrap_or(Value::Null), Marks::scalar(position));
        self.complete(node, anchor);
    }

    /// Types a scalar; `None` if it was refused.
    fn typed(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        position: Position,
    ) -> Option<Value> {
        let natural = if style == ScalarStyle::Plain {
            scalar::plain(text)
        } else {
            Ok(Value::from(text))
        };
        let Some(tag) = tag else {
            return natural
                .map_err(|refusal| self.fault_at(position, refusal.of(text)))
                .ok();
        };
        // A quoted text with a tag such as `!!int` is typed as if it were plain.
        let wanted = if tag.is_yaml_core_schema() {
            tag.suffix.as_str()
        } else {
            ""
        };
        let value = match (wanted, scalar::plain(text)) {
            ("str", _) => Some(Value::from(text)),
            ("int", Ok(value)) if value.is_i64() || value.is_u64() => Some(value),
            ("float", Ok(value)) if value.is_f64() => Some(value),
            ("bool", Ok(value)) if value.is_boolean() => Some(value),
            ("null", Ok(value)) if value.is_null() => Some(value),
            ("int" | "float" | "bool" | "null", _) => {
                self.fault_at(
                    position,
                    format!("`{text}` is not what its tag `!!{wanted}` says; drop the tag"),
                );
                return None;
            }
            _ => None,
        };
        if value.is_none() {
            self.refuse_tag(tag, position);
        }
        value
    }

    fn check_tag(&mut self, tag: Option<&Tag>, own: &str, position: Position) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() || tag.suffix != own) {
            self.refuse_tag(tag, position);
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, position: Position) {
        let name = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            tag.to_string()
        };
        self.fault_at(
            position,
            format!("the tag `{name}` is not read here; leave it out"),
        );
    }

    /// Takes the name of a mapping's next value.
    fn name(&mut self, name: String, position: Position) {
        let Some(Open {
            kind: Kind::Map { seen, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            unreachable!("a name is awaited in mappings only");
        };
        let reason = match seen.get(canonical(&name).as_ref()) {
            None => {
                let spelling = name.clone();
                seen.insert(
                    canonical(&name).into_owned(),
                    Seen {
                        spelling,
                        line: position.line,
                    },
                );
                *key = Key::Named { name, position };
                return;
            }
            Some(first) if first.spelling == name => {
                format!(
                    "`{name}` is written twice, first in line {}; keep one",
                    first.line
                )
            }
            Some(Seen { spelling, line }) => {
                format!("`{name}` and `{spelling}` in line {line} are the same name; keep one")
            }
        };
        *key = Key::Refused;
        self.fault_at(position, reason);
    }

    /// Puts a finished value where it belongs.
    fn complete(&mut self, mut node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.nodes += node.nodes;
        open.height = open.height.max(node.height + 1);
        match &mut open.kind {
            Kind::List { values, marks } => {
                values.push(node.value);
                marks.push(node.marks);
            }
            Kind::Map {
                values, marks, key, ..
            } => {
                let before = std::mem::replace(key, Key::Awaited);
                match before {
                    Key::Named { name, position } => {
                        open.nodes += extra_nodes(&name);
                        node.marks.key = Some(position);
                        marks.insert(name.clone(), node.marks);
                        values.insert(name, node.value);
                    }
                    Key::Refused => {}
                    // This was a mapping or a list in the place of a name.
                    Key::Awaited => *key = Key::Refused,
                }
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                kind: Kind::Map {
                    key: Key::Awaited,
                    ..
                },
                ..
            })
        )
    }

    fn refuse_key(&mut self) {
        if let Some(Open {
            kind: Kind::Map { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Key::Refused;
        }
    }

    fn path(&self) -> Path {
        self.open
            .iter()
            .fold(Path::root(), |path, open| match &open.kind {
                Kind::List { values, .. } => path.index(values.len()),
                Kind::Map {
                    key: Key::Named { name, .. },
                    ..
                } => path.name(name),
                Kind::Map { .. } => path,
            })
    }

    fn fault_at(&mut self, position: Position, reason: impl Into<String>) {
        let fault = Fault::at(self.file, position, self.path(), reason);
        self.faults.push(fault);
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: count(marker.line()),
        column: count(marker.col() + 1),
    }
}
