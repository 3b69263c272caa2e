//! What can be taken out of the sources, to see that the test of faults notices.
//!
//! The sources themselves know nothing of this: a copy of them is changed and built. It shares what is
//! compiled of other people's crates.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell;

/// Its version is part of what tells compiled crates apart: without another one, cargo would take
/// those of the copy for those of the sources.
const MANIFEST: &str = "Cargo.toml";
const READ: &str = "crates/chameleon-store/src/read.rs";
const LISTEN: &str = "crates/chameleon-store/src/postgres/listen.rs";
const POSTGRES: &str = "crates/chameleon-store/src/postgres/mod.rs";

/// Something that a server does so that nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cure {
    /// That a held state is the database's is seen by its tag, and not by epoch and revision alone
    TagCheck,
    /// After its connection was lost, a server looks for what it has missed; without the poll either
    ReRead,
    /// A server looks from time to time; the rest has to be enough without, and the test passes
    Poll,
}

/// A part of a file and what stands there instead.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// How often it is there.
    times: usize,
}

const POLL: Edit = Edit {
    file: POSTGRES,
    from: "poll_interval: Duration::from_secs(5)",
    to: "poll_interval: Duration::from_hours(1)",
    times: 1,
};

impl Cure {
    /// Says whether nothing is lost without it either.
    pub(crate) fn is_spare(self) -> bool {
        self == Self::Poll
    }

    fn edits(self) -> Vec<Edit> {
        let mut edits = self.cuts();
        edits.push(Edit {
            file: MANIFEST,
            from: "version = \"0.1.0\"\nedition",
            to: match self {
                Self::TagCheck => "version = \"0.1.0+without.tag-check\"\nedition",
                Self::ReRead => "version = \"0.1.0+without.re-read\"\nedition",
                Self::Poll => "version = \"0.1.0+without.poll\"\nedition",
            },
            times: 1,
        });
        edits
    }

    fn cuts(self) -> Vec<Edit> {
        match self {
            Self::TagCheck => vec![Edit {
                file: READ,
                from: "epoch = $2 AND tag = $3",
                to: "epoch = $2 AND $3 IS NOT NULL",
                times: 2,
            }],
            Self::ReRead => vec![
                Edit {
                    file: LISTEN,
                    from: "// Whatever was committed since the last notice is found by looking.\n            \
                           self.news.look();",
                    to: "",
                    times: 1,
                },
                Edit {
                    file: LISTEN,
                    from: "// Whatever was committed before LISTEN took effect.\n        \
                           self.news.look();",
                    to: "",
                    times: 1,
                },
                POLL,
            ],
            Self::Poll => vec![POLL],
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TagCheck => "the tag check",
            Self::ReRead => "the re-read after a reconnect",
            Self::Poll => "the poll",
        })
    }
}

impl Edit {
    fn apply(&self, text: &str) -> anyhow::Result<String> {
        let found = text.matches(self.from).count();
        if found != self.times {
            bail!(
                "`{}` holds {found} times and not {} times: {}",
                self.file,
                self.times,
                self.from
            );
        }
        Ok(text.replace(self.from, self.to))
    }
}

/// Makes a copy of the sources without `cure`, and has `cargo` work on it.
pub(crate) fn prepare(cure: Cure, cargo: &mut Command) -> anyhow::Result<()> {
    let given = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = shell::root().join(given);
    let copy = target.join("faults").join(format!("{cure:?}"));
    copy_without(cure, &copy)
        .with_context(|| format!("copy the sources to `{}`", copy.display()))?;
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", target);
    Ok(())
}

fn copy_without(cure: Cure, copy: &Path) -> anyhow::Result<()> {
    let files = sources()?;
    remove_others(copy, copy, &files)?;
    let edits = cure.edits();
    for file in &files {
        let path = shell::root().join(file);
        let mut bytes =
            std::fs::read(&path).with_context(|| format!("read `{}`", file.display()))?;
        let edits: Vec<_> = (edits.iter())
            .filter(|edit| Path::new(edit.file) == file)
            .collect();
        if !edits.is_empty() {
            let text = String::from_utf8(bytes)?;
            let edited = (edits.iter()).try_fold(text, |text, edit| edit.apply(&text))?;
            bytes = edited.into_bytes();
        }
        let to = copy.join(file);
        // What has not changed keeps its time, and is not compiled again.
        if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
            let folder = to.parent().context("a file has a folder")?;
            std::fs::create_dir_all(folder)?;
            std::fs::write(&to, bytes)?;
        }
    }
    Ok(())
}

/// All files of the sources, also those that are not committed yet.
fn sources() -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(shell::root());
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let files = shell::output(&mut git)?;
    let files = files.split('\0').filter(|file| !file.is_empty());
    let there = files.map(PathBuf::from);
    Ok(there
        .filter(|file| shell::root().join(file).is_file())
        .collect())
}

/// Removes from `folder` in `copy` what is not in `files`.
fn remove_others(copy: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(copy, &path, files)?;
        } else if !files.contains(path.strip_prefix(copy)?) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn what_is_taken_out_is_there() {
        for cure in Cure::value_variants() {
            for edit in cure.edits() {
                let text = std::fs::read_to_string(shell::root().join(edit.file)).unwrap();
                edit.apply(&text).unwrap();
            }
        }
    }
}
