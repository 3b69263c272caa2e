//! `chameleon export`: keys with their values as text.

use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

use anyhow::Context as _;
use chameleon_client::{Api, Selection};
use chameleon_model::{Prefix, Revision};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::args::ExportArgs;
use crate::dump::{Content, Dump};
use crate::screen::{Answer, ReaderGone, Screen, Tone};

#[derive(Serialize)]
struct Exported {
    file: String,
    entries: usize,
    revision: u64,
}

impl Answer for Exported {
    fn text(&self, screen: Screen) -> String {
        let Self {
            file,
            entries,
            revision,
        } = self;
        screen.paint(
            Tone::Good,
            format!("wrote {entries} keys of revision {revision} to `{file}`"),
        )
    }
}

/// Writes the keys under a prefix, all as they were at one revision.
pub(crate) async fn run(api: &Api, args: ExportArgs, screen: Screen) -> anyhow::Result<()> {
    let prefix = Prefix::new(&args.prefix);
    let selection = Selection::prefix(prefix.clone());
    let state = api.read(&selection, args.revision.map(Revision));
    let state = screen.waiting("reading the keys", state).await?;
    let entries = (state.entries.into_iter()).map(|entry| {
        let (value, flags) = (entry.value, entry.flags);
        (entry.key, Content { value, flags })
    });
    let dump = Dump {
        state: state.stamp.to_string(),
        prefix,
        entries: entries.collect(),
    };
    let Some(file) = args.file else {
        return match dump.write(BufWriter::new(io::stdout().lock())) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Err(anyhow::Error::new(ReaderGone))
            }
            other => other.context("write to standard output"),
        };
    };
    save(&dump, &file).with_context(|| format!("write `{}`", file.display()))?;
    screen.show(&Exported {
        file: file.display().to_string(),
        entries: dump.entries.len(),
        revision: state.stamp.revision.0,
    })
}

/// Replaces the file at once, readable by its owner only: values may be secrets.
fn save(dump: &Dump, file: &Path) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let draft = NamedTempFile::new_in(folder)?;
    dump.write(BufWriter::new(&draft))?;
    draft.as_file().sync_all()?;
    draft.persist(file)?;
    Ok(())
}
