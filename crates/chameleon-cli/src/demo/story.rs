//! The story, step by step.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chameleon_client::{CommitRecord, HistoryQuery};
use chameleon_model::Revision;
use map_simulator::Vendor;
use service_kit::Lifecycle;
use service_kit::http_client::{self, HttpClientSettings};
use tokio::time::Instant;

use crate::args::{DemoArgs, Sabotage};
use crate::demo::load::{Load, Phase, Search};
use crate::screen::{Screen, Tone};
use crate::stack::{INSTANCES, Ports, Settings, Stack};
use crate::waterfall::Waterfall;

/// How long each steady part is watched.
const STEADY: Duration = Duration::from_secs(3);

/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(10);

const FILE: &str = "config/location-prod.yml";
const ALL_TO_B: &str = "# Vendor A is slow tonight.\naMapPercentage: 0\nbMapPercentage: 100\n";
const BAD: &str = "aMapPercentage: 0\nbMapPercentage: 90\n";

/// What was seen.
pub(crate) struct Told {
    pub(crate) searches: Vec<Search>,
    pub(crate) revision: Option<u64>,
    pub(crate) waterfall: Waterfall,
    pub(crate) failures: Vec<String>,
}

/// Plays the story under load. A step that fails ends it early, with what was seen by then.
pub(crate) async fn tell(
    args: &DemoArgs,
    folder: &Path,
    lifecycle: &Lifecycle,
    screen: Screen,
) -> anyhow::Result<Told> {
    let step = |text: &str| screen.say(format!("{} {text}", screen.paint(Tone::Weak, "▸")));
    let started = Instant::now();
    let progress = screen.progress("starting");
    let stack = Stack::start(Settings::new(folder, Ports::Free)?, lifecycle).await?;
    progress.finish_and_clear();
    step(&format!(
        "the platform runs, with two instances of the address search ({} ms)",
        started.elapsed().as_millis()
    ));

    let client = http_client::new(&HttpClientSettings::new("chameleon-demo"))?;
    let load = Load::start(
        client,
        stack.addresses().location_urls(),
        Stack::place_names(),
        args.rate,
    );
    let mut told = Told {
        searches: Vec::new(),
        revision: None,
        waterfall: Waterfall::default(),
        failures: Vec::new(),
    };
    if let Err(error) = play(args, &stack, &load, &mut told, step).await {
        told.failures.push(format!("{error:#}"));
    }
    told.searches = load.stop().await?;
    Ok(told)
}

async fn play(
    args: &DemoArgs,
    stack: &Stack,
    load: &Load,
    told: &mut Told,
    step: impl Fn(&str),
) -> anyhow::Result<()> {
    step(&format!("{} searches a second, all at vendor A", args.rate));
    tokio::time::sleep(STEADY).await;

    if args.sabotage == Some(Sabotage::LostInstance) {
        stack.stop_instance(1).await?;
    }
    let text = match args.sabotage {
        Some(Sabotage::BadPush) => BAD,
        _ => ALL_TO_B,
    };
    let before = stack.api().status().await?.head.revision;
    step("git commit, git push: all traffic to vendor B");
    load.enter(Phase::Shifting);
    let printed = stack
        .repository()
        .push(FILE, text, "All traffic to vendor B")
        .await?;
    for line in printed.lines() {
        step(&format!("  {line}"));
    }
    let record = arrived(stack, before).await?;
    load.enter(Phase::After);
    told.revision = Some(record.stamp.revision.0);
    told.waterfall = Waterfall::from(&record);
    tokio::time::sleep(STEADY).await;

    step("vendor B goes silent: it takes requests and never answers");
    // In this order no search of the outage can begin before it.
    stack.silence(Vendor::Naver);
    if args.sabotage == Some(Sabotage::BothVendors) {
        stack.silence(Vendor::Tmap);
    }
    load.enter(Phase::Outage);
    tokio::time::sleep(STEADY).await;
    Ok(())
}

/// Waits until every instance has applied the first commit after `before`.
async fn arrived(stack: &Stack, before: Revision) -> anyhow::Result<CommitRecord> {
    let waiting = async {
        loop {
            let query = HistoryQuery {
                limit: Some(1),
                ..HistoryQuery::default()
            };
            let newest = stack.api().history(query).await?.into_iter().next();
            let arrived = newest.filter(|commit| {
                let applied = commit.deliveries.iter().filter(|d| d.rejected.is_none());
                commit.stamp.revision > before && applied.count() == INSTANCES
            });
            if let Some(commit) = arrived {
                return Ok(commit);
            }
            refuse_rejected(stack).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    in_time
        .with_context(|| format!("not every instance has applied the push after {PATIENCE:?}"))?
}

/// Fails with the faults of the newest commit, if it was rejected.
async fn refuse_rejected(stack: &Stack) -> anyhow::Result<()> {
    let sources = stack.api().sources().await?;
    let mut reports = sources.into_iter().filter_map(|source| source.report);
    if let Some(rejected) = reports.find(|report| !report.accepted) {
        bail!("the push was rejected: {}", rejected.faults.join("; "));
    }
    Ok(())
}
