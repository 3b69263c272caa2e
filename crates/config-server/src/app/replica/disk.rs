//! The newest state on disk: what a server starts with while its database is away.
//!
//! The file is a line with the name and version of the format, then records, then the SHA-256 of
//! all before. A record is its length in four bytes, the lowest first, and a protobuf message; those
//! of `chameleon.v1` where it has them. The file's modification time says until when the database
//! has confirmed that the state is the newest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chameleon_model::{
    CommitId, Grant, Hold, Key, Prefix, Revision, Rule, Session, SessionBehavior, SessionId,
    Snapshot, SnapshotParts, SourceMarker, SourceName, Timestamp, Token, TokenHash, TokenName,
};
use chameleon_proto::v1;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{Contents, Sources};

/// The first word of the file, and the version of its format.
const MAGIC: &str = "chameleon-snapshot";
const VERSION: u32 = 1;

/// The longest first line that is read; those of later versions will not be longer.
const HEADER_BYTES: u64 = 64;

const DIGEST_BYTES: usize = 32;

/// No record is longer: a value has half a mebibyte at most, a hold two of them, and names are short.
const RECORD_BYTES: usize = 2 * 1024 * 1024;

const BUFFER_BYTES: usize = 256 * 1024;

/// Where the state is kept.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile {
    path: PathBuf,
}

/// A state that was read from disk.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) contents: Contents,
    /// The tokens that were known, by the hashes of their secrets.
    pub(crate) tokens: Vec<Token>,
    /// The time since the database confirmed it.
    pub(crate) age: Duration,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[error("snapshot `{path}` is not used: {reason}; the next one will replace it")]
pub(super) struct Unusable {
    path: PathBuf,
    reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Head(Head),
    #[prost(message, tag = "2")]
    Entry(v1::Entry),
    #[prost(message, tag = "3")]
    Deletion(Deletion),
    #[prost(message, tag = "4")]
    Session(SessionRecord),
    #[prost(message, tag = "5")]
    Source(v1::Source),
    #[prost(message, tag = "6")]
    Token(TokenRecord),
    #[prost(message, tag = "7")]
    Hold(v1::Hold),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(message, required, tag = "1")]
    stamp: v1::Stamp,
    #[prost(uint64, tag = "2")]
    floor: u64,
    #[prost(uint64, tag = "3")]
    sessions_changed: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Deletion {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bool, tag = "3")]
    deletes: bool,
    #[prost(uint64, optional, tag = "4")]
    ttl_nanos: Option<u64>,
    #[prost(uint64, tag = "5")]
    lock_delay_nanos: u64,
    #[prost(uint64, tag = "6")]
    create_revision: u64,
    #[prost(string, tag = "7")]
    opened_by: String,
}

/// A token as far as it takes to admit it: of its secrets only the hashes.
#[derive(Clone, PartialEq, prost::Message)]
struct TokenRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    rules: Vec<String>,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    replaced: Option<ReplacedRecord>,
    #[prost(int64, tag = "5")]
    created: i64,
    #[prost(string, tag = "6")]
    created_by: String,
    #[prost(int64, optional, tag = "7")]
    expires: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReplacedRecord {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(int64, tag = "2")]
    until: i64,
}

impl SnapshotFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state; `None` if there is no file yet.
    pub(super) fn load(&self) -> Result<Option<Kept>, Unusable> {
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
            Ok(file) => read(file).map(Some),
        }
        .map_err(|reason| Unusable {
            path: self.path.clone(),
            reason,
        })
    }

    /// Replaces the file at once: whoever reads it, after a crash too, sees the old or the new.
    pub(super) fn save(
        &self,
        snapshot: &Snapshot,
        sources: &Sources,
        tokens: &[Token],
    ) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        // Always of the same name, so that crashes do not fill the disk.
        let mut draft = self.path.clone().into_os_string();
        draft.push(".draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = create_private(draft.as_ref()).and_then(|file| {
            write(file, snapshot, sources, tokens)?.sync_all()?;
            fs::rename(&draft, &self.path)?;
            File::open(folder)?.sync_all()
        });
        if written.is_err() {
            // It may be there or not; what matters is the first error.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Notes that the database has confirmed the state in the file `age` ago.
    pub(super) fn confirm(&self, age: Duration) -> io::Result<()> {
        let at = SystemTime::now() - age;
        File::open(&self.path)?.set_modified(at)
    }
}

