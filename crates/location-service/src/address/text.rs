//! Small readings of vendor text: blanks, numbers, markup and the comparable form of names.

use unicode_normalization::UnicodeNormalization;

/// Trims and collapses blanks; empty text is absent.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    let words = join_words(text.split_whitespace());
    (!words.is_empty()).then_some(words)
}

/// Joins words by single blanks, leaving out empty ones.
pub(crate) fn join_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for word in words {
        if word.is_empty() {
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

/// Tells whether a word is a building or lot number: `2`, `44-2`.
pub(crate) fn is_number(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_once('-') {
        Some((main, sub)) => digits(main) && digits(sub),
        None => digits(word),
    }
}

/// Joins a main and a sub number; a missing or zero sub number is dropped, a missing main gives none.
pub(crate) fn numbers(main: &str, sub: &str) -> Option<String> {
    let main = meaningful(main)?;
    Some(match meaningful(sub) {
        Some(sub) => format!("{main}-{sub}"),
        None => main.to_owned(),
    })
}

/// Splits `44-2` and drops a sub number that means nothing: `2-0` becomes `2`.
pub(crate) fn tidy_number(number: &str) -> Option<String> {
    let (main, sub) = number.trim().split_once('-').unwrap_or((number, ""));
    numbers(main, sub)
}

fn meaningful(number: &str) -> Option<&str> {
    let number = number.trim();
    (!number.is_empty() && number.bytes().any(|byte| byte != b'0')).then_some(number)
}

/// Removes HTML tags, decodes entities and collapses blanks.
pub(crate) fn clean_markup(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        plain.push_str(&rest[..open]);
        let tail = &rest[open + 1..];
        let named = tail
            .trim_start_matches('/')
            .starts_with(|first: char| first.is_ascii_alphabetic());
        if let Some(close) = tail.find('>').filter(|_| named) {
            rest = &tail[close + 1..];
        } else {
            plain.push('<');
            rest = tail;
        }
    }
    plain.push_str(rest);
    join_words(decode_entities(&plain).split_whitespace())
}

fn decode_entities(text: &str) -> String {
    // No entity that vendors send is longer; a stray `&` must not swallow the rest of a name.
    const LONGEST: usize = 10;
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        decoded.push_str(&rest[..start]);
        let tail = &rest[start + 1..];
        let entity = tail
            .find(';')
            .filter(|end| *end <= LONGEST)
            .and_then(|end| Some((entity(&tail[..end])?, end)));
        if let Some((character, end)) = entity {
            decoded.push(character);
            rest = &tail[end + 1..];
        } else {
            decoded.push('&');
            rest = tail;
        }
    }
    decoded.push_str(rest);
    decoded
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// The comparable form of a name: NFKC, lower case, without blanks and `()-·.,`.
pub(crate) fn normal_name(name: &str) -> String {
    name.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|letter| !letter.is_whitespace() && !"()-·.,".contains(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_what_means_nothing() {
        for (main, sub, expected) in [
            ("2", "0", Some("2")),
            ("44", "2", Some("44-2")),
            ("125", "", Some("125")),
            ("", "3", None),
            ("0", "0", None),
        ] {
            assert_eq!(numbers(main, sub).as_deref(), expected);
        }
        assert_eq!(tidy_number("2-0").as_deref(), Some("2"));
        assert_eq!(tidy_number("11-3").as_deref(), Some("11-3"));
    }

    #[test]
    fn markup_is_removed_and_entities_are_decoded_once() {
        for (text, expected) in [
            ("<b>장은빌딩</b>", "장은빌딩"),
            (
                "방이 <b>장은</b>약국 &amp; 건강원",
                "방이 장은약국 & 건강원",
            ),
            ("A&amp;lt;B", "A&lt;B"),
            ("1 < 2 & 3", "1 < 2 & 3"),
            ("a&#39;b&#x41;", "a'bA"),
            ("끝<", "끝<"),
        ] {
            assert_eq!(clean_markup(text), expected);
        }
    }

    #[test]
    fn names_compare_without_blanks_case_and_dots() {
        assert_eq!(
            normal_name("N서울타워 (본점)"),
            normal_name("n서울 타워·본점")
        );
        assert_eq!(normal_name("ＧＳ２５"), "gs25");
    }

    #[test]
    fn only_whole_numbers_are_numbers() {
        for (word, expected) in [
            ("2", true),
            ("44-2", true),
            ("2번", false),
            ("-2", false),
            ("1-2-3", false),
        ] {
            assert_eq!(is_number(word), expected, "{word}");
        }
    }
}
