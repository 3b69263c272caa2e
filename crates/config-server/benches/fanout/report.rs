//! The table of what was measured, with the goals.

use std::fmt;

use serde::Serialize;

use crate::scale::Scale;

/// All rows of a run, with where they come from.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: String,
    versions: Vec<String>,
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
}

/// One kind of work, by two systems.
#[derive(Serialize)]
pub(crate) struct Row {
    work: String,
    unit: Unit,
    ours: Series,
    other: Option<Series>,
    /// Ours by the other's: of the medians, unless each run compared more closely.
    ratio: Option<f64>,
    goal: Option<Goal>,
    verdict: Option<Verdict>,
}

/// What one system showed.
#[derive(Serialize)]
pub(crate) struct Series {
    system: &'static str,
    median: f64,
    runs: Vec<f64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Kibibytes,
    PerSecond,
}

/// What is to be reached.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Goal {
    of: Subject,
    better: Better,
    must: f64,
    stretch: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Ratio,
    Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Better {
    Less,
    More,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Stretch,
    Must,
    Missed,
}

impl Report {
    pub(crate) fn new(versions: Vec<String>, rows: Vec<Row>, scale: Option<Scale>) -> Self {
        Self {
            machine: test_kit::bench::machine(),
            versions,
            rows,
            scale,
        }
    }

    pub(crate) fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(
            f,
            "| {:<55} | {:>10} | {:>23} | {:>5} | {:>9} | {:>9} | reached |",
            "work", "Chameleon", "other", "ratio", "must", "stretch"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | --- |")?;
        for row in &self.rows {
            let other = (row.other.as_ref())
                .map(|other| format!("{} {}", other.system, row.unit.show(other.median)));
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}"));
            let goal = |pick: fn(&Goal) -> f64| {
                let goal = row.goal.as_ref()?;
                Some(match goal.of {
                    Subject::Ratio => format!("{:.2}", pick(goal)),
                    Subject::Value => row.unit.show(pick(goal)),
                })
            };
            let verdict = row.verdict.map_or("", |verdict| match verdict {
                Verdict::Stretch => "stretch",
                Verdict::Must => "must",
                Verdict::Missed => "missed",
            });
            writeln!(
                f,
                "| {:<55} | {:>10} | {:>23} | {:>5} | {:>9} | {:>9} | {verdict:<7} |",
                row.work,
                row.unit.show(row.ours.median),
                other.unwrap_or_default(),
                ratio.unwrap_or_default(),
                goal(|goal| goal.must).unwrap_or_default(),
                goal(|goal| goal.stretch).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn new(work: String, unit: Unit, ours: Series) -> Self {
        Self {
            work,
            unit,
            ours,
            other: None,
            ratio: None,
            goal: None,
            verdict: None,
        }
    }

    pub(crate) fn against(self, other: Series) -> Self {
        Self {
            ratio: Some(self.ours.median / other.median),
            other: Some(other),
            ..self
        }
    }

    /// In place of the ratio of the medians.
    pub(crate) fn ratio(self, ratio: f64) -> Self {
        Self {
            ratio: Some(ratio),
            ..self
        }
    }

    pub(crate) fn goal(self, goal: Goal) -> Self {
        let value = match goal.of {
            Subject::Ratio => self.ratio,
            Subject::Value => Some(self.ours.median),
        };
        Self {
            goal: Some(goal),
            verdict: value.map(|value| goal.verdict(value)),
            ..self
        }
    }
}

impl Series {
    pub(crate) fn of(system: &'static str, runs: Vec<f64>) -> Self {
        Self {
            system,
            median: median(&runs),
            runs,
        }
    }
}

impl Goal {
    /// The ratio is to be `must` or less.
    pub(crate) fn ratio_under(must: f64, stretch: f64) -> Self {
        Self {
            of: Subject::Ratio,
            better: Better::Less,
            must,
            stretch,
        }
    }

    /// The ratio is to be `must` or more.
    pub(crate) fn ratio_over(must: f64, stretch: f64) -> Self {
        Self {
            better: Better::More,
            ..Self::ratio_under(must, stretch)
        }
    }

    /// Our figure itself is to be `must` or less.
    pub(crate) fn under(must: f64, stretch: f64) -> Self {
        Self {
            of: Subject::Value,
            ..Self::ratio_under(must, stretch)
        }
    }

    fn verdict(self, value: f64) -> Verdict {
        let reached = |goal: f64| match self.better {
            Better::Less => value <= goal,
            Better::More => value >= goal,
        };
        if reached(self.stretch) {
            Verdict::Stretch
        } else if reached(self.must) {
            Verdict::Must
        } else {
            Verdict::Missed
        }
    }
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds if value < 10.0 => format!("{value:.2} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Microseconds => format!("{value:.1} us"),
            Self::Kibibytes => format!("{value:.1} KiB"),
            Self::PerSecond => format!("{value:.0}/s"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; {}", self.machine, self.versions.join("; "))?;
        if !self.rows.is_empty() {
            self.write_rows(f)?;
        }
        match &self.scale {
            Some(scale) => write!(
                f,
                "\nUntil 99 of 100 watchers have a change, and memory per idle watcher:\n\n{scale}"
            ),
            None => Ok(()),
        }
    }
}

/// The middle one; of an even number, the upper of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
