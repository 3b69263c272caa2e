//! Medians and the table of them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// All figures of a run, with where they come from.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) figures: Vec<Figure>,
}

/// One thing that was measured several times.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) runs: usize,
    pub(crate) median_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) slowest_ms: f64,
    /// What it should be under, in the median.
    pub(crate) goal_ms: Option<f64>,
    /// What it is of the figure that it is part of, by the medians.
    pub(crate) share: Option<f64>,
}

impl Figure {
    pub(crate) fn of(name: impl Into<String>, mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a short list"
            )]
            let place = ((times.len().max(1) - 1) as f64 * share).round() as usize;
            times
                .get(place)
                .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        Self {
            name: name.into(),
            runs: times.len(),
            median_ms: at(0.5),
            p90_ms: at(0.9),
            slowest_ms: at(1.0),
            goal_ms: None,
            share: None,
        }
    }

    pub(crate) fn under(self, goal_ms: f64) -> Self {
        Self {
            goal_ms: Some(goal_ms),
            ..self
        }
    }

    pub(crate) fn part_of(self, whole: &Self) -> Self {
        Self {
            share: Some(self.median_ms / whole.median_ms),
            ..self
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(
            f,
            "{:<52} {:>5} {:>10} {:>10} {:>10} {:>8} {:>6}",
            "", "runs", "median ms", "p90 ms", "slowest", "goal", "share"
        )?;
        for figure in &self.figures {
            let goal = figure
                .goal_ms
                .map(|ms| format!("< {ms}"))
                .unwrap_or_default();
            let share = (figure.share)
                .map(|share| format!("{:.0} %", share * 100.0))
                .unwrap_or_default();
            writeln!(
                f,
                "{:<52} {:>5} {:>10.2} {:>10.2} {:>10.2} {goal:>8} {share:>6}",
                figure.name, figure.runs, figure.median_ms, figure.p90_ms, figure.slowest_ms,
            )?;
        }
        Ok(())
    }
}
