//! `x-sum: {of: [names], equals: number}`: numbers that have to add up, which JSON Schema can't say.

use crate::document::name::{canonical, field};
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value};

pub(super) const KEYWORD: &str = "x-sum";

/// Sums of decimal fractions are equal up to this.
const TOLERANCE: f64 = 1e-9;

pub(super) struct Sum {
    pub(super) of: Vec<String>,
    pub(super) equals: f64,
}

impl Sum {
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let usage = "`x-sum` is written like `{of: [aMapPercentage, bMapPercentage], equals: 100}`";
        let fields = value.as_object().ok_or(usage)?;
        if fields.keys().any(|name| name != "of" && name != "equals") {
            return Err(usage.to_owned());
        }
        let of: Option<Vec<_>> = fields
            .get("of")
            .and_then(Value::as_array)
            .filter(|names| !names.is_empty())
            .and_then(|names| {
                names
                    .iter()
                    .map(|name| name.as_str().map(str::to_owned))
                    .collect()
            });
        let equals = fields.get("equals").and_then(Value::as_f64);
        let (of, equals) = of.zip(equals).ok_or(usage)?;
        let mut names: Vec<_> = of.iter().map(|name| canonical(name)).collect();
        names.sort();
        names.dedup();
        if names.len() < of.len() {
            return Err(format!("`x-sum` names a value twice; {usage}"));
        }
        Ok(Self { of, equals })
    }

    /// Returns the members that are there.
    pub(super) fn members<'a>(
        &'a self,
        fields: &'a Map<String, Value>,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.of.iter().filter_map(|name| field(fields, name))
    }

    /// Returns the sum, or `None` if a member is no number; an absent one counts 0.
    pub(super) fn total(&self, fields: &Map<String, Value>) -> Option<f64> {
        self.members(fields)
            .try_fold(0.0, |total, (_, value)| Some(total + value.as_f64()?))
    }

    pub(super) fn holds(&self, fields: &Map<String, Value>) -> bool {
        self.total(fields)
            .is_some_and(|total| (total - self.equals).abs() < TOLERANCE)
    }
}

impl<'i> Keyword<'i> for Sum {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!(
            "{} must add up to {}",
            self.of.join(" + "),
            self.equals
        )))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_object().is_none_or(|fields| self.holds(fields))
    }
}