/// Creates a file that only its owner can read.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write(file: File, snapshot: &Snapshot, sources: &Sources, tokens: &[Token]) -> io::Result<File> {
    let mut writer = Writer {
        out: BufWriter::with_capacity(BUFFER_BYTES, file),
        digest: Sha256::new(),
        record: Vec::new(),
    };
    writer.write(format!("{MAGIC} {VERSION}\n").as_bytes())?;
    writer.put(Kind::Head(Head {
        stamp: snapshot.stamp().into(),
        floor: snapshot.floor().0,
        sessions_changed: snapshot.sessions_index().0,
    }))?;
    let all = Prefix::all();
    for entry in snapshot.under(&all) {
        writer.put(Kind::Entry((&**entry).into()))?;
    }
    for (key, revision) in snapshot.deleted_under(&all) {
        writer.put(Kind::Deletion(Deletion {
            key: key.to_string(),
            revision: revision.0,
        }))?;
    }
    for session in snapshot.sessions() {
        writer.put(Kind::Session((&**session).into()))?;
    }
    for hold in snapshot.holds() {
        writer.put(Kind::Hold((&**hold).into()))?;
    }
    for marker in sources.values() {
        writer.put(Kind::Source(source_record(marker)))?;
    }
    for token in tokens {
        writer.put(Kind::Token(token.into()))?;
    }
    let Writer {
        mut out, digest, ..
    } = writer;
    out.write_all(&digest.finalize())?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

struct Writer {
    out: BufWriter<File>,
    digest: Sha256,
    /// Used again for each record.
    record: Vec<u8>,
}

impl Writer {
    fn put(&mut self, kind: Kind) -> io::Result<()> {
        self.record.clear();
        self.record.extend([0; 4]);
        let record = Record { kind: Some(kind) };
        record
            .encode(&mut self.record)
            .expect("a vector has room for everything");
        let length = u32::try_from(self.record.len() - 4).expect("no record is that long");
        self.record[..4].copy_from_slice(&length.to_le_bytes());
        let record = std::mem::take(&mut self.record);
        let written = self.write(&record);
        self.record = record;
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}

fn read(file: File) -> Result<Kept, String> {
    let about = file.metadata().map_err(|error| error.to_string())?;
    let modified = about.modified().map_err(|error| error.to_string())?;
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut digest = Sha256::new();

    let mut header = Vec::new();
    ((&mut file)
        .take(HEADER_BYTES)
        .read_until(b'\n', &mut header))
    .map_err(|error| error.to_string())?;
    digest.update(&header);
    let version = (str::from_utf8(&header).ok())
        .and_then(|line| line.strip_suffix('\n'))
        .and_then(|line| line.split_once(' '))
        .and_then(|(magic, version)| (magic == MAGIC).then_some(version))
        .ok_or("it does not start as such a file does")?;
    if version != VERSION.to_string() {
        return Err(format!(
            "its format is `{version}`, this program knows {VERSION}"
        ));
    }
    let body = (about.len())
        .checked_sub((header.len() + DIGEST_BYTES) as u64)
        .ok_or("it is cut off")?;

    let mut reader = Reader {
        body: (&mut file).take(body),
        digest,
    };
    let mut gathered = Gathered::default();
    while let Some(kind) = reader.next()? {
        gathered.add(kind)?;
    }
    let found = reader.digest.finalize();
    let mut noted = [0; DIGEST_BYTES];
    file.read_exact(&mut noted)
        .map_err(|error| error.to_string())?;
    if found[..] != noted {
        return Err("its checksum does not match; it is damaged".to_owned());
    }
    let (contents, tokens) = gathered.parts()?;
    Ok(Kept {
        contents,
        tokens,
        age: SystemTime::now()
            .duration_since(modified)
            .unwrap_or_default(),
    })
}

/// Reads records one by one, so that a large file is not in memory twice.
struct Reader<R> {
    body: io::Take<R>,
    digest: Sha256,
}

impl<R: Read> Reader<R> {
    fn next(&mut self) -> Result<Option<Kind>, String> {
        if self.body.limit() == 0 {
            return Ok(None);
        }
        let damaged = |error: &dyn std::fmt::Display| format!("it is damaged: {error}");
        let mut length = [0; 4];
        (self.body.read_exact(&mut length)).map_err(|error| damaged(&error))?;
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > RECORD_BYTES {
            return Err(damaged(&format!("a record of {bytes} bytes")));
        }
        let mut record = vec![0; bytes];
        (self.body.read_exact(&mut record)).map_err(|error| damaged(&error))?;
        self.digest.update(length);
        self.digest.update(&record);
        // The value stays in the record's buffer, which it nearly fills.
        let record = Record::decode(bytes::Bytes::from(record)).map_err(|error| damaged(&error))?;
        let kind = record.kind.ok_or_else(|| damaged(&"an unknown record"))?;
        Ok(Some(kind))
    }
}

#[derive(Default)]
struct Gathered {
    head: Option<Head>,
    parts: SnapshotParts,
    sources: Sources,
    tokens: Vec<Token>,
}

impl Gathered {
    fn add(&mut self, kind: Kind) -> Result<(), String> {
        match kind {
            Kind::Head(head) => self.head = Some(head),
            Kind::Entry(entry) => {
                let entry = entry.try_into();
                (self.parts.entries)
                    .push(entry.map_err(|error: chameleon_proto::Invalid| error.to_string())?);
            }
            Kind::Deletion(Deletion { key, revision }) => {
                let key = Key::new(&key).map_err(|error| error.to_string())?;
                self.parts.tombstones.push((key, Revision(revision)));
            }
            Kind::Session(session) => self.parts.sessions.push(session.try_into()?),
            Kind::Hold(hold) => {
                let hold = Hold::try_from(hold).map_err(|error| error.to_string())?;
                self.parts.holds.push(hold);
            }
            Kind::Source(source) => {
                let marker = source_marker(source)?;
                self.sources.insert(marker.name.clone(), marker);
            }
            Kind::Token(token) => self.tokens.push(token.try_into()?),
        }
        Ok(())
    }

