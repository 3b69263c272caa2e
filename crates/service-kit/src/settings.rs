//! Flags that all processes share, and secrets that may come from files.

use std::path::Path;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::telemetry::{LogFormat, TelemetrySettings};

/// The flags of every process, to be flattened into its own by `#[command(flatten)]`.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// How log lines look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "human",
        env = "CHAMELEON_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// What is logged, as `tracing` directives: `warn`, `info,sqlx=warn`
    #[arg(
        long,
        global = true,
        default_value = "info",
        env = "CHAMELEON_LOG",
        value_name = "FILTER"
    )]
    pub log: String,
}

impl CommonArgs {
    /// The part of the flags that [`telemetry::init`](crate::telemetry::init) takes.
    pub fn telemetry(&self) -> TelemetrySettings {
        TelemetrySettings {
            format: self.log_format,
            filter: self.log.clone(),
        }
    }
}

/// The secret of `flag`, given itself or as a file by the twin `<flag>-file`; `None` if neither is.
///
/// White space around the file's text (mostly a final line break) does not belong to the secret.
/// Neither the secret nor any part of the file is in an error.
///
/// # Errors
/// If both are given, the file cannot be read, or the secret is empty.
pub fn secret_from(
    value: Option<SecretString>,
    file: Option<&Path>,
    flag: &str,
) -> anyhow::Result<Option<SecretString>> {
    use secrecy::ExposeSecret as _;
    match (value, file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            bail!("`{flag}` and `{flag}-file` are both given: keep one of them")
        }
        (Some(value), None) => {
            if value.expose_secret().trim().is_empty() {
                bail!("`{flag}` is empty: give it a value or leave it out");
            }
            Ok(Some(value))
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("read `{}` (`{flag}-file`)", path.display()))?;
            let secret = text.trim();
            if secret.is_empty() {
                bail!(
                    "`{}` (`{flag}-file`) is empty: write the secret into it",
                    path.display()
                );
            }
            Ok(Some(SecretString::from(secret)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};
    use secrecy::ExposeSecret as _;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        common: CommonArgs,
    }

    #[test]
    fn the_shared_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_shared_flags_reach_telemetry() {
        let args = Args::parse_from(["x", "--log-format", "json", "--log", "warn"]);
        let telemetry = args.common.telemetry();
        assert_eq!(telemetry.format, LogFormat::Json);
        assert_eq!(telemetry.filter, "warn");
    }

    fn from_file(text: &str) -> anyhow::Result<Option<SecretString>> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        secret_from(None, Some(file.path()), "--token")
    }

    #[test]
    fn a_secret_is_trimmed_of_its_line_break() {
        let secret = from_file("s3cret\r\n").unwrap().unwrap();
        assert_eq!(secret.expose_secret(), "s3cret");
    }

    #[test]
    fn a_secret_may_be_left_out_or_given_itself() {
        assert!(secret_from(None, None, "--token").unwrap().is_none());
        let given = secret_from(Some("x".into()), None, "--token").unwrap();
        assert_eq!(given.unwrap().expose_secret(), "x");
    }

    #[test]
    fn a_bad_secret_is_one_clear_line() {
        let error = from_file(" \n").unwrap_err().to_string();
        assert!(
            error.ends_with("(`--token-file`) is empty: write the secret into it"),
            "{error}"
        );

        let missing = Path::new("/nowhere/token");
        let error = secret_from(None, Some(missing), "--token").unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with("read `/nowhere/token` (`--token-file`): "),
            "{text}"
        );

        let error = secret_from(Some("x".into()), Some(missing), "--token").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--token` and `--token-file` are both given: keep one of them"
        );

        let error = secret_from(Some(" ".into()), None, "--token").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--token` is empty: give it a value or leave it out"
        );
    }
}
