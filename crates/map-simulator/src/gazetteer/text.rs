//! One form of text that people write in many.

use unicode_normalization::UnicodeNormalization as _;

/// The form in which texts are compared: NFKC, lower case, without blanks.
///
/// Hangul that arrives decomposed, full-width digits and forgotten blanks all compare equal.
pub(crate) fn compact(text: &str) -> String {
    text.nfkc()
        .filter(|letter| !letter.is_whitespace())
        .flat_map(char::to_lowercase)
        // A letter may now stand beside a mark from which a blank had kept it.
        .nfc()
        .collect()
}

/// As [`compact`], but blanks between two numbers stay as one: `152 22층` is not number 15222.
pub(super) fn compact_address(text: &str) -> String {
    let mut key = String::new();
    for word in text.split_whitespace() {
        let word = compact(word);
        let ends_in_digit = key.ends_with(|letter: char| letter.is_ascii_digit());
        if ends_in_digit && word.starts_with(|letter: char| letter.is_ascii_digit()) {
            key.push(' ');
        }
        key.push_str(&word);
    }
    key
}

/// Whether `rest` goes on with the number in front of it, so that `2` is not found in `25` or `2-1`.
pub(super) fn continues_number(rest: &str) -> bool {
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    rest.starts_with(|letter: char| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_width_and_composition_do_not_matter() {
        assert_eq!(compact(" 테헤란로　１５２ "), "테헤란로152");
        assert_eq!(compact("H＆M"), "h&m");
        assert_eq!(compact("\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"), "서울");
    }

    #[test]
    fn two_numbers_of_an_address_stay_two() {
        assert_eq!(compact_address("테헤란로 152 22 층"), "테헤란로152 22층");
        assert_eq!(compact_address(" 63로  50 "), "63로50");
    }

    #[test]
    fn a_number_ends_where_no_digit_follows() {
        assert!(continues_number("5") && continues_number("-1층"));
        assert!(!continues_number("") && !continues_number("층") && !continues_number("-가"));
    }

    proptest! {
        #[test]
        fn compacting_twice_changes_nothing(text in "\\PC{0,20}") {
            let once = compact(&text);
            prop_assert_eq!(compact(&once), once.clone());
        }
    }
}
