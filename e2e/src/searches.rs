//! Searches that run all the while, and what became of each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Deserialize;
use service_kit::http_client::{self, HttpClientSettings};
use test_kit::eventually;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// From one search to the next, over all instances.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a search may take before it counts as failed; more than the service's own deadline.
const PATIENCE: Duration = Duration::from_secs(8);

/// How many searches in a row at each instance prove where the traffic goes.
const IN_A_ROW: usize = 5;

/// Places that the simulated vendors know.
const PLACES: [&str; 8] = [
    "불국사",
    "첨성대",
    "해인사",
    "통도사",
    "진주성",
    "경주역",
    "성산일출봉",
    "한라산 백록담",
];

/// Searches at every instance in turn until [`stop`](Self::stop); dropping it ends them as well.
pub(crate) struct Searches {
    done: Arc<Mutex<Vec<Search>>>,
    began: Instant,
    instances: usize,
    stop: CancellationToken,
    task: JoinSet<()>,
}

struct Search {
    instance: usize,
    began: Instant,
    took: Duration,
    /// The provider that served it, or why it failed.
    served: Result<String, String>,
}

/// What became of all searches.
#[derive(Debug)]
pub(crate) struct Tally {
    searches: usize,
    failures: Vec<String>,
    slowest: Duration,
    by_provider: BTreeMap<String, usize>,
    /// A line for each search, in the order of their beginnings.
    lines: Vec<String>,
}

impl Searches {
    /// Starts searching at `instances`, which are base addresses.
    pub(crate) fn start(instances: Vec<String>) -> anyhow::Result<Self> {
        let mut settings = HttpClientSettings::new("chameleon-e2e");
        settings.timeout = PATIENCE;
        let client = http_client::new(&settings)?;
        let done = Arc::<Mutex<Vec<Search>>>::default();
        let stop = CancellationToken::new();
        let count = instances.len();
        let mut task = JoinSet::new();
        task.spawn(run(client, instances, Arc::clone(&done), stop.clone()));
        Ok(Self {
            done,
            began: Instant::now(),
            instances: count,
            stop,
            task,
        })
    }

    /// Waits until the traffic of every instance goes to `provider`, and returns since when.
    ///
    /// # Errors
    /// As soon as a search fails.
    pub(crate) async fn go_to(&self, provider: &str) -> anyhow::Result<Instant> {
        let asked = Instant::now();
        let what = format!("every search is served by `{provider}`");
        eventually(&what, async || self.settled(provider, asked)).await
    }

    /// Waits until every instance has answered a few more searches.
    ///
    /// # Errors
    /// As soon as a search fails.
    pub(crate) async fn go_on(&self) -> anyhow::Result<()> {
        let asked = Instant::now();
        eventually("searches go on", async || {
            let done = self.done();
            let since: Vec<_> = done.iter().filter(|search| search.began >= asked).collect();
            if let Some(failed) = first_failure(&since) {
                return Some(Err(failed));
            }
            self.reach_all(&since).then_some(Ok(()))
        })
        .await
    }

    /// # Errors
    /// If a search that began at `since` or later was served by another provider, or failed.
    pub(crate) fn stayed_at(&self, provider: &str, since: Instant) -> anyhow::Result<()> {
        let done = self.done();
        for search in done.iter().filter(|search| search.began >= since) {
            match &search.served {
                Ok(served) => ensure!(
                    served == provider,
                    "a search was served by `{served}` after the traffic had gone to `{provider}`"
                ),
                Err(reason) => bail!("a search failed: {reason}"),
            }
        }
        Ok(())
    }

