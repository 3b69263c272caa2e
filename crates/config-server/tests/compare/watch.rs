//! `consul watch`: a handler that is called with every change.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

use crate::command::command;
use crate::exchange::{self, Answer};
use crate::peer::Peer;
use crate::script::Step;
use crate::seen::Seen;

/// The handler: it writes what it is given on one line.
const HANDLER: &str = "tr -d '\\n'; echo";
const LIMIT: Duration = Duration::from_secs(20);
/// Within this time nothing may come where nothing changes.
const QUIET: Duration = Duration::from_millis(400);

/// Watches a key and a prefix, changes them, and returns what the handlers were given.
pub(crate) async fn run(peer: &Peer) -> Vec<Seen> {
    change(peer, "PUT", "/v1/kv/watched/one", "first").await;
    let changes = [
        ("PUT", "/v1/kv/watched/one", "second"),
        ("PUT", "/v1/kv/watched/one?flags=7", "second"),
        ("DELETE", "/v1/kv/watched/one", ""),
        ("PUT", "/v1/kv/watched/one", "again"),
    ];
    let mut seen = Vec::new();
    for (name, arguments) in [
        ("key", "watch -type=key -key=watched/one"),
        ("keyprefix", "watch -type=keyprefix -prefix=watched/"),
    ] {
        let mut command = command(peer, arguments);
        let mut child = command.arg(HANDLER).spawn().expect("the program starts");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        seen.push(called(&format!("{name}-first"), &mut lines).await);
        for (number, (method, path, body)) in changes.into_iter().enumerate() {
            change(peer, "PUT", "/v1/kv/unwatched", &format!("{name} {number}")).await;
            let quiet = tokio::time::timeout(QUIET, lines.next_line()).await;
            assert!(quiet.is_err(), "{name}: called without a change: {quiet:?}");
            change(peer, method, path, body).await;
            let name = format!("{name}-change-{}", number + 1);
            seen.push(called(&name, &mut lines).await);
        }
        child.kill().await.expect("it runs until it is killed");
        change(peer, "PUT", "/v1/kv/watched/one", "first").await;
    }
    seen
}

async fn called(name: &str, lines: &mut Lines<BufReader<ChildStdout>>) -> Seen {
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await;
    let line = line.unwrap_or_else(|_| panic!("{name}: the handler was not called"));
    let answer = Answer {
        status: "called".to_owned(),
        body: line.unwrap().expect("the watch goes on"),
        ..Answer::default()
    };
    Seen::new(name, &answer)
}

async fn change(peer: &Peer, method: &str, path: &str, body: &str) {
    let step = Step::call(method, path, body);
    let answer = exchange::send(peer.address, &step).await;
    assert_eq!(
        (answer.status.as_str(), answer.body.as_str()),
        ("200", "true")
    );
}
