//! JSON whose names count in any case, as Go's decoder takes it.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `body`, whose type has lower-case names.
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(body)?;
    lower(&mut value);
    serde_json::from_value(value)
}

fn lower(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(lower),
        Value::Object(fields) => {
            let taken = std::mem::take(fields);
            fields.extend(taken.into_iter().map(|(name, mut value)| {
                lower(&mut value);
                (name.to_lowercase(), value)
            }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_at_every_depth_and_values_are_not() {
        let value: Value = from_json(br#"[{"KV": {"Key": "Aa", "x": ["B"]}}]"#).unwrap();
        let expected = serde_json::json!([{"kv": {"key": "Aa", "x": ["B"]}}]);
        assert_eq!(value, expected);
    }
}
