//! The real `consul` command, pointed at a server.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::exchange::Answer;
use crate::peer::{self, Peer};
use crate::script::Step;

/// The command with `arguments`, which know no quotes; the shell of a child counts its words itself.
pub(crate) fn command(peer: &Peer, arguments: &str) -> Command {
    let mut command = Command::new(peer::program());
    command
        .args(arguments.split(' '))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CONSUL_HTTP_ADDR", peer.address.to_string())
        .current_dir(peer.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the command of `step` to its end.
pub(crate) async fn run(peer: &Peer, step: &Step) -> Answer {
    let mut child = (command(peer, &step.target).spawn()).expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that does not read it has ended before.
    let _written = stdin.write_all(step.body.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("the program ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer {
        status: match output.status.code() {
            Some(code) => code.to_string(),
            None => output.status.to_string(),
        },
        body: text(&output.stdout),
        stderr: text(&output.stderr),
        ..Answer::default()
    }
}
