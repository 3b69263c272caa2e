//! Git's own object formats, as far as they are needed here.

use chameleon_model::CommitId;

use crate::hex::hex;

/// How much of a commit's message travels with a change, in bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitObject {
    /// Its id.
    pub(crate) id: CommitId,
    /// The commits before it.
    pub(crate) parents: Vec<CommitId>,
    /// `name <e-mail>` of its author.
    pub(crate) author: String,
    /// Subject and body, cut to a bounded length.
    pub(crate) message: String,
    /// When it was committed, in seconds since 1970 by the committer's clock.
    pub(crate) committed_at: i64,
}

impl CommitObject {
    /// The first line of the message.
    pub(crate) fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// Reads a commit; `None` if it is not one.
pub(crate) fn commit_object(id: &str, bytes: &[u8]) -> Option<CommitObject> {
    let text = String::from_utf8_lossy(bytes);
    let (head, message) = text.split_once("\n\n").unwrap_or((&*text, ""));
    let mut parents = Vec::new();
    let (mut author, mut committed_at) = (None, None);
    for line in head.lines() {
        match line.split_once(' ') {
            Some(("parent", parent)) => parents.push(parent.into()),
            Some(("author", person)) => author = Some(signature(person)?.0.to_owned()),
            Some(("committer", person)) => committed_at = Some(signature(person)?.1),
            _ => {}
        }
    }
    Some(CommitObject {
        id: id.into(),
        parents,
        author: author?,
        message: bounded(message.trim()).to_owned(),
        committed_at: committed_at?,
    })
}

/// Splits `name <e-mail> seconds zone`.
fn signature(text: &str) -> Option<(&str, i64)> {
    let end = text.rfind('>')? + 1;
    let (person, time) = text.split_at(end);
    Some((person, time.split_whitespace().next()?.parse().ok()?))
}

fn bounded(text: &str) -> &str {
    let mut end = text.len().min(MAX_MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// One line of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    /// What it is.
    pub(crate) kind: EntryKind,
    /// Its name, as git has it: any bytes but `/` and zero.
    pub(crate) name: Vec<u8>,
    /// The object's id in hexadecimal.
    pub(crate) id: String,
}

/// What a tree may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Folder,
    Symlink,
    Submodule,
}

/// Reads a tree whose ids have `id_bytes` bytes; `None` if it is not one.
pub(crate) fn tree_entries(mut bytes: &[u8], id_bytes: usize) -> Option<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|&byte| byte == b' ')?;
        let zero = bytes.iter().position(|&byte| byte == 0)?;
        let (mode, name) = (&bytes[..blank], bytes.get(blank + 1..zero)?);
        let id = bytes.get(zero + 1..zero + 1 + id_bytes)?;
        let kind = match mode {
            b"40000" => EntryKind::Folder,
            b"120000" => EntryKind::Symlink,
            b"160000" => EntryKind::Submodule,
            _ => EntryKind::File,
        };
        entries.push(TreeEntry {
            kind,
            name: name.to_vec(),
            id: hex(id),
        });
        bytes = &bytes[zero + 1 + id_bytes..];
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "tree 1f\nparent aa\nparent bb\nauthor Kim Jisoo <kim@example.com> \
        1700000000 +0900\ncommitter Bot <bot@example.com> 1700000100 +0000\ngpgsig -----BEGIN\n \
        author Nobody <n@n> 1 +0000\n\nMove traffic to B\n\nA is slow.\n";

    #[test]
    fn a_commit_tells_its_author_parents_and_message() {
        let commit = commit_object("cc", COMMIT.as_bytes()).unwrap();
        assert_eq!(commit.author, "Kim Jisoo <kim@example.com>");
        assert_eq!(commit.parents, ["aa".into(), "bb".into()]);
        assert_eq!(commit.subject(), "Move traffic to B");
        assert_eq!(commit.message, "Move traffic to B\n\nA is slow.");
        assert_eq!(commit.committed_at, 1_700_000_100);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = "한".repeat(1000);
        let text = format!("author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n{message}");
        let commit = commit_object("cc", text.as_bytes()).unwrap();
        assert_eq!(commit.message.len(), 2046);
        assert!(message.starts_with(&commit.message));
    }

    #[test]
    fn what_is_no_commit_is_none() {
        for text in ["", "tree 1f\n\nx", "author A\ncommitter B\n\nx"] {
            assert_eq!(commit_object("cc", text.as_bytes()), None);
        }
    }

    #[test]
    fn a_tree_tells_kinds_names_and_ids() {
        let mut bytes = Vec::new();
        for (mode, name) in [
            ("100644", "a b.yml"),
            ("40000", "schemas"),
            ("120000", "l"),
            ("160000", "m"),
        ] {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(&[0, 0xab, 0x10]);
        }
        let entries = tree_entries(&bytes, 3).unwrap();
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(
            kinds,
            [
                EntryKind::File,
                EntryKind::Folder,
                EntryKind::Symlink,
                EntryKind::Submodule
            ]
        );
        assert_eq!(entries[0].name, b"a b.yml");
        assert_eq!(entries[0].id, "00ab10");
        assert_eq!(tree_entries(&bytes[..bytes.len() - 1], 3), None);
        assert_eq!(tree_entries(b"nonsense", 3), None);
    }
}
