//! The text format of `chameleon export`; docs/reference/export-format.md describes it.
//!
//! Lines of JSON: the first says what the file is, the last how many entries there were, with a
//! checksum; between them is a line for each entry.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chameleon_model::{Key, MAX_VALUE_BYTES, Prefix};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const FORMAT: &str = "chameleon-export";
const VERSION: u32 = 1;

/// How the last line begins.
const END: &str = r#"{"entries":"#;

/// The longest line: every byte of a value may be written as six characters.
const LINE_BYTES: u64 = 6 * MAX_VALUE_BYTES as u64 + 64 * 1024;

/// Keys under a prefix with their contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dump {
    /// The name of the state that it was taken from, for people.
    pub(crate) state: String,
    /// All keys under it are there, and no others.
    pub(crate) prefix: Prefix,
    pub(crate) entries: BTreeMap<Key, Content>,
}

/// What is kept of an entry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) value: Bytes,
    pub(crate) flags: u64,
}

impl std::fmt::Debug for Content {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, flags {}", self.value.len(), self.flags)
    }
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(crate) struct Damaged {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    format: String,
    version: u32,
    state: String,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    flags: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    entries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(flags: &u64) -> bool {
    *flags == 0
}

impl Dump {
    /// Writes it as text.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut lines = Lines {
            out,
            digest: Sha256::new(),
        };
        lines.write(&HeadLine {
            format: FORMAT.to_owned(),
            version: VERSION,
            state: self.state.clone(),
            prefix: self.prefix.to_string(),
        })?;
        for (key, Content { value, flags }) in &self.entries {
            let text = str::from_utf8(value).ok().map(str::to_owned);
            lines.write(&EntryLine {
                key: key.to_string(),
                base64: text.is_none().then(|| BASE64_STANDARD.encode(value)),
                value: text,
                flags: *flags,
            })?;
        }
        let sha256 = Some(hex(&lines.digest));
        lines.write(&EndLine {
            entries: self.entries.len(),
            sha256,
        })?;
        lines.out.flush()
    }

    /// Reads it from text.
    pub(crate) fn read(input: impl BufRead) -> Result<Self, Damaged> {
        let mut lines = Numbered {
            input,
            digest: Sha256::new(),
            line: 0,
        };
        let dump = lines.dump();
        dump.map_err(|reason| Damaged {
            line: lines.line,
            reason,
        })
    }
}

struct Lines<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.digest.update(&text);
        self.out.write_all(&text)
    }
}

struct Numbered<R> {
    input: R,
    /// Of all lines before the last one that was read.
    digest: Sha256,
    /// The number of that line.
    line: usize,
}

impl<R: BufRead> Numbered<R> {
    fn dump(&mut self) -> Result<Dump, String> {
        let first = self.next()?.ok_or("the file is empty")?;
        let head: HeadLine = serde_json::from_str(&first)
            .map_err(|error| format!("no file of `chameleon export` begins so: {error}"))?;
        if head.format != FORMAT {
            return Err(format!("the format is `{}`, not `{FORMAT}`", head.format));
        }
        if head.version != VERSION {
            return Err(format!(
                "the format's version is {}, this program knows {VERSION}",
                head.version
            ));
        }
        let prefix = Prefix::new(&head.prefix);
        self.digest.update(&first);
        let mut entries = BTreeMap::new();
        loop {
            let line = (self.next()?).ok_or("the last line is missing: the file is cut off")?;
            if line.starts_with(END) {
                self.end(&line, entries.len())?;
                return Ok(Dump {
                    state: head.state,
                    prefix,
                    entries,
                });
            }
            let (key, content) = entry(&line)?;
            if !prefix.covers(&key) {
                return Err(format!("key `{key}` does not begin with `{prefix}`"));
            }
            if entries.contains_key(&key) {
                return Err(format!("key `{key}` is there twice"));
            }
            entries.insert(key, content);
            self.digest.update(&line);
        }
    }

    fn end(&mut self, line: &str, entries: usize) -> Result<(), String> {
        let end: EndLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if end.entries != entries {
            return Err(format!(
                "{} entries were written, {entries} are there",
                end.entries
            ));
        }
        if end.sha256.is_some_and(|sha256| sha256 != hex(&self.digest)) {
            return Err(
                "the checksum does not match the lines before: the file is damaged; if they were \
                 changed on purpose, remove `sha256` from this line"
                    .to_owned(),
            );
        }
        match self.next()? {
            None => Ok(()),
            Some(_) => Err("something follows the last line".to_owned()),
        }
    }

    /// The next line with its line break; `None` at the end.
    fn next(&mut self) -> Result<Option<String>, String> {
        let mut bytes = Vec::new();
        self.line += 1;
        let mut input = Read::take(&mut self.input, LINE_BYTES);
        (input.read_until(b'\n', &mut bytes))
            .map_err(|error| format!("it can't be read: {error}"))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') && bytes.len() as u64 == LINE_BYTES {
            return Err(format!("it has more than {LINE_BYTES} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        Ok(Some(text))
    }
}

fn entry(line: &str) -> Result<(Key, Content), String> {
    let line: EntryLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let key = Key::new(&line.key).map_err(|error| error.to_string())?;
    let value = match (line.value, line.base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(base64)) => {
            let bytes = BASE64_STANDARD.decode(base64);
            bytes.map_err(|error| format!("`base64`: {error}"))?.into()
        }
        _ => return Err("one of `value` and `base64` is needed".to_owned()),
    };
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!(
            "the value has {} bytes, {MAX_VALUE_BYTES} are allowed",
            value.len()
        ));
    }
    let flags = line.flags;
    Ok((key, Content { value, flags }))
}

