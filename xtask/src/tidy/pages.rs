//! What the reference pages say about the contract and the metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::documents::named;

/// The page with a row for each call of the gRPC contract.
pub(super) const GRPC: &str = "docs/reference/grpc-api.md";
/// The page with a row for each metric.
pub(super) const METRICS: &str = "docs/reference/metrics.md";

/// What follows a metric's name where it is told, beside its unit.
const SUFFIXES: [&str; 3] = ["", "_total", "_info"];

/// The text of all files below `folder` that end in `ending`, without tests and benchmarks.
pub(super) fn texts(folder: &Path, ending: &str) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    let place = || format!("read `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(place)? {
        let path = entry.with_context(place)?.path();
        if path.ends_with("tests") || path.ends_with("benches") {
            continue;
        }
        if path.is_dir() {
            texts.extend(self::texts(&path, ending)?);
        } else if path.to_string_lossy().ends_with(ending) {
            let text = fs::read_to_string(&path);
            texts.push(text.with_context(|| format!("read `{}`", path.display()))?);
        }
    }
    Ok(texts)
}

/// Every rpc has a row in the table of its service, which stands under a heading that is the
/// service's name, and every row is an rpc.
pub(super) fn rpcs(protos: &[String], page: &str) -> Vec<String> {
    let declared: BTreeSet<_> = protos.iter().flat_map(|text| declared(text)).collect();
    let mut documented = BTreeSet::new();
    let mut service = "";
    for (heading, row) in rows(page, "| rpc |") {
        if let Some(heading) = heading {
            service = heading;
        }
        documented.extend(named(row).map(|rpc| format!("{service}.{rpc}")));
    }
    compared(&declared, &documented, GRPC, "rpc")
}

/// The rpcs of a .proto file as `Service.Rpc`.
fn declared(proto: &str) -> BTreeSet<String> {
    let mut service = "";
    let mut rpcs = BTreeSet::new();
    for line in proto.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("service ") {
            service = name.trim_end_matches('{').trim();
        } else if let Some((name, _)) = (line.strip_prefix("rpc ")).and_then(|l| l.split_once('('))
        {
            rpcs.insert(format!("{service}.{}", name.trim()));
        }
    }
    rpcs
}

/// Every metric that `sources` register has a row, and every row is a metric.
pub(super) fn metrics(sources: &[String], page: &str) -> Vec<String> {
    let documented: BTreeSet<_> = (rows(page, "| metric |"))
        .flat_map(|(_, row)| named(row))
        .map(str::to_owned)
        .collect();
    let told = |name: String| {
        let names = SUFFIXES.map(|suffix| format!("{name}{suffix}"));
        let found = names.into_iter().find(|name| documented.contains(name));
        found.unwrap_or(name)
    };
    let registered = sources.iter().flat_map(|text| registered(text)).map(told);
    compared(&registered.collect(), &documented, METRICS, "metric")
}

/// The metrics that a source file registers, each with its unit: calls whose first arguments are a
/// name in lower case and a sentence, whatever is called. Tests, at the file's end, are left out.
fn registered(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let calls = source.match_indices('(').filter_map(|(at, _)| {
        let (name, rest) = literal(&source[at + 1..])?;
        let (help, rest) = literal(rest.trim_start().strip_prefix(',')?)?;
        let is_name =
            name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let (word, _) = help.split_once(' ')?;
        let is_sentence = word.contains(|c: char| !c.is_lowercase());
        if !is_name || !is_sentence {
            return None;
        }
        let unit = rest.trim_start().strip_prefix(',')?.trim_start();
        Some(match unit.strip_prefix("Unit::") {
            Some(unit) => {
                let end = unit
                    .find(|c: char| !c.is_alphanumeric())
                    .unwrap_or(unit.len());
                format!("{name}_{}", unit[..end].to_lowercase())
            }
            None => name.to_owned(),
        })
    });
    calls.collect()
}

/// The string that `text` begins with, and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// The rows of all tables of `page` that begin with `head`; with the first row of each comes the
/// heading that the table stands under.
fn rows<'a>(page: &'a str, head: &'a str) -> impl Iterator<Item = (Option<&'a str>, &'a str)> {
    let mut heading = None;
    let mut inside = false;
    page.lines().filter_map(move |line| {
        if let Some(title) = line.strip_prefix("## ") {
            heading = Some(title.trim().trim_matches('`'));
        }
        let is_head = line.starts_with(head);
        inside = line.starts_with('|') && (inside || is_head);
        let is_row = inside && !is_head && !line.starts_with("| -");
        is_row.then(|| (heading.take(), line))
    })
}

fn compared(
    code: &BTreeSet<String>,
    documented: &BTreeSet<String>,
    page: &str,
    what: &str,
) -> Vec<String> {
    let missing = (code.difference(documented))
        .map(|name| format!("{page}: no row for the {what} `{name}`: say what it is for"));
    let left_over = (documented.difference(code))
        .map(|name| format!("{page}: there is no {what} `{name}` any more"));
    missing.chain(left_over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_contract_name_the_same_calls() {
        let proto = "
            // rpc Commented(X)
            service Config {
              rpc Watch(stream A) returns (stream B);
              rpc Read(A) returns (B);
            }
            service Tokens {
              rpc Read(A) returns (B);
            }";
        let page = "
## `Config`

| rpc | what |
| --- | --- |
| `Watch` | `Other` |
| `Write` | gone |

| field | `Read` |
| --- | --- |
| `Read` | no rpc |

## Tokens
| rpc | what |
| --- | --- |
| `Read` | x |
";
        assert_eq!(
            rpcs(&[proto.to_owned()], page),
            [
                "docs/reference/grpc-api.md: no row for the rpc `Config.Read`: say what it is for",
                "docs/reference/grpc-api.md: there is no rpc `Config.Write` any more",
            ]
        );
    }

    #[test]
    fn pages_and_code_name_the_same_metrics() {
        let source = r#"
            registry.register("chameleon_build", "Component of it", x);
            registry.register(
                "chameleon_commits",
                "Transactions by face",
                metrics.commits.clone(),
            );
            registry.register_with_unit("x_time", "Time of it", Unit::Seconds, x);
            gauge("x_available", "1 if it is", |app| 1.0);
            wrong("some_field", "is missing from it", x);
            named("a_name", "Word", x);
            #[cfg(test)]
            registry.register("x_test", "In a test", x);"#;
        let page = "
| metric | type |
| --- | --- |
| `chameleon_build_info` | info |
| `chameleon_commits_total` | counter |
| `x_gone` | gauge |

| label | values |
| --- | --- |
| `some_label` | x |
";
        assert_eq!(
            metrics(&[source.to_owned()], page),
            [
                "docs/reference/metrics.md: no row for the metric `x_available`: say what it is for",
                "docs/reference/metrics.md: no row for the metric `x_time_seconds`: say what it is for",
                "docs/reference/metrics.md: there is no metric `x_gone` any more",
            ]
        );
    }
}
