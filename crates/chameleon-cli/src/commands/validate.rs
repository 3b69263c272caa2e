//! `chameleon validate`: git-sync's verdict on a folder, without a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chameleon_model::check::check_folder;
use chameleon_model::document::{Fault, Profile, Profiles};
use serde::Serialize;

use crate::args::ValidateArgs;
use crate::screen::{Answer, Screen, Tone};

#[derive(Serialize)]
struct Judged {
    good: bool,
    files: usize,
    faults: Vec<Row>,
    warnings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    path: Option<String>,
    reason: String,
    #[serde(skip)]
    text: String,
}

impl From<&Fault> for Row {
    fn from(fault: &Fault) -> Self {
        Self {
            file: fault.file.clone(),
            line: fault.position.map(|position| position.line),
            column: fault.position.map(|position| position.column),
            path: fault.path.as_ref().map(ToString::to_string),
            reason: fault.reason.clone(),
            text: fault.to_string(),
        }
    }
}

impl Answer for Judged {
    fn text(&self, screen: Screen) -> String {
        let warnings = self
            .warnings
            .iter()
            .map(|row| format!("warning: {}", row.text));
        let faults = self
            .faults
            .iter()
            .map(|row| screen.paint(Tone::Bad, &row.text));
        let mut lines: Vec<_> = warnings.chain(faults).collect();
        lines.push(if self.good {
            screen.paint(
                Tone::Good,
                format!("{} checked, all good", count(self.files, "file")),
            )
        } else {
            format!(
                "{} in {}",
                count(self.faults.len(), "fault"),
                count(self.files, "file")
            )
        });
        lines.join("\n")
    }
}

/// `1 file`, `2 files`.
fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Prints all faults; exit code 1 if there are any.
pub(crate) fn run(args: &ValidateArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let profiles = Profiles::new(&args.profiles).context("`--profiles`")?;
    let only = (args.only.as_ref())
        .map(|names| {
            names
                .iter()
                .map(|name| Profile::new(name))
                .collect::<Result<Vec<_>, _>>()
        })
        .transpose()
        .context("`--only`")?;
    let files = read(&args.folder)?;
    if files.is_empty() {
        bail!("folder `{}` has no files", args.folder.display());
    }
    let verdict = check_folder(&files, &profiles, only.as_deref());
    let judged = Judged {
        good: verdict.is_good(),
        files: files.len(),
        faults: verdict.faults.iter().map(Row::from).collect(),
        warnings: verdict.warnings.iter().map(Row::from).collect(),
    };
    screen.show(&judged)?;
    Ok(if judged.good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The files of the folder and of its `schemas`, named relative to it.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    read_into(&mut files, folder, "")?;
    let schemas = folder.join("schemas");
    if schemas.is_dir() {
        read_into(&mut files, &schemas, "schemas/")?;
    }
    Ok(files)
}

fn read_into(
    files: &mut BTreeMap<String, Vec<u8>>,
    folder: &Path,
    label: &str,
) -> anyhow::Result<()> {
    let at = || format!("read folder `{}`", folder.display());
    for entry in std::fs::read_dir(folder).with_context(at)? {
        let path = entry.with_context(at)?.path();
        if !path.is_file() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("the name `{}` is no UTF-8", path.display()))?;
        let bytes = std::fs::read(&path).with_context(|| format!("read `{}`", path.display()))?;
        files.insert(format!("{label}{name}"), bytes);
    }
    Ok(())
}
