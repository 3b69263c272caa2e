//! How answers reach a person or a program.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::args::{Color, Output};

/// How long a person waits without asking whether anything happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints answers as tables and sentences, or as JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    output: Output,
    color: bool,
}

/// An answer that people read as text and programs as JSON.
pub(crate) trait Answer: Serialize {
    /// The text for people, without a line break at its end.
    fn text(&self, screen: Screen) -> String;
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Weak,
    Strong,
}

impl Screen {
    /// Colours are used on a terminal, unless `NO_COLOR` is set to anything or the flag says otherwise.
    pub(crate) fn new(output: Output, color: Color) -> Self {
        let wanted = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            output,
            color: wanted && output == Output::Table,
        }
    }

    /// Prints `answer`; a reader that has gone away is no error.
    pub(crate) fn show(self, answer: &impl Answer) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Table => answer.text(self),
            Output::Json => serde_json::to_string(answer).context("write the answer as JSON")?,
        };
        print(format!("{text}\n").as_bytes())
    }

    /// Prints a line for people only.
    pub(crate) fn say(self, line: impl Display) {
        if self.output == Output::Table {
            // Nobody reads any more: the next answer ends the command.
            let _ = print(format!("{line}\n").as_bytes());
        }
    }

    /// Says whether the answer goes to a program.
    pub(crate) fn is_json(self) -> bool {
        self.output == Output::Json
    }

    /// `text` in the colour of `tone`, if colours are used.
    pub(crate) fn paint(self, tone: Tone, text: impl Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Weak => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        };
        text.style(style).to_string()
    }

    /// A table with these column names; only the cells of its last column may be painted.
    pub(crate) fn table<const N: usize>(self, columns: [&str; N]) -> Table {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        // By the table itself, which would take painted names for wider than they look.
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let heading = |name: &str| Cell::new(name.to_uppercase()).add_attribute(Attribute::Dim);
        table.set_header(columns.map(heading));
        table
    }

    /// Waits for `answer`, with a sign of life on a terminal if it takes longer than a second.
    pub(crate) async fn waiting<T>(self, what: &str, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        if let Ok(answer) = tokio::time::timeout(PATIENCE, answer.as_mut()).await {
            return answer;
        }
        let progress = self.progress(what);
        let answer = answer.await;
        progress.finish_and_clear();
        answer
    }

    /// A sign of life on a terminal.
    pub(crate) fn progress(self, what: &str) -> ProgressBar {
        if self.is_json() || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                .expect("the template is valid"),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// `text` without what a terminal would obey: it comes from commits and values, not from us.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// The table's text without blanks at the ends of its lines.
pub(crate) fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Writes to standard output; a reader that has gone away ends the command quietly.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(ReaderGone))
        }
        other => other.context("write to standard output"),
    }
}

/// Standard output was closed by its reader, as `head` does: the command ends quietly.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct ReaderGone;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            harmless("a\tb\u{1b}[31mred\u{7}"),
            "a b\u{fffd}[31mred\u{fffd}"
        );
        assert_eq!(harmless("경복궁 ✓"), "경복궁 ✓");
    }
}
