//! How long each stage of a change took, drawn as bars.

use std::time::Duration;

use chameleon_client::CommitRecord;
use chameleon_model::Stage;
use serde::Serialize;

use crate::screen::{Screen, Tone};

/// The width of the whole way, in characters.
const WIDTH: usize = 40;

/// The way of one change: the stages that all instances share, then each instance's own.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Waterfall {
    /// In their order.
    pub(crate) shared: Vec<StageBar>,
    /// Sorted by name.
    pub(crate) instances: Vec<InstanceBars>,
}

/// One stage and how long it took by itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StageBar {
    pub(crate) stage: &'static str,
    #[serde(rename = "took_ms", serialize_with = "as_ms")]
    pub(crate) took: Duration,
}

/// The last two stages on one instance.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InstanceBars {
    pub(crate) instance: String,
    #[serde(rename = "delivered_ms", serialize_with = "as_ms")]
    pub(crate) delivered: Duration,
    #[serde(rename = "applied_ms", serialize_with = "as_ms")]
    pub(crate) applied: Duration,
    /// Why the instance did not take the change.
    pub(crate) rejected: Option<String>,
}

impl From<&CommitRecord> for Waterfall {
    fn from(record: &CommitRecord) -> Self {
        let shared = record.origin.stages.iter().map(|time| StageBar {
            stage: time.stage.name(),
            took: time.took,
        });
        let mut instances: Vec<_> = (record.deliveries.iter())
            .map(|delivery| InstanceBars {
                instance: delivery.instance.clone(),
                delivered: delivery.delivered,
                applied: delivery.applied,
                rejected: delivery.rejected.clone(),
            })
            .collect();
        instances.sort_by(|a, b| a.instance.cmp(&b.instance));
        Self {
            shared: shared.collect(),
            instances,
        }
    }
}

impl Waterfall {
    /// From the first stage to the last instance's verdict; nothing without instances.
    pub(crate) fn total(&self) -> Option<Duration> {
        let last = self
            .instances
            .iter()
            .map(|i| i.delivered + i.applied)
            .max()?;
        Some(self.shared.iter().map(|bar| bar.took).sum::<Duration>() + last)
    }

    /// A line for each stage, indented by two.
    pub(crate) fn lines(&self, screen: Screen) -> Vec<String> {
        let shared: Duration = self.shared.iter().map(|bar| bar.took).sum();
        let whole = self.total().unwrap_or(shared);
        let label = |stage: &str, instance: &str| format!("{stage:<9} {instance:<12}");
        let mut lines = Vec::new();
        let mut start = Duration::ZERO;
        for bar in &self.shared {
            lines.push(line(&label(bar.stage, ""), start, bar.took, whole));
            start += bar.took;
        }
        for instance in &self.instances {
            let name = &instance.instance;
            let delivered = label(Stage::Delivered.name(), name);
            lines.push(line(&delivered, start, instance.delivered, whole));
            let applied = label(Stage::Applied.name(), name);
            let mut text = line(
                &applied,
                start + instance.delivered,
                instance.applied,
                whole,
            );
            if let Some(reason) = &instance.rejected {
                text.push_str(&screen.paint(Tone::Bad, format!("  rejected: {reason}")));
            }
            lines.push(text);
        }
        lines
    }
}

/// A duration with the digits that a person compares: `0.41 ms`, `12.3 ms`, `1.20 s`.
pub(crate) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        10.0..1000.0 => format!("{ms:.1} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}

fn line(label: &str, start: Duration, took: Duration, whole: Duration) -> String {
    let from = column(start, whole).min(WIDTH - 1);
    let to = column(start + took, whole).clamp(from + 1, WIDTH);
    let bar = format!("{}{}", " ".repeat(from), "█".repeat(to - from));
    format!("  {label} {bar:<WIDTH$} {:>9}", duration_text(took))
}

fn column(at: Duration, whole: Duration) -> usize {
    if whole.is_zero() {
        return 0;
    }
    let share = at.as_secs_f64() / whole.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a small width"
    )]
    let column = (share * WIDTH as f64).round() as usize;
    column.min(WIDTH)
}

fn as_ms<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Output};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_bar_begins_where_the_one_before_ended() {
        let waterfall = Waterfall {
            shared: vec![
                StageBar {
                    stage: "fetched",
                    took: ms(20),
                },
                StageBar {
                    stage: "stored",
                    took: ms(10),
                },
            ],
            instances: vec![InstanceBars {
                instance: "location-1".into(),
                delivered: ms(8),
                applied: ms(2),
                rejected: None,
            }],
        };
        assert_eq!(waterfall.total(), Some(ms(40)));
        let lines = waterfall.lines(Screen::new(Output::Table, Color::Never));
        let bars: Vec<_> = (lines.iter())
            .map(|line| {
                let at = |c: &char| *c == '█';
                let from = line.chars().position(|c| at(&c)).unwrap();
                (from, line.chars().filter(at).count())
            })
            .collect();
        let first = bars[0].0;
        assert_eq!(
            bars,
            [
                (first, 20),
                (first + 20, 10),
                (first + 30, 8),
                (first + 38, 2)
            ]
        );
        assert!(lines[0].ends_with("20.0 ms"));
    }

    #[test]
    fn durations_keep_three_digits() {
        for (micros, text) in [(412, "0.41 ms"), (12_340, "12.3 ms"), (1_204_000, "1.20 s")] {
            assert_eq!(duration_text(Duration::from_micros(micros)), text);
        }
    }
}
