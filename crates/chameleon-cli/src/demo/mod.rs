//! `chameleon demo`: the whole story by itself, judged.

mod load;
mod story;

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use service_kit::Lifecycle;

use crate::args::DemoArgs;
use crate::demo::load::{Phase, Tally};
use crate::demo::story::Told;
use crate::screen::{Answer, Screen, Tone, trimmed};
use crate::waterfall::{Waterfall, duration_text};

/// What the demo showed.
#[derive(Serialize)]
struct Report {
    passed: bool,
    /// What did not happen as it should; empty if all did.
    failures: Vec<String>,
    revision: Option<u64>,
    total_ms: Option<f64>,
    waterfall: Waterfall,
    phases: Vec<Tally>,
    /// The fewest searches that began in one second.
    slowest_second: Option<usize>,
}

/// Plays the story in a folder of its own; exit code 0 only if everything happened.
pub(crate) async fn run(args: &DemoArgs, screen: Screen) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new()
        .prefix("chameleon-demo-")
        .tempdir()
        .context("make a folder for the demo")?;
    let lifecycle = Lifecycle::default();
    lifecycle.signals()?;
    let soft = lifecycle.soft();
    let told = tokio::select! {
        told = story::tell(args, folder.path(), &lifecycle, screen) => told,
        () = soft.cancelled() => Err(anyhow::anyhow!("stopped before its end")),
    };
    lifecycle.shut_down();
    let ended = lifecycle.finished().await;
    if args.keep {
        screen.say(format!("kept in {}", folder.keep().display()));
    }
    let report = Report::of(told?, ended.err().map(|error| error.to_string()));
    screen.show(&report)?;
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Report {
    fn of(told: Told, stop: Option<String>) -> Self {
        let phases = load::tally(&told.searches);
        let slowest_second = load::slowest_second(&told.searches);
        let mut failures = told.failures;
        failures.extend(judge(&phases, slowest_second));
        failures.extend(first_failures(&told.searches));
        failures.extend(stop.map(|error| format!("the platform did not stop cleanly: {error}")));
        Self {
            passed: failures.is_empty(),
            failures,
            revision: told.revision,
            total_ms: (told.waterfall.total()).map(|total| total.as_secs_f64() * 1000.0),
            waterfall: told.waterfall,
            phases,
            slowest_second,
        }
    }
}

/// What the searches should have shown and did not.
fn judge(phases: &[Tally], slowest_second: Option<usize>) -> Vec<String> {
    let mut failures = Vec::new();
    for (phase, provider) in [
        (Phase::Before, "a"),
        (Phase::After, "b"),
        (Phase::Outage, "a"),
    ] {
        let Some(tally) = phases.iter().find(|tally| tally.phase == phase) else {
            failures.push(format!("{}: no search was made", phase.title()));
            continue;
        };
        let others: Vec<_> = tally
            .chosen
            .iter()
            .filter(|chosen| *chosen != provider)
            .collect();
        if !others.is_empty() {
            let title = phase.title();
            failures.push(format!(
                "{title}: {others:?} served searches, not only {provider}"
            ));
        }
    }
    match slowest_second {
        None => failures.push("the demo ran for less than a second".to_owned()),
        Some(count) if count < 50 => {
            failures.push(format!(
                "only {count} searches began in the slowest second, not 50"
            ));
        }
        Some(_) => {}
    }
    failures
}

/// The number of failed searches, with the first few reasons.
fn first_failures(searches: &[load::Search]) -> Option<String> {
    let reasons: Vec<_> = searches
        .iter()
        .filter_map(|s| s.served.as_ref().err())
        .collect();
    let shown: Vec<_> = reasons
        .iter()
        .take(3)
        .map(|reason| reason.as_str())
        .collect();
    (!reasons.is_empty())
        .then(|| format!("{} searches failed: {}", reasons.len(), shown.join("; ")))
}

impl Answer for Report {
    fn text(&self, screen: Screen) -> String {
        let mut lines = Vec::new();
        if let (Some(revision), Some(total)) = (self.revision, self.waterfall.total()) {
            let head = format!(
                "The push was revision {revision} and in force on {} instances after {}:",
                self.waterfall.instances.len(),
                duration_text(total)
            );
            lines.extend([String::new(), screen.paint(Tone::Strong, head)]);
            lines.extend(self.waterfall.lines(screen));
        }
        let mut table = screen.table(["", "searches", "failed", "a", "b", "median", "slowest"]);
        for tally in &self.phases {
            table.add_row([
                tally.phase.title().to_owned(),
                tally.searches.to_string(),
                tally.failed.to_string(),
                format!("{} %", tally.share("a")),
                format!("{} %", tally.share("b")),
                format!("{:.1} ms", tally.median_ms),
                format!("{:.1} ms", tally.slowest_ms),
            ]);
        }
        lines.extend([String::new(), trimmed(&table), String::new()]);
        if let Some(count) = self.slowest_second {
            lines.push(format!("At least {count} searches began in every second."));
        }
        if self.passed {
            lines.push(screen.paint(Tone::Good, "Everything happened, and no search failed."));
        }
        for failure in &self.failures {
            lines.push(screen.paint(Tone::Bad, format!("FAILED  {failure}")));
        }
        lines.join("\n")
    }
}
