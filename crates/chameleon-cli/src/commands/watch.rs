//! `chameleon watch`: changes as they happen.

use std::time::Duration;

use chameleon_client::{Api, Update};
use serde::Serialize;
use service_kit::Backoff;

use super::Target;
use crate::screen::{Answer, Screen, Tone, harmless};

#[derive(Serialize)]
struct Seen {
    revision: u64,
    epoch: u64,
    /// False for the first answer and after a break that the server could not bridge.
    incremental: bool,
    puts: Vec<Put>,
    deletes: Vec<String>,
}

#[derive(Serialize)]
struct Put {
    key: String,
    /// Absent if the value is no UTF-8.
    value: Option<String>,
    bytes: usize,
}

impl From<&Update> for Seen {
    fn from(update: &Update) -> Self {
        let puts = update.puts.iter().map(|entry| Put {
            key: entry.key.to_string(),
            value: String::from_utf8(entry.value.to_vec()).ok(),
            bytes: entry.value.len(),
        });
        Self {
            revision: update.stamp.revision.0,
            epoch: update.stamp.epoch.0,
            incremental: update.base.is_some(),
            puts: puts.collect(),
            deletes: update.deletes.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Answer for Seen {
    fn text(&self, screen: Screen) -> String {
        let kind = if self.incremental { "" } else { " (complete)" };
        let head = format!("revision {}{kind}", self.revision);
        let mut lines = vec![screen.paint(Tone::Strong, head)];
        for put in &self.puts {
            lines.push(screen.paint(Tone::Good, format!("+ {}", put.key)));
            match &put.value {
                Some(text) => {
                    let shown = text.lines().map(|line| format!("    {}", harmless(line)));
                    lines.extend(shown);
                }
                None => lines.push(format!("    {} bytes, not text", put.bytes)),
            }
        }
        for key in &self.deletes {
            lines.push(screen.paint(Tone::Bad, format!("- {key}")));
        }
        lines.join("\n")
    }
}

/// Prints states until `count` of them have come, or for ever.
pub(crate) async fn run(
    api: &Api,
    key: &str,
    count: Option<usize>,
    screen: Screen,
) -> anyhow::Result<()> {
    let selection = Target::parse(key)?.selection();
    let mut last = None;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut is_lost = false;
    let mut left = count.unwrap_or(usize::MAX);
    while left > 0 {
        let mut watch = api.watch(&selection, last, None);
        loop {
            match watch.next().await {
                Ok(update) => {
                    screen.show(&Seen::from(&update))?;
                    last = Some(update.stamp);
                    backoff.reset();
                    is_lost = false;
                    left -= 1;
                }
                // The next watch finds another server, or the same one restarted.
                Err(error) if last.is_some() && !error.is_final() => {
                    if !is_lost {
                        tracing::warn!("lost the watch, trying again: {error}");
                    }
                    is_lost = true;
                    backoff.wait().await;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}