    /// Begins no more searches, waits for the last ones and counts.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        let ended = self.task.join_next().await;
        ended
            .context("the searches have ended before")?
            .context("run the searches")?;
        let mut done = self.done();
        done.sort_by_key(|search| search.began);
        let mut tally = Tally {
            searches: done.len(),
            failures: Vec::new(),
            slowest: done
                .iter()
                .map(|search| search.took)
                .max()
                .unwrap_or_default(),
            by_provider: BTreeMap::new(),
            lines: done.iter().map(|search| search.line(self.began)).collect(),
        };
        for search in done.iter() {
            match &search.served {
                Ok(provider) => *tally.by_provider.entry(provider.clone()).or_default() += 1,
                Err(reason) => tally.failures.push(reason.clone()),
            }
        }
        Ok(tally)
    }

    fn settled(&self, provider: &str, asked: Instant) -> Option<anyhow::Result<Instant>> {
        let done = self.done();
        let later: Vec<_> = done.iter().filter(|search| search.began >= asked).collect();
        if let Some(failed) = first_failure(&later) {
            return Some(Err(failed));
        }
        let elsewhere = later
            .iter()
            .filter(|search| search.served.as_deref() != Ok(provider));
        let last_elsewhere = elsewhere.map(|search| search.began).max();
        let since: Vec<_> = later
            .iter()
            .filter(|search| last_elsewhere.is_none_or(|last| search.began > last))
            .copied()
            .collect();
        let first = since.iter().map(|search| search.began).min();
        (self.reach_all(&since)).then(|| Ok(first.unwrap_or(asked)))
    }

    fn reach_all(&self, searches: &[&Search]) -> bool {
        (0..self.instances).all(|instance| {
            let here = searches.iter().filter(|search| search.instance == instance);
            here.count() >= IN_A_ROW
        })
    }

    fn done(&self) -> MutexGuard<'_, Vec<Search>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search {
    fn line(&self, since: Instant) -> String {
        let at = self.began.duration_since(since).as_secs_f64();
        let (instance, took) = (self.instance + 1, self.took.as_secs_f64());
        let served = self.served.as_ref().unwrap_or_else(|reason| reason);
        format!("{at:8.3} s  location-{instance}  {took:6.3} s  {served}")
    }
}

impl Tally {
    /// Writes a line for each search into `folder`: when it began, where, how long it took, and who
    /// served it or why it failed.
    pub(crate) fn keep(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join("searches.txt");
        let text = self.lines.join("\n") + "\n";
        std::fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))
    }

    /// # Errors
    /// If any search failed, with the first few reasons.
    pub(crate) fn none_failed(&self) -> anyhow::Result<()> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in &self.failures {
            *reasons.entry(reason).or_default() += 1;
        }
        let told: Vec<_> = (reasons.iter().take(3))
            .map(|(reason, count)| format!("{count} times {reason}"))
            .collect();
        ensure!(
            told.is_empty(),
            "{} of {} searches failed: {}",
            self.failures.len(),
            self.searches,
            told.join("; ")
        );
        Ok(())
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let failed = match self.failures.len() {
            0 => "none failed".to_owned(),
            count => format!("{count} failed"),
        };
        write!(f, "{} searches, {failed}", self.searches)?;
        for (provider, count) in &self.by_provider {
            write!(f, ", {count} by `{provider}`")?;
        }
        write!(f, ", the slowest took {:.1} s", self.slowest.as_secs_f64())
    }
}

fn first_failure(searches: &[&Search]) -> Option<anyhow::Error> {
    let mut reasons = searches
        .iter()
        .filter_map(|search| search.served.as_ref().err());
    reasons
        .next()
        .map(|reason| anyhow!("a search failed: {reason}"))
}

async fn run(
    client: reqwest::Client,
    instances: Vec<String>,
    done: Arc<Mutex<Vec<Search>>>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    let targets = (0..instances.len()).cycle().zip(PLACES.iter().cycle());
    for (instance, place) in targets {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        let request = client
            .get(format!("{}/location/address", instances[instance]))
            .query(&[("schvalue", place)]);
        let done = Arc::clone(&done);
        running.spawn(async move {
            let began = Instant::now();
            let served = search(request).await.map_err(|error| format!("{error:#}"));
            let search = Search {
                instance,
                began,
                took: began.elapsed(),
                served,
            };
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(search);
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

#[derive(Deserialize)]
struct Answer {
    count: usize,
}

/// Makes one search; an answer without a place is a failure, since every place is known.
async fn search(request: reqwest::RequestBuilder) -> anyhow::Result<String> {
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    let provider = response.headers().get("x-chameleon-provider").cloned();
    let body = response.text().await.map_err(reqwest::Error::without_url)?;
    ensure!(status.is_success(), "{status}: {}", body.trim());
    let answer: Answer = serde_json::from_str(&body).context("understand the answer")?;
    ensure!(answer.count > 0, "no place was found");
    let provider = provider.context("the answer names no provider")?;
    Ok(provider
        .to_str()
        .context("read the provider's name")?
        .to_owned())
}
