//! The files of a source's folder at one commit, straight from the object database.

use std::collections::BTreeMap;

use bytes::Bytes;
use chameleon_model::CommitId;
use chameleon_model::document::{Fault, MAX_DOCUMENT_BYTES};

use crate::git::{EntryKind, Found, GitError, Mirror, Objects, TreeEntry, tree_entries};
use crate::settings::Source;

/// Documents lie in the folder, schemas one below; what lies deeper is refused by its name anyway.
const MAX_DEPTH: usize = 8;
/// What one transaction takes.
const MAX_FILES: usize = 20_000;
const MAX_TREE_BYTES: u64 = 8 * 1024 * 1024;

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The files by their names relative to the folder; those that start with a dot are left out.
    pub(crate) good: BTreeMap<String, Bytes>,
    /// What can't be read as a file.
    pub(crate) faults: Vec<Fault>,
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
    let mut level = match objects.get(&root, MAX_TREE_BYTES).await? {
        Found::Object { id, kind, bytes } if kind == "tree" => {
            vec![(String::new(), entries(mirror, &id, &bytes)?)]
        }
        _ => Vec::new(),
    };
    let mut blobs = Vec::new();
    for _ in 0..MAX_DEPTH {
        let mut folders = Vec::new();
        for (at, entry) in level
            .into_iter()
            .flat_map(|(at, entries)| entries.into_iter().map(move |entry| (at.clone(), entry)))
        {
            sort(&at, entry, &mut folders, &mut blobs, &mut files.faults);
        }
        if blobs.len() > MAX_FILES {
            let reason = format!("has over {MAX_FILES} files; split it into several sources");
            files.faults.push(Fault::of_file(".", reason));
            return Ok(files);
        }
        if folders.is_empty() {
            level = Vec::new();
            break;
        }
        level = read_trees(mirror, objects, folders).await?;
    }
    for (at, _) in level {
        let reason = format!("lies over {MAX_DEPTH} folders deep; move it up");
        files.faults.push(Fault::of_file(at, reason));
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

async fn read_trees(
    mirror: &Mirror,
    objects: &mut Objects,
    folders: Vec<Named>,
) -> Result<Vec<(String, Vec<TreeEntry>)>, GitError> {
    let (names, ids): (Vec<_>, Vec<_>) = folders.into_iter().unzip();
    let found = objects.get_all(&ids, MAX_TREE_BYTES).await?;
    let trees = names.into_iter().zip(found);
    trees
        .map(|(name, found)| match found {
            Found::Object { id, bytes, .. } => Ok((name, entries(mirror, &id, &bytes)?)),
            _ => Err(mirror.damaged(format!("folder `{name}` can't be read"))),
        })
        .collect()
}

async fn read_blobs(
    mirror: &Mirror,
    objects: &mut Objects,
    blobs: Vec<Named>,
    files: &mut Files,
) -> Result<(), GitError> {
    let (names, ids): (Vec<_>, Vec<_>) = blobs.into_iter().unzip();
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let found = objects.get_all(&ids, limit).await?;
    for (name, found) in names.into_iter().zip(found) {
        match found {
            Found::Object { bytes, .. } => {
                files.good.insert(name, bytes);
            }
            Found::TooLarge { bytes } => {
                let reason = format!("has {bytes} bytes, {limit} are allowed; split it");
                files.faults.push(Fault::of_file(name, reason));
            }
            Found::Missing => return Err(mirror.damaged(format!("file `{name}` is missing"))),
        }
    }
    Ok(())
}

fn entries(mirror: &Mirror, id: &str, bytes: &[u8]) -> Result<Vec<TreeEntry>, GitError> {
    tree_entries(bytes, id.len() / 2)
        .ok_or_else(|| mirror.damaged(format!("tree `{id}` can't be read")))
}
