//! What a person typed into the search, cleaned and understood.

use unicode_normalization::UnicodeNormalization;

use crate::address::{is_number, join_words, known_sido, normal_name};

/// The longest accepted text, in characters.
pub(crate) const MAX_QUERY_CHARS: usize = 100;

/// A search text that is neither empty nor too long.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SearchQuery {
    text: String,
    kind: QueryKind,
}

/// What a search text looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryKind {
    /// A road or lot with a number, or a postal code.
    Address,
    /// A name without a region in it.
    Poi,
    /// A region and a name, or undecided.
    Mixed,
}

/// Why a text can not be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("the search text is empty: give at least one letter or digit in `schvalue`")]
    Empty,
    #[error("the search text has {0} characters, at most {MAX_QUERY_CHARS} are searched")]
    TooLong(usize),
}

impl SearchQuery {
    /// Cleans a text: NFKC (so full-width digits are digits), no control characters, single blanks.
    pub(crate) fn parse(raw: &str) -> Result<Self, QueryError> {
        // Counted first: normalising an endless text is work that nobody asked for.
        let chars = raw.chars().count();
        if chars > MAX_QUERY_CHARS {
            return Err(QueryError::TooLong(chars));
        }
        let normal: String = raw
            .nfkc()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if !normal.chars().any(char::is_alphanumeric) {
            return Err(QueryError::Empty);
        }
        let text = join_words(normal.split_whitespace());
        let kind = classify(&text);
        Ok(Self { text, kind })
    }

    /// The text as a vendor gets it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What the text looks for.
    pub(crate) fn kind(&self) -> QueryKind {
        self.kind
    }

    /// The text for an address search: without parentheses, `번지`, floors and units.
    pub(crate) fn address_text(&self) -> String {
        let plain = without_parentheses(&self.text);
        let mut words: Vec<&str> = Vec::new();
        for word in plain.split_whitespace() {
            let word = word.trim_end_matches(',');
            // Floors and units stand at the end; everything after the first one belongs to it.
            if !words.is_empty() && is_floor_or_unit(word) {
                break;
            }
            words.push(word.strip_suffix("번지").unwrap_or(word));
        }
        join_words(words)
    }

    /// The comparable forms of the name asked for: the whole text, and without its region words.
    pub(crate) fn name_keys(&self) -> [String; 2] {
        let whole = normal_name(&self.text);
        let name: String = self
            .text
            .split(' ')
            .filter(|word| !is_region(word))
            .collect();
        let name = if name.is_empty() {
            whole.clone()
        } else {
            normal_name(&name)
        };
        [whole, name]
    }
}

