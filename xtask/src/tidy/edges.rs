//! The direction of dependencies between the workspace's crates.

use std::collections::{BTreeMap, BTreeSet};

use super::metadata::Metadata;

/// The page with the table of edges.
pub(super) const PAGE: &str = "docs/architecture.md";

const START: &str = "<!-- crate-edges -->";
const END: &str = "<!-- /crate-edges -->";

/// Compares the normal and build dependencies of all crates with the table in `page`.
///
/// Tests may depend on any crate, so dev-dependencies are left alone.
pub(super) fn check(metadata: &Metadata, page: &str) -> Vec<String> {
    let Some(table) = between(page) else {
        return vec![format!("{PAGE}: no table between `{START}` and `{END}`")];
    };
    let allowed = rows(table);
    let crates: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut complaints = Vec::new();

    for package in &metadata.packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            complaints.push(format!(
                "{PAGE}: the table has no row for `{}`",
                package.name
            ));
            continue;
        };
        let inner = package.dependencies.iter().filter(|dependency| {
            dependency.source.is_none() && dependency.kind.as_deref() != Some("dev")
        });
        for dependency in inner {
            if !allowed.contains(dependency.name.as_str()) {
                complaints.push(format!(
                    "`{}` depends on `{}`, which {PAGE} does not allow",
                    package.name, dependency.name
                ));
            }
        }
    }
    let named = allowed
        .iter()
        .flat_map(|(name, edges)| edges.iter().chain([name]));
    let unknown: BTreeSet<&str> = named
        .copied()
        .filter(|name| !crates.contains(name))
        .collect();
    complaints.extend(
        unknown
            .into_iter()
            .map(|name| format!("{PAGE}: `{name}` is not a crate of this workspace")),
    );
    complaints
}

fn between(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(START)?;
    let (table, _) = rest.split_once(END)?;
    Some(table)
}

/// The rows of a Markdown table, without its head.
fn rows(table: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    table
        .lines()
        .filter(|line| line.trim_start().starts_with('|'))
        .skip(2)
        .filter_map(|line| {
            let mut cells = line.trim().trim_matches('|').split('|').map(plain);
            let name = cells.next()?;
            let edges = cells.next().unwrap_or_default();
            let edges = edges.split(',').map(plain).filter(|edge| !edge.is_empty());
            Some((name, edges.collect()))
        })
        .collect()
}

fn plain(text: &str) -> &str {
    text.trim().trim_matches('`').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str = "\
text
<!-- crate-edges -->
| crate | may depend on |
| --- | --- |
| `model` | |
| `store` | `model` |
| server | model, store |
<!-- /crate-edges -->
| other | table |
";

    fn metadata(edges: &str) -> Metadata {
        let packages: Vec<String> = edges
            .lines()
            .map(|line| {
                let (name, dependencies) = line.split_once(": ").unwrap();
                format!(r#"{{"name": "{name}", "dependencies": [{dependencies}]}}"#)
            })
            .collect();
        Metadata::parse(&format!(r#"{{"packages": [{}]}}"#, packages.join(","))).unwrap()
    }

    fn complaints(edges: &str) -> Vec<String> {
        check(&metadata(edges), PAGE_TEXT)
    }

    #[test]
    fn allowed_edges_outside_crates_and_tests_are_fine() {
        let found = complaints(
            r#"model: {"name": "serde", "kind": null, "source": "registry"}
store: {"name": "model", "kind": null, "source": null}
server: {"name": "server-test", "kind": "dev", "source": null}"#,
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_edge_against_the_direction_is_named() {
        let found = complaints(
            r#"model: {"name": "store", "kind": "build", "source": null}
store: {"name": "model", "kind": null, "source": null}
server: {"name": "store", "kind": null, "source": null}"#,
        );
        assert_eq!(
            found,
            ["`model` depends on `store`, which docs/architecture.md does not allow"]
        );
    }

    #[test]
    fn the_table_names_exactly_the_crates() {
        let found = complaints(
            r#"model: {"name": "serde", "kind": null, "source": "registry"}
client: {"name": "model", "kind": null, "source": null}
store: {"name": "model", "kind": null, "source": null}"#,
        );
        assert_eq!(
            found,
            [
                "docs/architecture.md: the table has no row for `client`",
                "docs/architecture.md: `server` is not a crate of this workspace",
            ]
        );
    }

    #[test]
    fn a_page_without_the_table_is_a_complaint() {
        assert_eq!(check(&metadata("model: "), "nothing").len(), 1);
    }
}
