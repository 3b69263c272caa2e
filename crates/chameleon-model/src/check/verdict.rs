//! What a check found.

use crate::document::Fault;
use std::collections::BTreeSet;
use std::fmt;

/// What a check found, in the order of files and lines, each fault once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What forbids the change.
    pub faults: Vec<Fault>,
    /// What is wrong but forbids nothing, such as faults of profiles outside of a filter.
    pub warnings: Vec<Fault>,
}

impl Verdict {
    /// Tells whether nothing forbids the change.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Verdict {
    /// Writes one line per fault, then one per warning with `warning: ` in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults
            .iter()
            .try_for_each(|fault| writeln!(f, "{fault}"))?;
        self.warnings
            .iter()
            .try_for_each(|fault| writeln!(f, "warning: {fault}"))
    }
}

/// Collects faults; what is found both ways counts as a fault.
#[derive(Default)]
pub(super) struct Findings {
    faults: BTreeSet<Fault>,
    warnings: BTreeSet<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Forbids,
    Warns,
}

impl Findings {
    pub(super) fn add(&mut self, weight: Weight, faults: impl IntoIterator<Item = Fault>) {
        match weight {
            Weight::Forbids => self.faults.extend(faults),
            Weight::Warns => self.warnings.extend(faults),
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.warnings.extend(other.warnings);
    }

    pub(super) fn into_verdict(self) -> Verdict {
        let Self {
            faults,
            mut warnings,
        } = self;
        warnings.retain(|fault| !faults.contains(fault));
        Verdict {
            faults: faults.into_iter().collect(),
            warnings: warnings.into_iter().collect(),
        }
    }
}
