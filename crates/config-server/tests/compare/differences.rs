//! docs/reference/consul-differences.md: the differences that are meant, each with its reason.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::script;
use crate::seen::Seen;

const PAGE: &str = "../../docs/reference/consul-differences.md";
/// The longest text of an answer that a cell holds.
const MAX_CELL: usize = 90;

/// One part of one answer that is not the same. Equal if nothing but the reason differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// `script/step`
    request: String,
    part: String,
    consul: String,
    ours: String,
}

/// The page as it is checked in.
pub(crate) struct Page {
    rows: Vec<(Difference, String)>,
    reasons: BTreeSet<String>,
    malformed: Vec<String>,
}

/// Everything that differs between two runs of the script `name`.
pub(crate) fn between(name: &str, consul: &[Seen], ours: &[Seen]) -> Vec<Difference> {
    assert_eq!(consul.len(), ours.len(), "both answered every step");
    let mut found = Vec::new();
    for (consul, ours) in consul.iter().zip(ours) {
        let lacking = consul.parts.get(script::UNCAPTURED);
        assert_eq!(lacking, None, "{name}/{}: the script is wrong", consul.name);
        let parts: BTreeSet<&String> = consul.parts.keys().chain(ours.parts.keys()).collect();
        for part in parts {
            let [theirs, own] = [consul, ours].map(|seen| seen.parts.get(part));
            if theirs != own {
                let [theirs, own] = [theirs, own].map(|text| cell(text.map(String::as_str)));
                let (consul_text, ours_text) = if theirs == own {
                    // The cells cut off what differs.
                    around(&consul.parts[part], &ours.parts[part])
                } else {
                    (theirs, own)
                };
                found.push(Difference {
                    request: format!("{name}/{}", consul.name),
                    part: part.clone(),
                    consul: consul_text,
                    ours: ours_text,
                });
            }
        }
    }
    found
}

/// Both texts from shortly before the first place where they differ.
fn around(first: &str, second: &str) -> (String, String) {
    let common = (first.chars().zip(second.chars())).take_while(|(one, other)| one == other);
    let skipped = common.count().saturating_sub(20);
    let from = |text: &str| {
        cell(Some(&format!(
            "…{}",
            text.chars().skip(skipped).collect::<String>()
        )))
    };
    (from(first), from(second))
}

fn cell(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "none".to_owned();
    };
    if text.is_empty() {
        return "empty".to_owned();
    }
    let line = text
        .trim_end()
        .replace('\n', "⏎")
        .replace('|', "¦")
        .replace('`', "'");
    let mut cut: String = line.chars().take(MAX_CELL).collect();
    if cut.len() < line.len() {
        cut.push('…');
    }
    format!("`{cut}`")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            request,
            part,
            consul,
            ours,
        } = self;
        write!(f, "| {request} | {part} | {consul} | {ours} |")
    }
}

impl Page {
    pub(crate) fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut page = Self {
            rows: Vec::new(),
            reasons: BTreeSet::new(),
            malformed: Vec::new(),
        };
        for line in text.lines() {
            if let Some(reason) = line.strip_prefix("### ") {
                page.reasons.insert(reason.to_owned());
            }
            let row = line
                .strip_prefix("| ")
                .and_then(|row| row.strip_suffix(" |"));
            let Some(row) = row.filter(|row| row.contains('/')) else {
                continue;
            };
            match row.split(" | ").collect::<Vec<_>>()[..] {
                [request, part, consul, ours, reason] => {
                    let difference = Difference {
                        request: request.to_owned(),
                        part: part.to_owned(),
                        consul: consul.to_owned(),
                        ours: ours.to_owned(),
                    };
                    page.rows.push((difference, reason.to_owned()));
                }
                _ => page.malformed.push(line.to_owned()),
            }
        }
        page
    }

    /// What is wrong with the page, whatever the servers answer.
    pub(crate) fn complaints(&self, scripts: &[&str]) -> Vec<String> {
        let malformed = (self.malformed.iter()).map(|line| format!("has not five cells: {line}"));
        let unknown = (self.rows.iter())
            .filter(|(row, _)| !scripts.contains(&row.script()))
            .map(|(row, _)| format!("no such script: {row}"));
        let used: BTreeSet<&String> = self.rows.iter().map(|(_, reason)| reason).collect();
        let unexplained = (self.rows.iter())
            .filter(|(_, reason)| !self.reasons.contains(reason))
            .map(|(row, reason)| format!("no section `{reason}` explains: {row}"));
        let unused = (self.reasons.iter())
            .filter(|reason| !used.contains(reason))
            .map(|reason| format!("no row has the reason `{reason}`"));
        (malformed.chain(unknown).chain(unexplained).chain(unused)).collect()
    }

    /// What is not listed, and what is listed and was not seen.
    pub(crate) fn judge(&self, script: &str, found: &[Difference]) -> Vec<String> {
        let listed = |difference: &Difference| self.rows.iter().any(|(row, _)| row == difference);
        let unexplained = (found.iter())
            .filter(|difference| !listed(difference))
            .map(|difference| format!("not listed: {difference}"));
        let gone = (self.rows.iter())
            .filter(|(row, _)| row.script() == script && !found.contains(row))
            .map(|(row, _)| format!("not seen:   {row}"));
        unexplained.chain(gone).collect()
    }
}

impl Difference {
    fn script(&self) -> &str {
        (self.request.split_once('/')).map_or(&self.request, |(script, _)| script)
    }
}

#[test]
fn what_is_not_listed_and_what_is_gone_is_complained_about() {
    let page = Page::parse(
        "| request | part | Consul | ours | reason |\n| --- | --- | --- | --- | --- |\n\
         | keys/a | status | `200` | `404` | why |\n| keys/b | body | `x` | none | because |\n\
         | pages/a | time | empty | `x` | why |\n### why\n### never\n",
    );
    assert_eq!(
        page.complaints(&["keys"]),
        [
            "no such script: | pages/a | time | empty | `x` |",
            "no section `because` explains: | keys/b | body | `x` | none |",
            "no row has the reason `never`",
        ]
    );
    let found = |request: &str, ours: &str| Difference {
        request: request.to_owned(),
        part: "status".to_owned(),
        consul: "`200`".to_owned(),
        ours: ours.to_owned(),
    };
    assert_eq!(
        page.judge("keys", &[found("keys/a", "`404`"), found("keys/c", "none")]),
        [
            "not listed: | keys/c | status | `200` | none |",
            "not seen:   | keys/b | body | `x` | none |",
        ]
    );
}