    fn parts(mut self) -> Result<(Contents, Vec<Token>), String> {
        let head = self.head.ok_or("it does not say which state it holds")?;
        self.parts.stamp = head.stamp.into();
        self.parts.floor = Revision(head.floor);
        self.parts.sessions_changed = Revision(head.sessions_changed);
        let contents = Contents {
            snapshot: self.parts.into(),
            sources: self.sources,
        };
        Ok((contents, self.tokens))
    }
}

impl From<&Session> for SessionRecord {
    fn from(session: &Session) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            id: session.id.to_string(),
            name: session.name.clone(),
            deletes: session.behavior == SessionBehavior::Delete,
            ttl_nanos: session.ttl.map(nanos),
            lock_delay_nanos: nanos(session.lock_delay),
            create_revision: session.create_revision.0,
            opened_by: session.opened_by.clone(),
        }
    }
}

impl TryFrom<SessionRecord> for Session {
    type Error = String;

    fn try_from(record: SessionRecord) -> Result<Self, String> {
        let id = (record.id.parse())
            .map_err(|error| format!("`{}` is no session's id: {error}", record.id))?;
        Ok(Self {
            id: SessionId(id),
            name: record.name,
            behavior: if record.deletes {
                SessionBehavior::Delete
            } else {
                SessionBehavior::Release
            },
            ttl: record.ttl_nanos.map(Duration::from_nanos),
            lock_delay: Duration::from_nanos(record.lock_delay_nanos),
            opened_by: record.opened_by,
            create_revision: Revision(record.create_revision),
        })
    }
}

impl From<&Token> for TokenRecord {
    fn from(token: &Token) -> Self {
        let rules = token.grant.rules().iter();
        let replaced = token.replaced.map(|(hash, until)| ReplacedRecord {
            hash: hash.0.to_vec(),
            until: until.0,
        });
        Self {
            name: token.name.to_string(),
            rules: rules.map(ToString::to_string).collect(),
            hash: token.hash.0.to_vec(),
            replaced,
            created: token.created.0,
            created_by: token.created_by.clone(),
            expires: token.expires.map(|at| at.0),
        }
    }
}

impl TryFrom<TokenRecord> for Token {
    type Error = String;

    fn try_from(record: TokenRecord) -> Result<Self, String> {
        let of = |error: &dyn std::fmt::Display| format!("token `{}`: {error}", record.name);
        let rules = record.rules.iter().map(|rule| rule.parse::<Rule>());
        let rules: Result<Vec<_>, _> = rules.collect();
        let replaced = (record.replaced.as_ref())
            .map(|replaced| Ok((token_hash(&replaced.hash)?, Timestamp(replaced.until))))
            .transpose();
        Ok(Self {
            name: TokenName::new(&record.name).map_err(|error| of(&error))?,
            grant: Grant::new(rules.map_err(|error| of(&error))?),
            hash: token_hash(&record.hash).map_err(|error| of(&error))?,
            replaced: replaced.map_err(|error: String| of(&error))?,
            created: Timestamp(record.created),
            created_by: record.created_by.clone(),
            expires: record.expires.map(Timestamp),
        })
    }
}

fn token_hash(bytes: &[u8]) -> Result<TokenHash, String> {
    let hash = bytes.try_into();
    (hash.map(TokenHash)).map_err(|_| format!("a hash of {} bytes", bytes.len()))
}

fn source_record(marker: &SourceMarker) -> v1::Source {
    v1::Source {
        name: marker.name.to_string(),
        commit: marker.commit.to_string(),
        stamp: Some(marker.stamp.into()),
        at_us: marker.at.0,
        profiles: marker.profiles.clone(),
        report: None,
        held: Vec::new(),
    }
}

fn source_marker(record: v1::Source) -> Result<SourceMarker, String> {
    let stamp =
        (record.stamp).ok_or_else(|| format!("source `{}` does not say its state", record.name))?;
    Ok(SourceMarker {
        name: SourceName::from(record.name.as_str()),
        commit: CommitId::from(record.commit.as_str()),
        profiles: record.profiles,
        stamp: stamp.into(),
        at: Timestamp(record.at_us),
    })
}

#[cfg(test)]
mod tests;
