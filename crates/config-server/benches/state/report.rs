//! The table of what was measured, with the goals.

use std::fmt;

use serde::Serialize;

/// All rows of a run, with where they come from.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: String,
    pub(crate) rows: Vec<Row>,
}

/// One figure.
#[derive(Serialize)]
pub(crate) struct Row {
    work: String,
    unit: Unit,
    median: f64,
    runs: Vec<f64>,
    /// The most that it may be.
    must: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Times,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            machine: test_kit::bench::machine(),
            rows: Vec::new(),
        }
    }
}

impl Row {
    pub(crate) fn new(work: String, unit: Unit, runs: Vec<f64>) -> Self {
        Self {
            work,
            unit,
            median: median(&runs),
            runs,
            must: None,
        }
    }

    pub(crate) fn at_most(self, must: f64) -> Self {
        Self {
            must: Some(must),
            ..self
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Times => format!("{value:.2}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(
            f,
            "| {:<72} | {:>9} | {:>7} | reached |",
            "work", "median", "must"
        )?;
        writeln!(f, "| --- | ---: | ---: | --- |")?;
        for row in &self.rows {
            let must = row.must.map(|must| row.unit.show(must));
            let reached = row
                .must
                .map_or("", |must| if row.median <= must { "yes" } else { "missed" });
            writeln!(
                f,
                "| {:<72} | {:>9} | {:>7} | {reached:<7} |",
                row.work,
                row.unit.show(row.median),
                must.unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

/// The middle one; of an even number, the upper of the two.
fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value below which so many of a hundred lie.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = values.len() * percent / 100;
    let last = values.len().saturating_sub(1);
    values.get(place.min(last)).copied().unwrap_or(f64::NAN)
}
