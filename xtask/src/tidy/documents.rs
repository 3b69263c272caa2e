//! What the documents say about the code.

use std::collections::BTreeSet;

use super::metadata::Metadata;

/// The page with a row for each dependency.
pub(super) const DEPENDENCIES: &str = "docs/reference/dependencies.md";
/// The page that names the test command.
pub(super) const README: &str = "README.md";

/// The command that `.ci/run` calls.
const TEST_COMMAND: &str = "cargo xtask test";

/// Every crate that we depend on has a row in `page`, and every row is a crate that we depend on.
pub(super) fn dependencies(metadata: &Metadata, page: &str) -> Vec<String> {
    let used: BTreeSet<&str> = metadata
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| dependency.source.is_some())
        .map(|dependency| dependency.name.as_str())
        .collect();
    let documented: BTreeSet<&str> = page.lines().flat_map(named).collect();
    let missing = used.difference(&documented).map(|name| {
        format!("{DEPENDENCIES}: no row for `{name}`: say what it is for, and why this one")
    });
    let left_over = documented
        .difference(&used)
        .map(|name| format!("{DEPENDENCIES}: nothing depends on `{name}` any more"));
    missing.chain(left_over).collect()
}

/// What stands in backticks in the first cell of a table's row.
pub(super) fn named(line: &str) -> impl Iterator<Item = &str> {
    let first = line.strip_prefix('|').and_then(|row| row.split('|').next());
    first.unwrap_or_default().split('`').skip(1).step_by(2)
}

/// The README tells people to run what the CI runs.
pub(super) fn test_command(readme: &str) -> Vec<String> {
    if readme.contains(TEST_COMMAND) {
        return Vec::new();
    }
    vec![format!(
        "{README}: does not name the test command `{TEST_COMMAND}`"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_manifests_name_the_same_crates() {
        let metadata = Metadata::parse(
            r#"{"packages": [{"name": "model", "dependencies": [
                {"name": "serde", "kind": null, "source": "registry"},
                {"name": "insta", "kind": "dev", "source": "registry"},
                {"name": "proto", "kind": null, "source": null}
            ]}]}"#,
        )
        .unwrap();
        let page = "`outside` a table\n| Crate | For |\n| --- | --- |\n| `serde`, `rand` | `x` |\n";
        assert_eq!(
            dependencies(&metadata, page),
            [
                "docs/reference/dependencies.md: no row for `insta`: say what it is for, and why this one",
                "docs/reference/dependencies.md: nothing depends on `rand` any more",
            ]
        );
    }

    #[test]
    fn the_readme_names_the_test_command() {
        assert!(test_command("Run `cargo xtask test`.").is_empty());
        assert_eq!(test_command("Run the tests.").len(), 1);
    }
}
