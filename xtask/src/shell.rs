//! Running other programs.

use std::ffi::OsStr;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, bail};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("xtask is in the workspace");
    root.to_owned()
}

/// Cargo, in the workspace's folder, as if it was called by a person.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        // `cargo run` set these for us; build scripts that watch them would run again.
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// `command` with as many open files as we may have, up to what thousands of connections need.
pub(crate) fn with_many_files(command: &Command) -> Command {
    let script = r#"ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -H -n)"; exec "$@""#;
    let mut wrapped = Command::new("sh");
    wrapped
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// With what it said last, if it cannot be started or fails.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("run `{shown}`"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join("; ");
        bail!("`{shown}` ended with {}: {last}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of `{shown}`"))
}

/// Says whether we may do everything on this machine.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// The exit code of a program as ours; one that a signal ended counts as 1.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// The folders of `PATH` that hold `program`.
pub(crate) fn folders_with(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.join(program).is_file())
        .collect()
}

/// Ends when somebody wants us to; from this call on, no signal ends us without cleaning up.
#[cfg(unix)]
pub(crate) fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("catch SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the Unix twin can fail")]
pub(crate) fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_quoted_with_its_last_lines() {
        let mut command = Command::new("sh");
        command.args(["-c", "printf 'one\\ntwo\\n\\nthree\\nfour\\n' >&2; exit 3"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(
            error.ends_with("ended with exit status: 3: two; three; four"),
            "{error}"
        );
    }

    #[test]
    fn a_command_with_many_files_is_the_same_command() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $VALUE in $PWD with $1", "sh", "two words"])
            .env("VALUE", "9")
            .current_dir("/");
        let text = output(&mut with_many_files(&command)).unwrap();
        assert_eq!(text, "9 in / with two words\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "run `no-such-program`");
    }
}
