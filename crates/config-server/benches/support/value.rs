//! The values that are watched: each says in which round it was written.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The key that everybody watches.
pub(crate) const KEY: &str = "bench/fanout";

/// About what a small document has.
const SIZE: usize = 240;

/// `round 000000001`: 15 bytes, which are 20 in Base64 whatever follows.
const HEAD: usize = 15;

/// A watcher's word that it has the value of a round.
pub(crate) struct Seen {
    pub(crate) watcher: usize,
    pub(crate) round: u64,
    pub(crate) at: Instant,
}

/// Where watchers tell what they see.
pub(crate) type Sightings = mpsc::UnboundedSender<Seen>;

pub(crate) fn of_round(round: u64) -> Bytes {
    Bytes::from(format!("{:-<SIZE$}", format!("round {round:09}")))
}

pub(crate) fn round(value: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(value.get(..HEAD)?).ok()?;
    head.strip_prefix("round ")?.parse().ok()
}

/// The round of the value in an answer of Consul's KV API.
pub(crate) fn round_in_json(body: &[u8]) -> Option<u64> {
    use base64::Engine as _;
    const FIELD: &[u8] = b"\"Value\":\"";
    let start = body.windows(FIELD.len()).position(|part| part == FIELD)? + FIELD.len();
    let encoded = body.get(start..start + HEAD / 3 * 4)?;
    let head = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    round(&head)
}
