//! When two spellings are one name.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Returns the form in which names are compared: lower case, without `-` and `_`.
///
/// ```
/// use chameleon_model::document::canonical;
///
/// assert_eq!(canonical("aMapPercentage"), "amappercentage");
/// assert_eq!(canonical("a-map-percentage"), canonical("A_MAP_PERCENTAGE"));
/// ```
pub fn canonical(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Cow::Borrowed(name);
    }
    let kept = name.chars().filter(|letter| !matches!(letter, '-' | '_'));
    Cow::Owned(kept.flat_map(char::to_lowercase).collect())
}

/// Finds the field of a mapping whose name is canonically equal, with its spelling there.
pub(super) fn field<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
) -> Option<(&'a str, &'a Value)> {
    let found = fields.get_key_value(name).or_else(|| {
        let wanted = canonical(name);
        fields.iter().find(|(name, _)| canonical(name) == wanted)
    });
    found.map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for spelling in [
            "aMapPercentage",
            "a-map-percentage",
            "a_map_percentage",
            "AMAP-percentage",
        ] {
            assert_eq!(canonical(spelling), "amappercentage", "{spelling}");
        }
        assert_ne!(canonical("a.map"), canonical("amap"));
    }

    proptest! {
        #[test]
        fn canonical_names_are_canonical(name in ".*") {
            let once = canonical(&name).into_owned();
            prop_assert_eq!(canonical(&once), once.as_str());
        }

        #[test]
        fn separators_and_case_never_matter(words in prop::collection::vec("[a-z][a-z0-9]{0,5}", 1..5)) {
            let expected = words.concat();
            let kebab = words.join("-");
            let screaming = words.join("_").to_uppercase();
            prop_assert_eq!(canonical(&kebab), expected.as_str());
            prop_assert_eq!(canonical(&screaming), expected.as_str());
        }
    }
}