impl std::fmt::Debug for SearchQuery {
    /// Searched addresses stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SearchQuery")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

fn classify(text: &str) -> QueryKind {
    let plain = without_parentheses(text);
    let words: Vec<&str> = plain
        .split_whitespace()
        .map(|word| word.trim_end_matches(','))
        .collect();
    if words
        .windows(2)
        .any(|pair| ends_address(pair[0]) && starts_number(pair[1]))
        || words.windows(3).any(|three| {
            ends_address(three[0]) && matches!(three[1], "산" | "지하") && starts_number(three[2])
        })
        || words.iter().any(|word| is_glued_address(word))
        || matches!(words[..], [zip] if zip.len() == 5 && zip.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return QueryKind::Address;
    }
    if words.iter().any(|word| is_region(word) || ends_road(word)) {
        QueryKind::Mixed
    } else {
        QueryKind::Poi
    }
}

fn ends_road(word: &str) -> bool {
    word.chars().nth(1).is_some() && word.ends_with(['로', '길'])
}

fn ends_address(word: &str) -> bool {
    ends_road(word)
        || (word.chars().nth(1).is_some() && word.ends_with(['동', '리', '가', '읍', '면']))
}

/// `44-2`, `44-2번지`, `산12`, `지하396`.
fn starts_number(word: &str) -> bool {
    let word = word.strip_suffix("번지").unwrap_or(word);
    let word = word
        .strip_prefix('산')
        .or_else(|| word.strip_prefix("지하"))
        .unwrap_or(word);
    is_number(word)
}

/// A road and its number written as one word: `위례성대로2`.
fn is_glued_address(word: &str) -> bool {
    let road = word.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
    road.len() < word.len() && ends_road(road) && is_number(&word[road.len()..])
}

fn is_region(word: &str) -> bool {
    let level = word.chars().nth(1).is_some()
        && word.ends_with(['시', '군', '구', '동', '읍', '면', '리'])
        // An exit of a station is no district.
        && !word.ends_with("출구")
        && !word.ends_with("입구");
    level || known_sido(word).is_some()
}

fn is_floor_or_unit(word: &str) -> bool {
    let word = word
        .strip_prefix("지하")
        .or_else(|| word.strip_prefix(['B', 'b']))
        .unwrap_or(word);
    let digits = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    digits.len() < word.len() && matches!(digits, "층" | "호" | "F" | "f")
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .map(|letter| match letter {
            '(' => {
                depth += 1;
                ' '
            }
            ')' => {
                depth = depth.saturating_sub(1);
                ' '
            }
            _ if depth > 0 => ' ',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> SearchQuery {
        SearchQuery::parse(text).expect(text)
    }

    #[test]
    fn texts_are_told_apart() {
        let check = |text: &str, kind| assert_eq!(query(text).kind(), kind, "{text}");
        for text in [
            "위례성대로 2",
            "위례성대로2",
            "서울 송파구 위례성대로 2, 3층",
            "방이동 44-2",
            "방이동 44번지",
            "양수리 산 12-3",
            "양수리 산12-3",
            "강남대로 지하 396",
            "을지로1가 16",
            "위례성대로 (방이동) 2",
            "05544",
            "경강로 ５７２１",
        ] {
            check(text, QueryKind::Address);
        }
        for text in [
            "장은빌딩",
            "스타벅스 강남점",
            "63빌딩",
            "강남역 2번 출구",
            "GS25",
        ] {
            check(text, QueryKind::Poi);
        }
        for text in [
            "송파구 장은빌딩",
            "서울 시청",
            "방이동",
            "위례성대로",
            "제주 공항",
        ] {
            check(text, QueryKind::Mixed);
        }
    }

    #[test]
    fn address_text_drops_what_geocoders_trip_over() {
        for (text, expected) in [
            ("방이동 44-2번지", "방이동 44-2"),
            ("위례성대로 2 (방이동) 3층 301호", "위례성대로 2"),
            ("위례성대로 2, 지하1층", "위례성대로 2"),
            ("장은빌딩", "장은빌딩"),
        ] {
            assert_eq!(query(text).address_text(), expected);
        }
    }

    #[test]
    fn regions_are_no_part_of_a_name() {
        let check = |text: &str, expected: [&str; 2]| assert_eq!(query(text).name_keys(), expected);
        check("서울 송파구 장은 빌딩", ["서울송파구장은빌딩", "장은빌딩"]);
        check("인천 자유공원", ["인천자유공원", "자유공원"]);
        check("방이동", ["방이동", "방이동"]);
    }

    #[test]
    fn empty_and_endless_texts_are_refused() {
        assert_eq!(SearchQuery::parse(" \t "), Err(QueryError::Empty));
        assert_eq!(SearchQuery::parse("- ,"), Err(QueryError::Empty));
        assert_eq!(
            SearchQuery::parse(&"가".repeat(101)),
            Err(QueryError::TooLong(101))
        );
        assert_eq!(query(&"가".repeat(100)).text().chars().count(), 100);
    }

    #[test]
    fn decomposed_text_and_control_characters_are_cleaned() {
        assert_eq!(query("\u{1112}\u{1161}\u{11ab}강\u{0}역").text(), "한강 역");
        assert!(!format!("{:?}", query("비밀 주소")).contains("비밀"));
    }
}
