//! What was seen of an answer, in a form in which two servers' answers can be equal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::exchange::Answer;

/// The headers that count. What is only informative in Consul is not among them.
const HEADERS: [&str; 10] = [
    "allow",
    "content-encoding",
    "content-security-policy",
    "content-type",
    "location",
    "x-content-type-options",
    "x-consul-index",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-results-filtered-by-acls",
];

/// The labels of a command's output that stand before an index.
const LABELS: [&str; 2] = ["CreateIndex", "ModifyIndex"];

/// An answer, part by part.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) parts: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn new(name: &str, answer: &Answer) -> Self {
        let mut parts = BTreeMap::from([("status".to_owned(), answer.status.clone())]);
        // Consul sends them with errors too, with numbers that say nothing.
        let is_read = matches!(answer.status.as_str(), "200" | "404");
        for (header, value) in &answer.headers {
            let counts = HEADERS.contains(&header.as_str());
            if counts && (is_read || !header.starts_with("x-consul-")) {
                parts.insert(header.clone(), value.clone());
            }
        }
        parts.insert("body".to_owned(), answer.body.clone());
        if !answer.stderr.is_empty() {
            parts.insert("stderr".to_owned(), answer.stderr.clone());
        }
        if let Some(waited) = answer.waited {
            let time = if waited { "the wait" } else { "at once" };
            parts.insert("time".to_owned(), time.to_owned());
        }
        Self {
            name: name.to_owned(),
            parts,
        }
    }
}

/// Replaces what no two servers have in common: indexes by their rank among all that entries have,
/// ids by their order, and the texts of `own` by what they stand for.
pub(crate) fn normal(seen: Vec<Seen>, own: &[(String, &str)]) -> Vec<Seen> {
    let mut indexes = BTreeSet::new();
    for seen in &seen {
        collect(&seen.parts["body"], &mut indexes);
    }
    // 0 is no entry's.
    let ranks: Vec<u64> = indexes.into_iter().filter(|index| *index > 0).collect();
    let mut ids = Vec::new();
    let mut replaced = Vec::new();
    for mut seen in seen {
        for (part, text) in &mut seen.parts {
            for (text_of_one, meaning) in own {
                *text = text.replace(text_of_one, meaning);
            }
            *text = match part.as_str() {
                "x-consul-index" => rank(&ranks, text.parse().unwrap_or(0)),
                "body" => body(text, &ranks),
                _ => text.clone(),
            };
            *text = with_ids(text, &mut ids);
        }
        replaced.push(seen);
    }
    replaced
}

/// `#2` for the second index of all; `#2+` for one behind it that no entry has.
fn rank(ranks: &[u64], index: u64) -> String {
    if index == 0 {
        return "none".to_owned();
    }
    match ranks.binary_search(&index) {
        Ok(place) => format!("#{}", place + 1),
        Err(place) => format!("#{place}+"),
    }
}

fn collect(text: &str, indexes: &mut BTreeSet<u64>) {
    if let Ok(value) = serde_json::from_str(text) {
        return collect_json(&value, indexes);
    }
    indexes.extend(text.lines().filter_map(labelled).map(|(_, index)| index));
}

fn collect_json(value: &Value, indexes: &mut BTreeSet<u64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_json(item, indexes)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_u64() {
                    Some(index) if LABELS.contains(&name.as_str()) => {
                        indexes.insert(index);
                    }
                    _ => collect_json(field, indexes),
                }
            }
        }
        _ => {}
    }
}

fn labelled(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_whitespace();
    let label = words.next().filter(|word| LABELS.contains(word))?;
    Some((label, words.next()?.parse().ok()?))
}

/// JSON with its fields in their order, or text as it is.
fn body(text: &str, ranks: &[u64]) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        let lines = text.split('\n').map(|line| match labelled(line) {
            Some((label, index)) => format!("{label} {}", rank(ranks, index)),
            None => line.to_owned(),
        });
        let lines: Vec<String> = lines.collect();
        return lines.join("\n");
    };
    rank_json(&mut value, ranks);
    let layout = if text.contains("\n    ") {
        "pretty "
    } else {
        ""
    };
    format!("{layout}{value}")
}

fn rank_json(value: &mut Value, ranks: &[u64]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rank_json(item, ranks)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_u64() {
                    Some(index) if LABELS.contains(&name.as_str()) => {
                        *field = Value::String(rank(ranks, index));
                    }
                    _ => rank_json(field, ranks),
                }
            }
        }
        _ => {}
    }
}

/// Numbers the UUIDs of a text in the order in which they appear.
fn with_ids(text: &str, ids: &mut Vec<String>) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(start) = rest.char_indices().map(|(at, _)| at).find(|&at| {
        rest.get(at..at + 36)
            .is_some_and(|part| uuid::Uuid::try_parse(part).is_ok() && part.contains('-'))
    }) {
        let (before, found) = rest.split_at(start);
        let (id, behind) = found.split_at(36);
        let place = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        replaced.extend([before, "<id ", &(place + 1).to_string(), ">"]);
        rest = behind;
    }
    replaced + rest
}

#[test]
fn indexes_and_ids_are_replaced_by_their_order() {
    let answer = |index: &str, body: &str| {
        let mut answer = Answer {
            status: "200".to_owned(),
            body: body.to_owned(),
            ..Answer::default()
        };
        let header = ("x-consul-index".to_owned(), index.to_owned());
        answer.headers.push(header);
        Seen::new("a", &answer)
    };
    let seen = vec![
        answer("7", r#"[{"ModifyIndex":7,"Flags":9,"CreateIndex":3}]"#),
        answer("2", "id 4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b of probe"),
        answer("9", "ModifyIndex      12"),
    ];
    let normal = normal(seen, &[("probe".to_owned(), "<node>")]);
    let parts = |place: usize| {
        let parts = &normal[place].parts;
        (parts["x-consul-index"].as_str(), parts["body"].as_str())
    };
    assert_eq!(
        parts(0),
        (
            "#2",
            r##"[{"ModifyIndex":"#2","Flags":9,"CreateIndex":"#1"}]"##
        )
    );
    assert_eq!(parts(1), ("#0+", "id <id 1> of <node>"));
    assert_eq!(parts(2), ("#2+", "ModifyIndex #3"));
}
