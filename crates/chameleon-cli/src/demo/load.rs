//! A steady stream of searches, and what became of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How long a search may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The part of the story in which a search began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// All traffic at vendor A.
    Before,
    /// From the push until every instance has applied it.
    Shifting,
    /// All traffic at vendor B.
    After,
    /// Vendor B is down.
    Outage,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] = [Self::Before, Self::Shifting, Self::After, Self::Outage];

    /// The phase in a few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Before => "before the push",
            Self::Shifting => "while it travels",
            Self::After => "after the push",
            Self::Outage => "vendor B is down",
        }
    }
}

impl Phase {
    /// The phase of a search that began in `self` and ended in `ended`: what was under way when
    /// the push or the outage came belongs to that.
    fn until(self, ended: Self) -> Self {
        match (self, ended) {
            (Self::Shifting, _) => Self::Shifting,
            (_, ended) => ended,
        }
    }
}

/// One search and its end.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) phase: Phase,
    /// True if it was under way when its phase began.
    pub(crate) straddled: bool,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// The provider that served it, or why it failed.
    pub(crate) served: Result<String, String>,
}

/// Searches that keep coming until [`stop`](Load::stop).
#[derive(Debug)]
pub(crate) struct Load {
    phase: watch::Sender<Option<Phase>>,
    task: JoinSet<Vec<Search>>,
}

impl Load {
    /// Starts `rate` searches a second, in turn over `targets` (base addresses) and `queries`.
    pub(crate) fn start(
        client: reqwest::Client,
        targets: Vec<String>,
        queries: Vec<String>,
        rate: u32,
    ) -> Self {
        let (phase, phases) = watch::channel(Some(Phase::Before));
        let mut task = JoinSet::new();
        task.spawn(run(client, targets, queries, rate, phases));
        Self { phase, task }
    }

    /// Searches that begin from now on belong to `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(Some(phase));
    }

    /// Begins no more searches and waits for the last ones.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Vec<Search>> {
        self.phase.send_replace(None);
        let ended = self.task.join_next().await;
        ended
            .context("the load was stopped before")?
            .context("run the load")
    }
}

async fn run(
    client: reqwest::Client,
    targets: Vec<String>,
    queries: Vec<String>,
    rate: u32,
    mut phases: watch::Receiver<Option<Phase>>,
) -> Vec<Search> {
    let targets: Vec<Arc<str>> = targets.into_iter().map(Into::into).collect();
    let queries: Vec<Arc<str>> = queries.into_iter().map(Into::into).collect();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    let mut searches = Vec::new();
    for (target, query) in targets.iter().cycle().zip(queries.iter().cycle()) {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = phases.wait_for(Option::is_none) => break,
        }
        let Some(phase) = *phases.borrow() else { break };
        let search = search(client.clone(), Arc::clone(target), Arc::clone(query));
        let phases = phases.clone();
        running.spawn(async move {
            let began = Instant::now();
            let served = search.await;
            let ended = phases.borrow().unwrap_or(phase);
            Search {
                phase: phase.until(ended),
                straddled: phase != phase.until(ended),
                began,
                took: began.elapsed(),
                served,
            }
        });
        while let Some(ended) = running.try_join_next() {
            searches.extend(ended);
        }
    }
    searches.extend(running.join_all().await);
    searches
}

async fn search(
    client: reqwest::Client,
    target: Arc<str>,
    query: Arc<str>,
) -> Result<String, String> {
    let request = (client.get(format!("{target}/location/address")))
        .query(&[("schvalue", &*query)])
        .timeout(PATIENCE)
        .send();
    match request.await {
        Err(error) => Err(format!("{:#}", anyhow::Error::new(error.without_url()))),
        Ok(response) => {
            let status = response.status();
            let provider = response.headers().get("x-chameleon-provider");
            let provider = provider
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            match (status.is_success(), provider, response.text().await) {
                (true, Some(provider), Ok(_)) => Ok(provider),
                (true, None, Ok(_)) => Err("the answer names no provider".to_owned()),
                (_, _, Err(error)) => Err(format!("the answer broke off: {error}")),
                (false, _, Ok(body)) => Err(format!("{status}: {}", body.trim())),
            }
        }
    }
}

