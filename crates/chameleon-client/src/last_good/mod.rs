//! The last state that was good, on disk: what an instance starts with when no server can help.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chameleon_model::{Epoch, Key, Revision, Stamp, Tag};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::engine::Documents;

/// The first word of the file, and the version of its format.
const MAGIC: &str = "chameleon-last-good";
const VERSION: u32 = 1;

/// The file of one service in one profile.
#[derive(Debug)]
pub(crate) struct LastGoodFile {
    path: PathBuf,
    keys: [Key; 4],
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[error("last-known-good file `{path}` is not used: {reason}")]
pub(crate) struct Unusable {
    path: PathBuf,
    reason: String,
}

/// The file's second part, a line of JSON. Placeholders are not filled in it, so no secret of the
/// environment gets to the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    epoch: u64,
    revision: u64,
    tag: u64,
    documents: Vec<Document>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    key: String,
    text: Option<String>,
}

impl LastGoodFile {
    /// The file for documents of these keys in `folder`; creates the folder, and proves that a file
    /// can be written in it.
    ///
    /// # Errors
    /// What the system says about the folder.
    pub(crate) fn new(
        folder: &Path,
        service: &str,
        profile: &str,
        keys: &[Key; 4],
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let probe = temporary(folder);
        create_private(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self {
            path: folder.join(format!("{service}-{profile}.last-good")),
            keys: keys.clone(),
        })
    }

    /// Reads the documents; `None` if there is no file yet.
    pub(crate) fn load(&self) -> Result<Option<Documents>, Unusable> {
        let unusable = |reason: String| Unusable {
            path: self.path.clone(),
            reason,
        };
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
        let words: Vec<_> = head.split(' ').collect();
        let [MAGIC, version, sum] = words[..] else {
            return Err(unusable("it does not start as such a file does".to_owned()));
        };
        if version != VERSION.to_string() {
            let reason = format!("its format is `{version}`, this program knows {VERSION}");
            return Err(unusable(reason));
        }
        if sum != checksum(body) {
            return Err(unusable(
                "its checksum does not match; it is damaged".to_owned(),
            ));
        }
        let content: Content =
            serde_json::from_str(body).map_err(|error| unusable(error.to_string()))?;
        let keys = content.documents.iter().map(|document| &*document.key);
        if !keys.eq(self.keys.iter().map(Key::as_str)) {
            return Err(unusable(
                "it belongs to another service, profile or prefix; give each its own folder"
                    .to_owned(),
            ));
        }
        let mut values = [const { None }; 4];
        for (value, document) in values.iter_mut().zip(content.documents) {
            *value = document.text.map(Into::into);
        }
        Ok(Some(Documents {
            stamp: Stamp {
                epoch: Epoch(content.epoch),
                revision: Revision(content.revision),
                tag: Tag(content.tag),
            },
            values,
        }))
    }

    /// Replaces the file at once: whoever reads it, after a crash too, sees the old or the new.
    pub(crate) fn save(&self, documents: &Documents) -> io::Result<()> {
        let content = Content {
            epoch: documents.stamp.epoch.0,
            revision: documents.stamp.revision.0,
            tag: documents.stamp.tag.0,
            documents: (self.keys.iter().zip(&documents.values))
                .map(|(key, value)| Document {
                    key: key.to_string(),
                    // A good document is UTF-8: it was read as YAML.
                    text: (value.as_ref()).map(|value| String::from_utf8_lossy(value).into_owned()),
                })
                .collect(),
        };
        let body = serde_json::to_string(&content)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let draft = temporary(folder);
        let written = create_private(&draft).and_then(|mut file| {
            write!(file, "{MAGIC} {VERSION} {}\n{body}", checksum(&body))?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            File::open(folder)?.sync_all()
        });
        if written.is_err() {
            // The draft may be there or not; what matters is the first error.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A name that no other instance in this folder uses.
fn temporary(folder: &Path) -> PathBuf {
    folder.join(format!(".last-good-{}.tmp", Uuid::new_v4().simple()))
}

/// Creates a file that only its owner can read.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn checksum(body: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(body.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
