//! That a binary's page tells its flags, each with its variable and default, and that what starts it
//! sets variables that there are.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Command};

/// Holds the flags of `command` and its sub-commands against the tables of `page`, which is a path
/// from the repository's folder.
///
/// A table's row is about a flag if its first cell begins with it, in backticks; the second cell is
/// its default. Flags of a sub-command stand under a heading that is the whole command in backticks,
/// all others anywhere else. A variable is `CHAMELEON_` and the flag in capitals, or stands in the row.
///
/// # Panics
/// With everything that is missing, different, or no flag any more.
pub fn check(command: &Command, page: &str) {
    let complaints = complaints(command, &read(page));
    assert!(
        complaints.is_empty(),
        "{page} does not tell the flags of `{}`:\n  {}",
        command.get_name(),
        complaints.join("\n  ")
    );
}

/// Checks that `file`, which is a path from the repository's folder and sets `command`'s variables,
/// names none of ours that the command does not have.
///
/// # Panics
/// With the names of all others.
pub fn check_variables(command: &Command, file: &str) {
    let text = read(file);
    let unknown = unknown_variables(command, &text);
    assert!(
        unknown.is_empty(),
        "{file}: `{}` has no variable {}",
        command.get_name(),
        unknown.join(", ")
    );
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path));
    text.unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
}

fn unknown_variables<'a>(command: &Command, text: &'a str) -> Vec<&'a str> {
    let known: Vec<_> = command.get_arguments().filter_map(Arg::get_env).collect();
    text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_')
        .filter(|word| word.starts_with("CHAMELEON_"))
        .filter(|word| !known.iter().any(|name| name == word))
        .collect()
}

/// The rows by command and flag.
type Rows<'a> = BTreeMap<(String, String), Row<'a>>;

#[derive(Clone, Copy)]
struct Row<'a> {
    default: &'a str,
    text: &'a str,
}

fn complaints(command: &Command, page: &str) -> Vec<String> {
    let mut rows = rows(command, page);
    let mut complaints = Vec::new();
    of_command(
        command,
        command.get_name(),
        page,
        &mut rows,
        &mut complaints,
    );
    complaints.extend(
        rows.into_keys()
            .map(|(path, flag)| format!("`{path}` has no flag `{flag}` any more")),
    );
    complaints
}

fn of_command(
    command: &Command,
    path: &str,
    page: &str,
    rows: &mut Rows<'_>,
    complaints: &mut Vec<String>,
) {
    let is_root = !path.contains(' ');
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(name) = arg.get_long() else { continue };
        let flag = format!("--{name}");
        match rows.remove(&(path.to_owned(), flag.clone())) {
            Some(row) => complaints.extend(different(arg, &flag, is_root, row)),
            None => complaints.push(format!("no row for `{flag}` of `{path}`")),
        }
    }
    for inner in (command.get_subcommands()).filter(|inner| !inner.is_hide_set()) {
        let name = inner.get_name();
        let path = format!("{path} {name}");
        if !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{path}`")) {
            complaints.push(format!("does not name the command `{path}`"));
        }
        of_command(inner, &path, page, rows, complaints);
    }
}

/// What the row of a flag does not tell as it is.
fn different(arg: &Arg, flag: &str, is_root: bool, row: Row<'_>) -> Option<String> {
    let usual = format!("CHAMELEON_{}", flag[2..].replace('-', "_").to_uppercase());
    match arg.get_env().map(|name| name.to_string_lossy()) {
        Some(name) if name != usual && !row.text.contains(&format!("`{name}`")) => {
            return Some(format!(
                "`{flag}`: does not say that its variable is `{name}`"
            ));
        }
        None if is_root && !row.text.contains("no variable") => {
            return Some(format!("`{flag}`: does not say `no variable`"));
        }
        _ => {}
    }
    if !arg.get_action().takes_values() {
        return None;
    }
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    let default = defaults.join(",");
    let is_told = defaults.is_empty() || is_same(row.default, &default);
    (!is_told).then(|| {
        let told = row.default;
        format!("`{flag}`: its default is `{default}` and not `{told}`")
    })
}

/// Says whether a cell tells the default: commas and backticks are for the eye, and bytes may be
/// counted in MiB.
fn is_same(cell: &str, default: &str) -> bool {
    let plain = |text: &str| text.replace(['`', ','], "");
    let bytes = plain(cell)
        .strip_suffix(" MiB")
        .and_then(|count| count.parse::<u64>().ok())
        .map(|count| (count * 1024 * 1024).to_string());
    plain(cell) == plain(default) || bytes.is_some_and(|bytes| bytes == default)
}

fn rows<'a>(command: &Command, page: &'a str) -> Rows<'a> {
    let root = command.get_name();
    let mut rows = Rows::new();
    let mut path = root;
    for line in page.lines() {
        if line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().trim_matches('`');
            let is_command = title
                .strip_prefix(root)
                .is_some_and(|rest| rest.starts_with(' '));
            path = if is_command { title } else { root };
        }
        let Some(text) = line.strip_prefix("| `--") else {
            continue;
        };
        let Some((name, _)) = text.split_once('`') else {
            continue;
        };
        let flag = format!("--{name}");
        let default = line.split('|').nth(2).unwrap_or_default().trim();
        rows.insert(
            (path.to_owned(), flag),
            Row {
                default,
                text: line,
            },
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name);
        Command::new("x")
            .arg(
                flag("listen")
                    .env("CHAMELEON_LISTEN")
                    .default_value("127.0.0.1:1")
                    .global(true),
            )
            .arg(flag("max").env("CHAMELEON_MAX").default_value("2097152"))
            .arg(flag("name").env("CHAMELEON_SOURCE"))
            .arg(flag("once").action(ArgAction::SetTrue))
            .arg(flag("secret").hide(true))
            .subcommand(Command::new("serve").arg(flag("limit").default_value("1000")))
    }

    const PAGE: &str = "\
| flag | default | meaning |
| --- | --- | --- |
| `--listen` | `127.0.0.1:1` | where |
| `--max` | 2 MiB | bytes |
| `--name` | | name (`CHAMELEON_SOURCE`) |
| `--once` | | once; no variable |
## `x serve`
| `--limit` | 1,000 | how many |
";

    #[test]
    fn a_page_that_tells_all_is_good() {
        assert_eq!(complaints(&command(), PAGE), Vec::<String>::new());
    }

    #[test]
    fn variables_that_there_are_not_are_named() {
        let text =
            "# CHAMELEON_MAX\nCHAMELEON_LISTEN=1\nEnvironment=CHAMELEON_LISTENS=%S/x\nPGPASSFILE=y";
        let command = command();
        assert_eq!(unknown_variables(&command, text), ["CHAMELEON_LISTENS"]);
    }

    #[test]
    fn what_is_missing_different_or_left_over_is_named() {
        let page = PAGE
            .replace("127.0.0.1:1", "127.0.0.1:2")
            .replace("2 MiB", "3 MiB")
            .replace("CHAMELEON_SOURCE", "CHAMELEON_NAME")
            .replace("; no variable", "")
            .replace("## `x serve`", "## Other");
        assert_eq!(
            complaints(&command(), &page),
            [
                "`--listen`: its default is `127.0.0.1:1` and not ``127.0.0.1:2``",
                "`--max`: its default is `2097152` and not `3 MiB`",
                "`--name`: does not say that its variable is `CHAMELEON_SOURCE`",
                "`--once`: does not say `no variable`",
                "does not name the command `x serve`",
                "no row for `--limit` of `x serve`",
                "`x` has no flag `--limit` any more",
            ]
        );
    }
}