/// What became of the searches of one phase.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tally {
    pub(crate) phase: Phase,
    pub(crate) searches: usize,
    pub(crate) failed: usize,
    /// Searches by the provider that served them.
    pub(crate) served: BTreeMap<String, usize>,
    /// The providers that served searches which began after the phase did.
    #[serde(skip)]
    pub(crate) chosen: BTreeSet<String>,
    pub(crate) median_ms: f64,
    pub(crate) slowest_ms: f64,
}

impl Tally {
    /// The share of `provider` in percent, with one decimal.
    pub(crate) fn share(&self, provider: &str) -> f64 {
        let served = self.served.get(provider).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand searches")]
        let share = served as f64 * 1000.0 / self.searches.max(1) as f64;
        share.round() / 10.0
    }
}

/// One tally for each phase that had searches, in their order.
pub(crate) fn tally(searches: &[Search]) -> Vec<Tally> {
    let of = |phase| {
        let of_phase: Vec<_> = searches.iter().filter(|s| s.phase == phase).collect();
        let mut took: Vec<_> = of_phase
            .iter()
            .map(|s| s.took.as_secs_f64() * 1000.0)
            .collect();
        took.sort_by(f64::total_cmp);
        let mut served = BTreeMap::new();
        for provider in of_phase.iter().filter_map(|s| s.served.as_ref().ok()) {
            *served.entry(provider.clone()).or_default() += 1;
        }
        Some(Tally {
            phase,
            searches: of_phase.len(),
            failed: of_phase.iter().filter(|s| s.served.is_err()).count(),
            served,
            chosen: (of_phase.iter().filter(|s| !s.straddled))
                .filter_map(|s| s.served.clone().ok())
                .collect(),
            median_ms: *took.get(took.len() / 2)?,
            slowest_ms: *took.last()?,
        })
    };
    Phase::ALL.into_iter().filter_map(of).collect()
}

/// The fewest searches that began in any whole second; `None` for less than a second.
pub(crate) fn slowest_second(searches: &[Search]) -> Option<usize> {
    let first = searches.iter().map(|s| s.began).min()?;
    let last = searches.iter().map(|s| s.began).max()?;
    let seconds = usize::try_from((last - first).as_secs()).ok()?;
    let mut counts = vec![0_usize; seconds];
    for search in searches {
        let second = usize::try_from((search.began - first).as_secs()).ok()?;
        if let Some(count) = counts.get_mut(second) {
            *count += 1;
        }
    }
    counts.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(began: Instant, phase: Phase, served: Result<&str, &str>) -> Search {
        Search {
            phase,
            straddled: false,
            began,
            took: Duration::from_millis(5),
            served: served.map(str::to_owned).map_err(str::to_owned),
        }
    }

    #[test]
    fn shares_count_failures_too() {
        let now = Instant::now();
        let mut searches = vec![search(now, Phase::After, Ok("b")); 3];
        searches.push(search(now, Phase::After, Err("503")));
        let tallies = tally(&searches);
        assert_eq!(tallies.len(), 1);
        assert_eq!((tallies[0].searches, tallies[0].failed), (4, 1));
        assert!((tallies[0].share("b") - 75.0).abs() < f64::EPSILON);
        assert!(tallies[0].share("a").abs() < f64::EPSILON);
    }

    #[test]
    fn a_search_belongs_to_what_it_was_caught_by() {
        use Phase::{After, Before, Outage, Shifting};
        for (began, ended, phase) in [
            (Before, Before, Before),
            (Before, Shifting, Shifting),
            (Shifting, After, Shifting),
            (After, Outage, Outage),
            (Outage, Outage, Outage),
        ] {
            assert_eq!(began.until(ended), phase);
        }
    }

    #[test]
    fn the_slowest_whole_second_is_found() {
        let start = Instant::now();
        let at = |ms| search(start + Duration::from_millis(ms), Phase::Before, Ok("a"));
        let searches: Vec<_> = [0, 500, 1100, 2000, 2100, 2900, 3000].map(at).into();
        assert_eq!(slowest_second(&searches), Some(1));
        assert_eq!(slowest_second(&searches[..2]), None);
    }
}
