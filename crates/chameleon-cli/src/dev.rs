//! `chameleon dev`: the whole platform on this machine.

use std::path::Path;

use serde::Serialize;
use service_kit::Lifecycle;
use tokio::time::Instant;

use crate::args::DevArgs;
use crate::screen::{Answer, Screen, Tone};
use crate::shell::word;
use crate::stack::{Ports, Settings, Stack};

#[derive(Serialize)]
struct Running {
    parts: Vec<Part>,
    folder: String,
    repository: String,
    tries: Vec<Try>,
    started_ms: u128,
}

#[derive(Serialize)]
struct Part {
    name: &'static str,
    at: String,
    what: &'static str,
}

/// Something to do, as it is typed.
#[derive(Serialize)]
struct Try {
    what: &'static str,
    command: String,
}

/// Runs until Ctrl-C.
pub(crate) async fn run(args: &DevArgs, screen: Screen) -> anyhow::Result<()> {
    let started = Instant::now();
    let lifecycle = Lifecycle::default();
    lifecycle.signals()?;
    let progress = screen.progress("starting");
    let settings = Settings {
        store: args.store.as_ref().map(|store| store.expose().to_owned()),
        ..Settings::new(&args.dir, Ports::Offset(args.port_offset))?
    };
    let soft = lifecycle.soft();
    let stack = soft
        .run_until_cancelled(Stack::start(settings, &lifecycle))
        .await;
    progress.finish_and_clear();
    let stack = match stack {
        Some(Ok(stack)) => {
            screen.show(&Running::of(&stack, &args.dir, started))?;
            soft.cancelled().await;
            Some(stack)
        }
        Some(Err(error)) => {
            lifecycle.shut_down();
            // What failed first is what matters; it is returned below.
            let _ = lifecycle.finished().await;
            return Err(error);
        }
        None => None,
    };
    screen.say("\nstopping");
    lifecycle.finished().await?;
    // Its folder is free for another only now.
    drop(stack);
    screen.say("stopped; the next start carries on with the same data");
    Ok(())
}

impl Running {
    fn of(stack: &Stack, dir: &Path, started: Instant) -> Self {
        let at = stack.addresses();
        let part = |name, address: std::net::SocketAddr, what| Part {
            name,
            at: format!("http://{address}"),
            what,
        };
        let repository = dir.join("repo").display().to_string();
        let clone = word(&repository);
        let chameleon = program();
        let server = if at.grpc.port() == 8502 {
            String::new()
        } else {
            format!(" --server {}", at.grpc_url())
        };
        let instance = if at.locations[0].port() == 8520 {
            String::new()
        } else {
            format!(" --at http://{}", at.locations[0])
        };
        let file = word(&format!("{repository}/config/location-prod.yml"));
        let tries = vec![
            Try {
                what: "Search for an address, and see which vendor served it",
                command: format!("{chameleon} search 경복궁{instance}"),
            },
            Try {
                what: "Move all traffic to the other vendor: edit, commit, push",
                command: format!(
                    "awk '/MapPercentage:/ {{ $2 = 100 - $2 }} 1' {file} > {file}.new && \
                     mv {file}.new {file} && \
                     git -C {clone} commit -qam 'Move the traffic' && git -C {clone} push -q"
                ),
            },
            Try {
                what: "See how long each stage of the push took on each instance",
                command: format!("{chameleon} history -n 1 --waterfall{server}"),
            },
        ];
        Self {
            parts: vec![
                part("config-server", at.http, "Consul's KV API, health, metrics"),
                part("", at.grpc, "gRPC, for the SDK and this command"),
                part("git-sync", at.git_sync, "webhooks"),
                part("location-1", at.locations[0], "address search"),
                part("location-2", at.locations[1], "address search"),
                part("map-simulator", at.simulator, "faults: PUT /faults/naver"),
                part("", at.tmap, "vendor A, TMAP"),
                part("", at.naver, "vendor B, NAVER"),
            ],
            folder: dir.display().to_string(),
            repository,
            tries,
            started_ms: started.elapsed().as_millis(),
        }
    }
}

impl Answer for Running {
    fn text(&self, screen: Screen) -> String {
        let head = format!("Chameleon runs ({} ms).", self.started_ms);
        let mut lines = vec![screen.paint(Tone::Strong, head), String::new()];
        for part in &self.parts {
            lines.push(format!("  {:<14} {:<23} {}", part.name, part.at, part.what));
        }
        lines.push(format!(
            "  {:<14} {:<23} edit, commit and push here",
            "git", self.repository
        ));
        lines.extend([
            String::new(),
            screen.paint(Tone::Strong, "Three things to try:"),
        ]);
        for (number, attempt) in self.tries.iter().enumerate() {
            lines.extend([
                String::new(),
                format!("  {}. {}", number + 1, attempt.what),
                format!("     {}", attempt.command),
            ]);
        }
        lines.extend([
            String::new(),
            format!("Its data is in `{}`. Ctrl-C ends it.", self.folder),
        ]);
        lines.join("\n")
    }
}

/// This program as a person would type it: relative to the current folder where it lies below.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else {
        return "chameleon".to_owned();
    };
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    match short {
        // A shell looks for a name alone in the `PATH` only.
        Some(name) if name.components().count() == 1 => word(&format!("./{}", name.display())),
        short => word(&short.unwrap_or(path).display().to_string()),
    }
}
