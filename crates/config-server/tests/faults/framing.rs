//! As much of Postgres's protocol as the proxy has to understand.

use std::collections::HashSet;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What every statement has that moves the head, and no other.
const MOVES_HEAD: &str = "UPDATE head SET revision";

/// The channel of the notices of commits.
const CHANGED: &str = "chameleon_changed";

/// More than any message has; a length beyond it is a misunderstanding.
const LONGEST: u32 = 256 * 1024 * 1024;

/// One message as it travels.
pub(crate) struct Message {
    /// The kind, the length and the body; the first message of a client has no kind.
    pub(crate) bytes: Vec<u8>,
    has_kind: bool,
}

impl Message {
    /// The first message of a client.
    pub(crate) async fn first(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let bytes = body(from, Vec::new()).await?;
        Ok(Self {
            bytes,
            has_kind: false,
        })
    }

    /// Any other; `None` if there are no more.
    pub(crate) async fn next(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind).await? == 0 {
            return Ok(None);
        }
        let bytes = body(from, kind.to_vec()).await?;
        Ok(Some(Self {
            bytes,
            has_kind: true,
        }))
    }

    pub(crate) fn kind(&self) -> u8 {
        if self.has_kind { self.bytes[0] } else { 0 }
    }

    fn body(&self) -> &[u8] {
        &self.bytes[usize::from(self.has_kind) + 4..]
    }

    /// The texts at the start of the body, each of which ends with a zero.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = self.body().split(|byte| *byte == 0);
        texts.map_while(|text| std::str::from_utf8(text).ok())
    }

    /// Of a server: it tells of a commit.
    pub(crate) fn is_notice_of_commit(&self) -> bool {
        let channel = self.body().get(4..).unwrap_or_default();
        self.kind() == b'A' && channel.starts_with(format!("{CHANGED}\0").as_bytes())
    }

    /// Of a server: it takes the next request, and whether outside of a transaction.
    pub(crate) fn ready(&self) -> Option<bool> {
        (self.kind() == b'Z').then(|| self.body() == b"I")
    }
}

async fn body(from: &mut (impl AsyncRead + Unpin), mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    if !(4..LONGEST).contains(&length) {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    bytes.extend(length.to_be_bytes());
    let start = bytes.len();
    let length = usize::try_from(length - 4).map_err(io::Error::other)?;
    bytes.resize(start + length, 0);
    from.read_exact(&mut bytes[start..]).await?;
    Ok(bytes)
}

/// The requests of one client, watched for those that end in a commit of a new head.
#[derive(Default)]
pub(crate) struct Requests {
    moving: HashSet<String>,
}

impl Requests {
    /// Says whether the server commits when it has done what `message` asks; `idle` if it is in no
    /// transaction before.
    pub(crate) fn commits(&mut self, message: &Message, idle: bool) -> bool {
        let mut texts = message.texts();
        match message.kind() {
            b'P' => {
                let name = texts.next().unwrap_or_default();
                if texts.next().is_some_and(|text| text.contains(MOVES_HEAD)) {
                    self.moving.insert(name.to_owned());
                } else {
                    self.moving.remove(name);
                }
                false
            }
            b'B' => idle && texts.nth(1).is_some_and(|name| self.moving.contains(name)),
            b'Q' => texts.next().is_some_and(|text| text.starts_with("COMMIT")),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn message(kind: u8, body: &[u8]) -> Message {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let bytes = [&[kind], &length[..], body].concat();
        let read = Message::next(&mut &bytes[..]).await.unwrap().unwrap();
        assert_eq!(read.bytes, bytes);
        read
    }

    #[tokio::test]
    async fn commits_are_recognised() {
        let mut requests = Requests::default();
        let parse = b"s1\0WITH moved AS ( UPDATE head SET revision = $4\0\0\0";
        assert!(!requests.commits(&message(b'P', parse).await, true));
        let bind = message(b'B', b"\0s1\0\0\0").await;
        assert!(requests.commits(&bind, true));
        // Within a transaction it is the COMMIT that counts.
        assert!(!requests.commits(&bind, false));
        assert!(requests.commits(&message(b'Q', b"COMMIT\0").await, false));
        assert!(!requests.commits(&message(b'Q', b"ROLLBACK\0").await, false));
        assert!(!requests.commits(&message(b'P', b"s1\0SELECT 1\0\0\0").await, true));
        assert!(!requests.commits(&bind, true));
    }

    #[tokio::test]
    async fn notices_of_commits_are_told_from_probes() {
        let changed = message(b'A', b"\0\0\0\x07chameleon_changed\0\0").await;
        assert!(changed.is_notice_of_commit());
        let probe = message(b'A', b"\0\0\0\x07chameleon_probe\0x\0").await;
        assert!(!probe.is_notice_of_commit());
        assert_eq!(message(b'Z', b"I").await.ready(), Some(true));
        assert_eq!(message(b'Z', b"T").await.ready(), Some(false));
        assert_eq!(probe.ready(), None);
    }
}
