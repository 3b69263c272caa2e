//! The files of a source's folder at one commit, straight from the object database.

use std::collections::BTreeMap;

use bytes::Bytes;
use chameleon_model::CommitId;
use chameleon_model::document::{Fault, MAX_DOCUMENT_BYTES};

use crate::git::{EntryKind, Found, GitError, Mirror, Objects, TreeEntry, tree_entries};
use crate::settings::Source;

/// Documents lie in the folder, schemas one below; what lies deeper is refused by its name anyway.
const MAX_DEPTH: usize = 8;
/// What one transaction takes, in files; folders count too, because equal ones cost a repository
/// nothing and may hold each other many times over.
const MAX_ENTRIES: usize = 20_000;
/// What one transaction takes, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;
const MAX_TREE_BYTES: u64 = 8 * 1024 * 1024;
/// Files that are read at a time: whatever their sizes, they are few bytes beside [`MAX_BYTES`].
const BATCH: usize = 32;

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The files by their names relative to the folder; those that start with a dot are left out.
    pub(crate) good: BTreeMap<String, Bytes>,
    /// What can't be read as a file.
    pub(crate) faults: Vec<Fault>,
}

impl Files {
    /// Nothing can be applied, and a check of what was read would only hide why.
    fn refused(reason: String) -> Self {
        Self {
            good: BTreeMap::new(),
            faults: vec![Fault::of_file(".", reason)],
        }
    }

    fn too_many() -> Self {
        Self::refused(format!(
            "has over {MAX_ENTRIES} files and folders; split it into several sources"
        ))
    }
}

/// Reads the source's folder at `commit`.
///
/// # Errors
/// If the clone fails. What is wrong with the folder itself is in [`Files::faults`].
pub(crate) async fn read_folder(
    mirror: &Mirror,
    objects: &mut Objects,
    source: &Source,
    commit: &CommitId,
) -> Result<Files, GitError> {
    let mut files = Files::default();
    let root = match source.folder.as_str() {
        "" => format!("{commit}^{{tree}}"),
        folder => format!("{commit}:{folder}"),
    };
    let mut blobs = Vec::new();
    let mut folders = vec![(String::new(), root)];
    let mut count = 0;
    while let Some((at, name)) = folders.pop() {
        if at.matches('/').count() > MAX_DEPTH {
            let reason = format!("lies over {MAX_DEPTH} folders deep; move it up");
            files.faults.push(Fault::of_file(at, reason));
            continue;
        }
        let entries = match objects.get(&name, MAX_TREE_BYTES).await? {
            Found::Object { id, kind, bytes } if kind == "tree" => entries(mirror, &id, &bytes)?,
            Found::TooLarge { .. } => return Ok(Files::too_many()),
            // Whether there is such a folder is the commit's affair.
            _ if at.is_empty() => Vec::new(),
            _ => return Err(mirror.damaged(format!("folder `{at}` can't be read"))),
        };
        count += entries.len();
        if count > MAX_ENTRIES {
            return Ok(Files::too_many());
        }
        for entry in entries {
            sort(&at, entry, &mut folders, &mut blobs, &mut files.faults);
        }
    }
    read_blobs(mirror, objects, blobs, &mut files).await?;
    if files.good.is_empty() && files.faults.is_empty() {
        let reason = "has no file at this commit, so applying it would delete every key of the \
                      source; put the files back, or remove the source";
        files.faults.push(Fault::of_file(".", reason));
    }
    Ok(files)
}

/// An object by its path relative to the folder.
type Named = (String, String);

fn sort(
    at: &str,
    entry: TreeEntry,
    folders: &mut Vec<Named>,
    blobs: &mut Vec<Named>,
    faults: &mut Vec<Fault>,
) {
    if entry.name.starts_with(b".") {
        return;
    }
    let shown = format!("{at}{}", String::from_utf8_lossy(&entry.name));
    let mut refuse = |reason| faults.push(Fault::of_file(shown.as_str(), reason));
    if std::str::from_utf8(&entry.name).is_err() {
        return refuse("has a name that is not UTF-8; rename it");
    }
    match entry.kind {
        EntryKind::File => blobs.push((shown, entry.id)),
        EntryKind::Folder => folders.push((format!("{shown}/"), entry.id)),
        EntryKind::Symlink => refuse("is a symbolic link; put the file itself here"),
        EntryKind::Submodule => refuse("is a submodule; make it a source of its own"),
    }
}

async fn read_blobs(
    mirror: &Mirror,
    objects: &mut Objects,
    blobs: Vec<Named>,
    files: &mut Files,
) -> Result<(), GitError> {
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let mut total = 0;
    for batch in blobs.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|(_, id)| id).collect();
        let found = objects.get_all(&ids, limit).await?;
        for ((name, _), found) in batch.iter().zip(found) {
            match found {
                Found::Object { bytes, .. } => {
                    total += bytes.len();
                    files.good.insert(name.clone(), bytes);
                }
                Found::TooLarge { bytes } => {
                    let reason = format!("has {bytes} bytes, {limit} are allowed; split it");
                    files.faults.push(Fault::of_file(name.as_str(), reason));
                }
                Found::Missing => return Err(mirror.damaged(format!("file `{name}` is missing"))),
            }
        }
        if total > MAX_BYTES {
            let reason = format!("has over {MAX_BYTES} bytes; split it into several sources");
            *files = Files::refused(reason);
            return Ok(());
        }
    }
    Ok(())
}

fn entries(mirror: &Mirror, id: &str, bytes: &[u8]) -> Result<Vec<TreeEntry>, GitError> {
    tree_entries(bytes, id.len() / 2)
        .ok_or_else(|| mirror.damaged(format!("tree `{id}` can't be read")))
}
