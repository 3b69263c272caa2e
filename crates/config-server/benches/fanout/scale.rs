//! How time and memory grow with the number of watchers.

use std::fmt;

use serde::Serialize;

use crate::report::{Unit, median};
use crate::rounds::{self, Figures, Way};
use crate::systems::System;

/// Every system on every way that it is measured by.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Scale {
    pub(crate) lines: Vec<Line>,
}

/// One system on one way.
#[derive(Serialize)]
pub(crate) struct Line {
    #[serde(skip)]
    system: System,
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) is_ours: bool,
    /// By growing numbers of watchers; without those that could not be measured.
    pub(crate) points: Vec<Point>,
}

/// What so many watchers meant: medians of the runs.
#[derive(Serialize)]
pub(crate) struct Point {
    pub(crate) watchers: usize,
    pub(crate) p99_ms: f64,
    pub(crate) idle_kib: f64,
    /// What the server has for all of them while they wait, over what it had without any.
    pub(crate) server_mib: f64,
    runs: Vec<Figures>,
}

/// Also says what could not be measured, whose points are left out.
pub(crate) async fn measure(runs: usize, crowds: &[usize], rounds: u64) -> (Scale, Vec<String>) {
    let mut crowds = crowds.to_vec();
    crowds.sort_unstable();
    crowds.dedup();
    let mut lines: Vec<Line> = (Way::ALL.into_iter())
        .flat_map(|way| way.systems().map(|system| Line::new(way, system, &crowds)))
        .collect();
    let mut failed = Vec::new();
    // Of one number all lines in turn, and all numbers before the next run.
    for _ in 0..runs {
        for (place, &watchers) in crowds.iter().enumerate() {
            for line in &mut lines {
                match rounds::run(line.system, watchers, rounds).await {
                    Ok(figures) => line.points[place].add(figures),
                    Err(error) => {
                        let what = format!("{watchers} watchers of {}", line.name);
                        eprintln!("failed to measure {what}: {error:#}");
                        failed.push(what);
                    }
                }
            }
        }
    }
    for line in &mut lines {
        line.points.retain(|point| !point.runs.is_empty());
    }
    (Scale { lines }, failed)
}

impl Line {
    fn new(way: Way, system: System, crowds: &[usize]) -> Self {
        Self {
            system,
            name: format!("{}, {}", system.name(), way.name()),
            way,
            is_ours: system.is_ours(),
            points: crowds
                .iter()
                .map(|&watchers| Point::new(watchers))
                .collect(),
        }
    }
}

impl Point {
    fn new(watchers: usize) -> Self {
        Self {
            watchers,
            p99_ms: f64::NAN,
            idle_kib: f64::NAN,
            server_mib: f64::NAN,
            runs: Vec::new(),
        }
    }

    fn add(&mut self, run: Figures) {
        self.runs.push(run);
        let of_all =
            |figure: fn(&Figures) -> f64| median(&self.runs.iter().map(figure).collect::<Vec<_>>());
        self.p99_ms = of_all(|run| run.p99_ms);
        self.idle_kib = of_all(|run| run.idle_kib);
        #[expect(clippy::cast_precision_loss, reason = "a count of what is measured")]
        let watchers = self.watchers as f64;
        self.server_mib = self.idle_kib * watchers / 1024.0;
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {:>8} |", "watchers")?;
        for line in &self.lines {
            write!(f, " {:>20} |", line.name)?;
        }
        writeln!(f, "\n| ---: |{}", " ---: |".repeat(self.lines.len()))?;
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut crowds: Vec<usize> = points.map(|point| point.watchers).collect();
        crowds.sort_unstable();
        crowds.dedup();
        for watchers in crowds {
            write!(f, "| {watchers:>8} |")?;
            for line in &self.lines {
                let point = line.points.iter().find(|point| point.watchers == watchers);
                let cell = point.map(|point| {
                    let time = Unit::Milliseconds.show(point.p99_ms);
                    format!("{time}, {}", Unit::Kibibytes.show(point.idle_kib))
                });
                write!(f, " {:>20} |", cell.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