fn hex(digest: &Sha256) -> String {
    use std::fmt::Write as _;
    let digest = digest.clone().finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump() -> Dump {
        let contents: [(&str, &[u8], u64); 7] = [
            ("a \"b\"\\,\u{e7}/\u{fc}", b"plain", 0),
            ("bytes", b"\xff\x00\n", u64::MAX),
            ("empty", b"", 0),
            ("json", br#"{"entries":1}"#, 3),
            ("lines", "a: 1\r\nb: \u{2028}\u{feff}\0\n".as_bytes(), 0),
            ("x//y/", b"\xc3", 0),
            ("\u{1f98e}", "\u{d55c}\u{ad6d}".as_bytes(), 1),
        ];
        let entries = (contents.into_iter())
            .map(|(key, value, flags)| {
                let value = Bytes::from_static(value);
                (Key::new(key).unwrap(), Content { value, flags })
            })
            .collect();
        Dump {
            state: "1.7.00000000000000ff".to_owned(),
            prefix: Prefix::all(),
            entries,
        }
    }

    fn text(dump: &Dump) -> String {
        let mut text = Vec::new();
        dump.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, message: &str) {
        let error = Dump::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dump = dump();
        let text = text(&dump);
        assert_eq!(Dump::read(text.as_bytes()).unwrap(), dump);
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                r#"{"format":"chameleon-export","version":1,"state":"1.7.00000000000000ff","prefix":""}"#
            )
        );
        assert_eq!(
            lines.next(),
            Some("{\"key\":\"a \\\"b\\\"\\\\,\u{e7}/\u{fc}\",\"value\":\"plain\"}")
        );
        assert_eq!(
            lines.next(),
            Some(r#"{"key":"bytes","base64":"/wAK","flags":18446744073709551615}"#)
        );
        let end = lines.last().unwrap();
        assert!(end.starts_with(r#"{"entries":7,"sha256":""#), "{end}");
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let text = text(&dump());
        for end in (0..text.len() - 1).filter(|end| text.is_char_boundary(*end)) {
            assert!(
                Dump::read(&text.as_bytes()[..end]).is_err(),
                "after {end} bytes"
            );
        }
        // Its last line break is no part of what was kept.
        assert!(Dump::read(text.trim_end().as_bytes()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = text(&dump());
        let replaced = |line: usize, with: &str| {
            let mut lines: Vec<_> = good.lines().collect();
            lines[line - 1] = with;
            lines.join("\n")
        };
        refused("", "line 1: the file is empty");
        refused(
            "a: 1\n",
            "line 1: no file of `chameleon export` begins so: ",
        );
        refused(
            &good.replace("chameleon-export", "other"),
            "line 1: the format is `other`",
        );
        refused(
            &good.replace("\"version\":1", "\"version\":2"),
            "line 1: the format's version is 2, this program knows 1",
        );
        refused(&replaced(3, "nothing"), "line 3: expected ");
        refused(
            &replaced(3, r#"{"key":"a"}"#),
            "line 3: one of `value` and `base64` is needed",
        );
        refused(
            &replaced(3, r#"{"key":"a","value":"x","base64":""}"#),
            "line 3: one of `value` and `base64` is needed",
        );
        refused(
            &replaced(3, r#"{"key":"a","base64":"?"}"#),
            "line 3: `base64`: ",
        );
        refused(
            &replaced(3, r#"{"key":"a/../b","value":""}"#),
            "line 3: key `a/../b` has a `..`",
        );
        refused(
            &replaced(3, r#"{"key":"a","value":"","more":1}"#),
            "line 3: unknown field `more`",
        );
        refused(
            &replaced(3, r#"{"key":"empty","value":""}"#),
            "line 4: key `empty` is there twice",
        );
        refused(
            &good.replace("\"prefix\":\"\"", "\"prefix\":\"a\""),
            "line 3: key `bytes` does not begin with `a`",
        );
        refused(
            &good.replace("plain", "plein"),
            "line 9: the checksum does not match",
        );
        refused(
            &good.replace("{\"key\":\"empty\",\"value\":\"\"}\n", ""),
            "line 8: 7 entries were written, 6",
        );
        refused(
            &format!("{good}\n"),
            "line 10: something follows the last line",
        );
        let large = format!(
            r#"{{"key":"a","value":"{}"}}"#,
            "x".repeat(MAX_VALUE_BYTES + 1)
        );
        refused(
            &replaced(3, &large),
            "line 3: the value has 524289 bytes, 524288 are allowed",
        );
        let mut bytes = good.clone().into_bytes();
        bytes[good.find("plain").unwrap()] = 0xff;
        let error = Dump::read(&bytes[..]).unwrap_err().to_string();
        assert_eq!(error, "line 2: it is not UTF-8");
    }

    #[test]
    fn who_edits_a_file_leaves_the_checksum_out() {
        let good = text(&dump());
        let end = good.lines().last().unwrap();
        let edited = good
            .replace("plain", "plein")
            .replace(end, r#"{"entries":7}"#);
        assert_eq!(Dump::read(edited.as_bytes()).unwrap().entries.len(), 7);
    }
}
