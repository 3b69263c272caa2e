//! The language of the scripts, and its execution.
//!
//! A step begins with `== name`. Then comes a call: `METHOD path`, or `$ arguments` of the `consul`
//! command, or `JOIN name` for the answer of a call in the background, or `SLEEP duration`. Lines of
//! headers (`name: value`), of the body or standard input (`> text`) and of directives follow:
//!
//! * `! body text*times`: a long body;
//! * `! capture name pointer`: keeps the number of an answer's header `index`, or what a JSON
//!   pointer or the label of a line of a command's output points to; later steps write `{name}`;
//! * `! background`: the answer is taken by a later `JOIN`;
//! * `! only pointer..`: of the answer only these parts count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::command;
use crate::exchange::{self, Answer};
use crate::peer::Peer;
use crate::seen::Seen;

/// How long a call in the background has to begin to wait. Were it too short, the call would only
/// find the change that it should wait for.
const BEGINNING: Duration = Duration::from_millis(200);

/// The part of an answer that lacks what a script captures.
pub(crate) const UNCAPTURED: &str = "not captured";

#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) method: String,
    /// The path, the arguments or the parameter.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    captures: Vec<(String, String)>,
    background: bool,
    only: Vec<String>,
}

pub(crate) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let failed = |reason: &str| format!("line {number}: {reason}: {line}");
        if let Some(name) = line.strip_prefix("== ") {
            if steps.iter().any(|step| step.name == name) {
                return Err(failed("the name is used twice"));
            }
            steps.push(Step {
                name: name.to_owned(),
                ..Step::default()
            });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = steps.last_mut().ok_or_else(|| failed("no step"))?;
        if let Some(text) = line.strip_prefix('>') {
            let separator = if step.body.is_empty() { "" } else { "\n" };
            let text = text.strip_prefix(' ').unwrap_or(text);
            step.body = format!("{}{separator}{text}", step.body);
        } else if let Some(directive) = line.strip_prefix("! ") {
            step.direct(directive).ok_or_else(|| failed("unknown"))?;
        } else if step.method.is_empty() {
            let (method, target) = line.split_once(' ').ok_or_else(|| failed("no call"))?;
            target.clone_into(&mut step.target);
            method.clone_into(&mut step.method);
        } else {
            let (name, value) = line.split_once(':').ok_or_else(|| failed("no header"))?;
            step.headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
    }
    Ok(steps)
}

impl Step {
    /// A call that no script has.
    pub(crate) fn call(method: &str, path: &str, body: &str) -> Self {
        Self {
            name: format!("{method} {path}"),
            method: method.to_owned(),
            target: path.to_owned(),
            body: body.to_owned(),
            ..Self::default()
        }
    }

    fn direct(&mut self, directive: &str) -> Option<()> {
        let mut words = directive.split(' ');
        match words.next()? {
            "background" => self.background = true,
            "only" => self.only = words.map(str::to_owned).collect(),
            "capture" => {
                let (name, pointer) = (words.next()?, words.next()?);
                self.captures.push((name.to_owned(), pointer.to_owned()));
            }
            "body" => {
                let (text, times) = words.next()?.split_once('*')?;
                self.body = text.repeat(times.parse().ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    fn with(&self, variables: &BTreeMap<String, String>) -> Self {
        let fill = |text: &str| {
            let mut text = text.to_owned();
            for (name, value) in variables {
                text = text.replace(&format!("{{{name}}}"), value);
            }
            text
        };
        let headers = self.headers.iter();
        Self {
            target: fill(&self.target),
            body: fill(&self.body),
            headers: headers
                .map(|(name, value)| (name.clone(), fill(value)))
                .collect(),
            ..self.clone()
        }
    }
}

/// Plays `steps` to `peer`, one after the other, and returns what it answered.
pub(crate) async fn run(peer: &Peer, steps: &[Step]) -> Vec<Seen> {
    let mut variables = BTreeMap::new();
    let mut background = JoinSet::new();
    let mut early: BTreeMap<String, Answer> = BTreeMap::new();
    let mut seen = Vec::new();
    for step in steps {
        let filled = step.with(&variables);
        let answer = match filled.method.as_str() {
            "SLEEP" => {
                tokio::time::sleep(wait(&filled.target).expect("a duration")).await;
                continue;
            }
            "JOIN" => {
                while !early.contains_key(&filled.target) {
                    let joined = background.join_next().await;
                    let (name, answer) = joined.expect("it is in the background").unwrap();
                    early.insert(name, answer);
                }
                early.remove(&filled.target).expect("it is there now")
            }
            _ if step.background => {
                let (address, name) = (peer.address, step.name.clone());
                background.spawn(async move { (name, exchange::send(address, &filled).await) });
                tokio::time::sleep(BEGINNING).await;
                continue;
            }
            "$" => command::run(peer, &filled).await,
            _ => exchange::send(peer.address, &filled).await,
        };
        let mut answered = Seen::new(&step.name, &answer.clone().only(&step.only));
        for (name, pointer) in &step.captures {
            let value = captured(&answer, pointer);
            if value.is_none() {
                answered.parts.insert(UNCAPTURED.to_owned(), name.clone());
            }
            variables.insert(name.clone(), value.unwrap_or("nothing".to_owned()));
        }
        seen.push(answered);
    }
    seen
}

fn captured(answer: &Answer, pointer: &str) -> Option<String> {
    if pointer == "index" {
        return answer.header("x-consul-index").map(str::to_owned);
    }
    if !pointer.starts_with('/') {
        let line = answer.body.lines().find(|line| line.starts_with(pointer))?;
        return line.split_whitespace().last().map(str::to_owned);
    }
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    match body.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Reads `300ms` and `2s`.
pub(crate) fn wait(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    let number = text.strip_suffix('s')?;
    number.parse().ok().map(Duration::from_secs)
}
