//! What is held, as a patch for git: `git am` makes a commit of it, `git apply` only the change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chameleon_model::{Hold, Key};
use similar::TextDiff;

use crate::screen::harmless;

/// The patch that brings git from what it has at the held keys to what is `live` there. The files
/// stand in `folder` of the repository.
///
/// # Errors
/// A value is not text, or a key has no file's name.
pub(crate) fn of(
    holds: &[Hold],
    live: &BTreeMap<Key, Bytes>,
    folder: &str,
) -> anyhow::Result<String> {
    let mut patch = mail(holds);
    for hold in holds {
        let file = file_of(&hold.key, folder)?;
        let git = hold.git.as_ref().map(|git| &git.value);
        change(&mut patch, &file, &hold.key, git, live.get(&hold.key))?;
    }
    Ok(patch)
}

/// The mail's head and its text: who, why, and for how long already.
fn mail(holds: &[Hold]) -> String {
    let newest = (holds.iter()).max_by_key(|hold| hold.since);
    let (author, since) = newest.map_or(("", 0), |hold| (hold.author.as_str(), hold.since.0));
    let date = chrono::DateTime::from_timestamp_micros(since).unwrap_or_default();
    let why = newest.map_or("", |hold| first_line(&hold.reason));
    let subject = match (why, holds) {
        ("", [one]) => format!("Keep {} as it is live", one.key),
        ("", _) => format!("Keep {} keys as they are live", holds.len()),
        (why, _) => why.to_owned(),
    };
    let mut mail = format!(
        "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n\
         From: {}\n\
         Date: {}\n\
         Subject: [PATCH] {}\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=UTF-8\n\
         Content-Transfer-Encoding: 8bit\n\n",
        sender(author),
        date.to_rfc2822(),
        harmless(&subject)
    );
    for hold in holds {
        let since = chrono::DateTime::from_timestamp_micros(hold.since.0).unwrap_or_default();
        let _ = writeln!(
            mail,
            "* {} is held by {} since {}{}",
            hold.key,
            harmless(&hold.author),
            since.format("%Y-%m-%d %H:%M UTC"),
            match first_line(&hold.reason) {
                "" => String::new(),
                why => format!(": {}", harmless(why)),
            }
        );
    }
    mail.push_str("---\n");
    mail
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

/// A name with an address, which git asks for.
fn sender(author: &str) -> String {
    let author = harmless(author);
    if author.contains('<') && author.ends_with('>') {
        return author;
    }
    let name: String = author.chars().filter(|c| !"<>\"".contains(*c)).collect();
    match name.trim() {
        "" => "chameleon <chameleon@localhost>".to_owned(),
        name => format!("{name} <chameleon@localhost>"),
    }
}

/// Where the key's file stands in the repository: sources put their files at `{prefix}config/`.
fn file_of(key: &Key, folder: &str) -> anyhow::Result<String> {
    let key = key.as_str();
    let file = match key.strip_prefix("config/") {
        Some(file) => file,
        None => key.split_once("/config/").map_or("", |(_, file)| file),
    };
    if file.is_empty() {
        bail!("key `{key}` does not lie in a source's `config/`; commit it by hand");
    }
    let folder = folder.trim_matches('/');
    Ok(match folder {
        "" | "." => file.to_owned(),
        folder => format!("{folder}/{file}"),
    })
}

fn change(
    patch: &mut String,
    file: &str,
    key: &Key,
    git: Option<&Bytes>,
    live: Option<&Bytes>,
) -> anyhow::Result<()> {
    let text = |value: Option<&Bytes>| {
        let bytes = value.map(|value| value.to_vec()).unwrap_or_default();
        let text = String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'));
        text.with_context(|| format!("the value of key `{key}` is not text; commit it by hand"))
    };
    let (before, after) = (text(git)?, text(live)?);
    let (old, new) = (quoted("a/", file), quoted("b/", file));
    let _ = writeln!(patch, "diff --git {old} {new}");
    let mut names = (named(&old), named(&new));
    match (git, live) {
        (None, _) => {
            patch.push_str("new file mode 100644\n");
            "/dev/null".clone_into(&mut names.0);
        }
        (_, None) => {
            patch.push_str("deleted file mode 100644\n");
            "/dev/null".clone_into(&mut names.1);
        }
        _ => {}
    }
    if before != after {
        let diff = TextDiff::from_lines(&before, &after);
        let unified = diff.unified_diff().header(&names.0, &names.1).to_string();
        patch.push_str(&unified);
    }
    Ok(())
}

/// A path as git writes it where a character has a meaning of its own.
fn quoted(side: &str, path: &str) -> String {
    let path = format!("{side}{path}");
    if path.contains(['"', '\\']) {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        path
    }
}

/// A name with a blank ends in a tab, as git writes it.
fn named(path: &str) -> String {
    let tab = if path.contains(' ') { "\t" } else { "" };
    format!("{path}{tab}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use chameleon_model::{GitValue, Revision, Timestamp};

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(folder).args(arguments);
        command.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_AUTHOR_NAME", "t"),
            ("GIT_AUTHOR_EMAIL", "t@t"),
            ("GIT_COMMITTER_NAME", "t"),
            ("GIT_COMMITTER_EMAIL", "t@t"),
        ]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn hold(key: &str, git: Option<&'static str>) -> Hold {
        let value = |text: &'static str| GitValue {
            value: text.into(),
            flags: 0,
        };
        Hold {
            key: Key::new(key).unwrap(),
            source: "shop".into(),
            git: git.map(value),
            against: value("1"),
            author: "Ada \u{c4}".to_owned(),
            reason: "Vendor A is down \u{1f525}\n--- a/x\n+++ b/x".to_owned(),
            since: Timestamp(1_700_000_000_000_000),
            expires: Timestamp(1_700_000_001_000_000),
            revision: Revision(7),
        }
    }

    /// Keys with what git has and what is live.
    type Case = (&'static str, Option<&'static str>, Option<&'static str>);

    const CASES: [Case; 7] = [
        (
            "config/location.yml",
            Some("a: 1\nb: 2\n"),
            Some("a: 1\nb: 3\n"),
        ),
        (
            "config/cut off.yml",
            Some("a: 1\nb: 2"),
            Some("a: 1\r\nb: 3"),
        ),
        ("config/gone.yml", Some("a: 1\n"), None),
        ("config/new.yml", None, Some("a: 1\n")),
        ("config/emptied.yml", Some("a: 1\n"), Some("")),
        ("config/empty.yml", Some(""), None),
        (
            "config/schemas/\u{e4}\"\\.yml",
            Some("---\n"),
            Some("--- x\n"),
        ),
    ];

    fn patch_of(cases: &[Case]) -> anyhow::Result<String> {
        let holds: Vec<_> = cases.iter().map(|(key, git, _)| hold(key, *git)).collect();
        let live = cases
            .iter()
            .filter_map(|(key, _, live)| Some((Key::new(key).unwrap(), Bytes::from((*live)?))));
        of(&holds, &live.collect(), "deploy/settings")
    }

    #[test]
    fn git_takes_the_patch_as_a_commit_and_as_a_change() {
        for command in ["am", "apply"] {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            git(at, &["init", "-q", "-b", "main"]);
            let file = |key: &str| at.join("deploy/settings").join(&key["config/".len()..]);
            std::fs::create_dir_all(at.join("deploy/settings/schemas")).unwrap();
            for (key, value, _) in CASES {
                if let Some(value) = value {
                    std::fs::write(file(key), value).unwrap();
                }
            }
            git(at, &["add", "."]);
            git(at, &["commit", "-q", "-m", "Begin"]);
            let patch = at.join("held.patch");
            std::fs::write(&patch, patch_of(&CASES).unwrap()).unwrap();
            let keep: &[&str] = if command == "am" { &["--keep-cr"] } else { &[] };
            git(
                at,
                &[&[command, "--whitespace=nowarn"], keep, &["held.patch"]].concat(),
            );
            for (key, _, live) in CASES {
                let found = std::fs::read_to_string(file(key)).ok();
                assert_eq!(found.as_deref(), live, "{command} {key}");
            }
            if command == "am" {
                let log = git(at, &["log", "-1", "--format=%an %ae %at%n%B"]);
                let mut lines = log.lines();
                assert_eq!(
                    lines.next(),
                    Some("Ada \u{c4} chameleon@localhost 1700000000")
                );
                assert_eq!(lines.next(), Some("Vendor A is down \u{1f525}"));
                let body: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
                assert_eq!(body.len(), CASES.len(), "{log}");
                assert_eq!(
                    body[0],
                    "* config/location.yml is held by Ada \u{c4} since 2023-11-14 22:13 UTC: \
                     Vendor A is down \u{1f525}"
                );
            }
        }
    }

    #[test]
    fn a_key_stands_where_its_sources_files_do() {
        for (key, folder, expected) in [
            ("config/a.yml", "config", "config/a.yml"),
            (
                "config/schemas/a.schema.yml",
                "/conf/",
                "conf/schemas/a.schema.yml",
            ),
            ("teams/maps/config/a.yml", "config", "config/a.yml"),
            ("config/a.yml", ".", "a.yml"),
        ] {
            let path = file_of(&Key::new(key).unwrap(), folder).unwrap();
            assert_eq!(path, expected, "{key}");
        }
        assert!(file_of(&Key::new("elsewhere/a").unwrap(), "config").is_err());
    }

    #[test]
    fn what_is_no_text_is_named() {
        let case = ("config/logo.png", Some("\0"), Some("1"));
        let error = patch_of(&[case]).unwrap_err().to_string();
        assert!(error.contains("`config/logo.png` is not text"), "{error}");
    }

    #[test]
    fn a_sender_has_a_name_and_an_address() {
        for (author, expected) in [
            ("Ada <ada@example.com>", "Ada <ada@example.com>"),
            ("ada\nBcc: x", "ada\u{fffd}Bcc: x <chameleon@localhost>"),
            ("", "chameleon <chameleon@localhost>"),
        ] {
            assert_eq!(sender(author), expected);
        }
    }
}
