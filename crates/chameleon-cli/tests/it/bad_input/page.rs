//! The table for people, held against the table of the tests.

use super::{After, Case};

const PAGE: &str = include_str!("../../../../../docs/reference/bad-input.md");

/// The headings of the rows, in their order.
pub(super) fn headings() -> Vec<&'static str> {
    PAGE.lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect()
}

/// Checks that the row's section says its status, its lines and the instances' reason, word for word.
pub(super) fn assert_told(case: &Case) {
    let heading = format!("\n### {}\n", case.name);
    let (_, section) = (PAGE.split_once(&heading))
        .unwrap_or_else(|| panic!("docs/reference/bad-input.md has no row `{}`", case.name));
    let section = section.split("\n#").next().unwrap_or_default();
    let has_line = |wanted: &str| section.lines().any(|line| line.trim() == wanted.trim());
    let status = format!("Status: {}.", case.status);
    let missing: Vec<_> = (case.lines.iter().copied())
        .chain([status.as_str()])
        .filter(|line| !has_line(line))
        .collect();
    let name = case.name;
    if let After::Rejecting(reason) = case.after {
        assert!(
            section.contains(reason),
            "docs/reference/bad-input.md, `{name}`, lacks `{reason}`"
        );
    }
    assert!(
        missing.is_empty(),
        "docs/reference/bad-input.md, `{name}`, lacks {missing:#?}"
    );
}
