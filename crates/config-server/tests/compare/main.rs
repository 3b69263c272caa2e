//! Ours beside a real Consul: the same calls to both, and every difference explained.
//!
//! The calls stand in `scripts/`, the differences with their reasons in
//! docs/reference/consul-differences.md. A difference that is not listed fails, and so does one that
//! is listed and not there any more. Run it by `cargo xtask compare`, which finds a Consul.

mod command;
mod differences;
mod exchange;
mod peer;
mod script;
mod seen;
mod watch;

use differences::Page;
use peer::Peer;
use seen::Seen;

/// Makes a test of each script, which runs it on fresh servers.
macro_rules! scripts {
    ($($name:ident: $file:literal,)*) => {
        /// The names of the scripts, by which the page's rows begin.
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test]
            #[ignore = "needs a real Consul: cargo xtask compare"]
            async fn $name() {
                compare(stringify!($name), include_str!(concat!("scripts/", $file))).await;
            }
        )*
    };
}

scripts! {
    keys: "keys.http",
    bad_input: "bad_input.http",
    pages: "pages.http",
    sessions: "sessions.http",
    transactions: "transactions.http",
    commands: "commands.cli",
    locks: "locks.cli",
}

#[tokio::test]
#[ignore = "needs a real Consul: cargo xtask compare"]
async fn watches() {
    let mut both = Vec::new();
    for mut peer in [Peer::consul().await, Peer::ours().await] {
        let seen = watch::run(&peer).await;
        both.push(peer.normal(seen));
        peer.stop().await;
    }
    judge("watches", &both);
}

#[test]
fn the_page_names_scripts_and_reasons_that_exist() {
    let page = Page::load();
    let known: Vec<&str> = SCRIPTS.iter().copied().chain(["watches"]).collect();
    let complaints = page.complaints(&known);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Runs a script against both and holds what was seen against the page of differences.
async fn compare(name: &str, text: &str) {
    let steps = script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut both = Vec::new();
    for mut peer in [Peer::consul().await, Peer::ours().await] {
        let seen = script::run(&peer, &steps).await;
        both.push(peer.normal(seen));
        peer.stop().await;
    }
    judge(name, &both);
}

fn judge(name: &str, both: &[Vec<Seen>]) {
    let [consul, ours] = both else {
        unreachable!("there are two");
    };
    let found = differences::between(name, consul, ours);
    let complaints = Page::load().judge(name, &found);
    assert!(
        complaints.is_empty(),
        "{name}: docs/reference/consul-differences.md is not what was seen\n{}",
        complaints.join("\n")
    );
}
