//! `chameleon diff`: what differs between two revisions.

use chameleon_client::{Api, EntryDiff};
use chameleon_model::Revision;
use chameleon_model::document::line_diff;
use serde::Serialize;

use super::Target;
use crate::args::DiffArgs;
use crate::screen::{Answer, Screen, Tone, harmless};

/// How many lines around a change are shown.
const CONTEXT: usize = 2;

/// What differs between two states, key by key.
#[derive(Serialize)]
pub(super) struct Differences {
    /// The key or prefix that was compared; empty for all.
    of: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) keys: Vec<KeyDifference>,
}

/// How a key's value differs.
#[derive(Serialize)]
pub(super) struct KeyDifference {
    key: String,
    before: Side,
    after: Side,
}

/// A value at one of the two revisions.
#[derive(Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Side {
    Absent,
    Text { value: String },
    Binary { bytes: usize },
}

impl From<Option<bytes::Bytes>> for Side {
    fn from(value: Option<bytes::Bytes>) -> Self {
        let Some(value) = value else {
            return Self::Absent;
        };
        match std::str::from_utf8(&value) {
            Ok(text) => Self::Text {
                value: text.to_owned(),
            },
            Err(_) => Self::Binary { bytes: value.len() },
        }
    }
}

impl From<EntryDiff> for KeyDifference {
    fn from(entry: EntryDiff) -> Self {
        Self {
            key: entry.key.to_string(),
            before: entry.before.into(),
            after: entry.after.into(),
        }
    }
}

impl KeyDifference {
    /// Its lines for people, with secrets replaced.
    fn lines(&self, screen: Screen) -> Vec<String> {
        let (sign, tone) = match (&self.before, &self.after) {
            (Side::Absent, _) => ('+', Tone::Good),
            (_, Side::Absent) => ('-', Tone::Bad),
            _ => ('~', Tone::Strong),
        };
        let head = format!("{sign} {}", harmless(&self.key));
        let mut lines = vec![screen.paint(tone, head)];
        match (self.before.text(), self.after.text()) {
            (Some(before), Some(after)) if before == after && self.before == self.after => {
                lines.push("    the same value; its writer's number differs".to_owned());
            }
            (Some(before), Some(after)) => {
                for line in line_diff(before, after, CONTEXT).lines() {
                    let line = format!("    {}", harmless(line));
                    lines.push(match line.trim_start().chars().next() {
                        Some('+') => screen.paint(Tone::Good, line),
                        Some('-') => screen.paint(Tone::Bad, line),
                        _ => line,
                    });
                }
            }
            _ => lines.push("    not text".to_owned()),
        }
        lines
    }
}

impl Side {
    /// The value's text, none of it where it is absent; `None` if it is no text.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => Some(""),
            Self::Text { value } => Some(value),
            Self::Binary { .. } => None,
        }
    }
}

impl Answer for Differences {
    fn text(&self, screen: Screen) -> String {
        if self.keys.is_empty() {
            let (from, to) = (self.from, self.to);
            let same = format!("revisions {from} and {to} are the same");
            return match self.of.as_str() {
                "" => same,
                of => format!("{same} at `{}`", harmless(of)),
            };
        }
        let lines = self.keys.iter().flat_map(|key| key.lines(screen));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Differences {
    pub(super) fn new(of: &str, difference: chameleon_client::Difference) -> Self {
        Self {
            of: of.to_owned(),
            from: difference.from.revision.0,
            to: difference.to.revision.0,
            keys: difference.entries.into_iter().map(Into::into).collect(),
        }
    }
}

/// Tells what differs.
pub(crate) async fn run(api: &Api, args: &DiffArgs, screen: Screen) -> anyhow::Result<()> {
    let selection = Target::parse(&args.key)?.selection();
    let (from, to) = (Revision(args.from), args.to.map(Revision));
    let asked = api.diff(from, to, &selection);
    let difference = screen.waiting("comparing", asked).await?;
    screen.show(&Differences::new(&args.key, difference))
}
