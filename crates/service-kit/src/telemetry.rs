//! Logs on stderr, for people or as JSON.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line to read; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how it looks.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub format: LogFormat,
    /// `tracing` directives, such as `info,sqlx=warn`.
    pub filter: String,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            filter: "info".to_owned(),
        }
    }
}

/// Starts logging for the whole process; to be called once, first.
///
/// # Errors
/// If the filter cannot be understood, or logging was started before.
pub fn init(settings: &TelemetrySettings) -> anyhow::Result<()> {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(settings, colour, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).context("start logging")
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(
    settings: &TelemetrySettings,
    colour: bool,
    writer: W,
) -> anyhow::Result<Subscriber>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .with_context(|| format!("read the log filter `{}` (`--log`)", settings.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(match settings.format {
        LogFormat::Human => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = TelemetrySettings {
            format,
            filter: filter.to_owned(),
        };
        let subscriber = subscriber(&settings, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(revision = 7, "committed");
            tracing::debug!("not shown at info");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn human_lines_have_no_colour_outside_a_terminal() {
        let text = logged(LogFormat::Human, "info");
        assert!(
            text.contains("committed") && text.contains("revision=7"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn json_lines_carry_their_fields_at_the_top() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "committed");
        assert_eq!(line["revision"], 7);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn the_filter_decides_what_is_shown() {
        assert_eq!(logged(LogFormat::Human, "warn"), "");
        assert_eq!(logged(LogFormat::Human, "debug").lines().count(), 2);
    }

    #[test]
    fn a_broken_filter_is_named() {
        let settings = TelemetrySettings {
            filter: "info,=x=".to_owned(),
            ..TelemetrySettings::default()
        };
        let Err(error) = subscriber(&settings, false, io::sink) else {
            panic!("the filter was accepted");
        };
        let text = format!("{error:#}");
        assert!(
            text.starts_with("read the log filter `info,=x=` (`--log`): "),
            "{text}"
        );
    }
}
