//! Road-name addresses: `시도 시군구 [읍·면] 도로명 [지하] 본번[-부번]`.

use std::fmt;

use super::{Region, is_eup_or_myeon, is_number, join_words, non_empty, text::tidy_number};

/// Marks a building below ground; it is part of the building number.
const UNDERGROUND: &str = "지하";

/// A road-name address without dong, building name, floor or parenthesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoadAddress {
    head: String,
    road: String,
    number: Option<String>,
}

impl RoadAddress {
    /// Builds an address from a vendor's fields; `dong` counts only if it is an eup or a myeon.
    ///
    /// None without a road name.
    pub(crate) fn from_parts(
        region: &Region,
        dong: &str,
        road: &str,
        number: Option<&str>,
    ) -> Option<Self> {
        let dong = non_empty(dong).filter(|name| is_eup_or_myeon(name));
        Some(Self {
            head: join_words([
                region.sido.as_deref().unwrap_or_default(),
                region.sigungu.as_deref().unwrap_or_default(),
                dong.as_deref().unwrap_or_default(),
            ]),
            road: non_empty(road)?,
            number: number.and_then(building_number),
        })
    }

    /// Reads an address out of text and leaves out whatever follows the building number.
    ///
    /// None when there is no road name in it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sido, sigungu, words) = Region::split_head(text)?;
        let number_at = words
            .iter()
            .position(|word| is_number(trim_tail(word)) || is_underground(word));
        let road_at = match number_at {
            // The word before the number is the road; that also reads roads with unusual endings.
            Some(at) => at.checked_sub(1)?,
            None => words
                .iter()
                .rposition(|word| word.ends_with(['로', '길']))?,
        };
        let number = number_at.and_then(|at| read_number(&words[at..]));
        let road = words[road_at];
        if number.is_some() && (road.ends_with(['동', '리', '가', '읍', '면']) || road == "산")
        {
            return None;
        }
        let eup_or_myeon = words[..road_at].iter().find(|word| is_eup_or_myeon(word));
        Some(Self {
            head: join_words([
                sido.as_str(),
                sigungu.as_deref().unwrap_or_default(),
                eup_or_myeon.copied().unwrap_or_default(),
            ]),
            road: road.to_owned(),
            number,
        })
    }

    /// Tells whether a building number narrows the address to one building.
    pub(crate) fn has_number(&self) -> bool {
        self.number.is_some()
    }

    /// The road and its number, the part that a person types: `위례성대로 2`.
    pub(crate) fn local_part(&self) -> String {
        join_words([
            self.road.as_str(),
            self.number.as_deref().unwrap_or_default(),
        ])
    }
}

impl fmt::Display for RoadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_words([
            self.head.as_str(),
            self.road.as_str(),
            self.number.as_deref().unwrap_or_default(),
        ]))
    }
}

fn read_number(words: &[&str]) -> Option<String> {
    match words {
        [UNDERGROUND, number, ..] => {
            building_number(&format!("{UNDERGROUND} {}", trim_tail(number)))
        }
        [number, ..] => building_number(trim_tail(number)),
        [] => None,
    }
}

/// A building number with or without its underground mark; a zero sub number is dropped.
fn building_number(text: &str) -> Option<String> {
    let text = text.trim();
    match text.strip_prefix(UNDERGROUND) {
        Some(number) => Some(format!("{UNDERGROUND} {}", tidy_number(number)?)),
        None => tidy_number(text),
    }
}

fn is_underground(word: &str) -> bool {
    word == UNDERGROUND
        || word
            .strip_prefix(UNDERGROUND)
            .is_some_and(|rest| is_number(trim_tail(rest)))
}

/// `2,` and `2(방이동)` are numbers too.
fn trim_tail(word: &str) -> &str {
    word.split(['(', ',']).next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_into_one_form() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                RoadAddress::parse(text)
                    .map(|road| road.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        };
        check(
            "서울 마포구 백범로 178",
            Some("서울특별시 마포구 백범로 178"),
        );
        check(
            "서울특별시 송파구 위례성대로 2 ",
            Some("서울특별시 송파구 위례성대로 2"),
        );
        check(
            "서울특별시 송파구 위례성대로 2 장은빌딩 3층",
            Some("서울특별시 송파구 위례성대로 2"),
        );
        check(
            "서울특별시 송파구 위례성대로 2(방이동)",
            Some("서울특별시 송파구 위례성대로 2"),
        );
        check(
            "경기 양평군 양서면 두물머리길 125",
            Some("경기도 양평군 양서면 두물머리길 125"),
        );
        check(
            "경기도 성남시 분당구 불정로 6-0",
            Some("경기도 성남시 분당구 불정로 6"),
        );
        check(
            "서울특별시 강남구 강남대로 지하 396",
            Some("서울특별시 강남구 강남대로 지하 396"),
        );
        check(
            "서울특별시 강남구 강남대로 지하396",
            Some("서울특별시 강남구 강남대로 지하 396"),
        );
        check(
            "세종특별자치시 한누리대로 2130",
            Some("세종특별자치시 한누리대로 2130"),
        );
        check(
            "서울 송파구 방이동 위례성대로 2",
            Some("서울특별시 송파구 위례성대로 2"),
        );
        check(
            "서울 중구 동호로24길 27-17",
            Some("서울특별시 중구 동호로24길 27-17"),
        );
        check(
            "강원도 춘천시 남산면 남이섬길 1",
            Some("강원특별자치도 춘천시 남산면 남이섬길 1"),
        );
        check(
            "서울 송파구 위례성대로",
            Some("서울특별시 송파구 위례성대로"),
        );
        check("서울 송파구 방이동 44-2", None);
        check("경기 양평군 양서면 양수리 산 12-3", None);
        check("서울 송파구", None);
        check("", None);
    }

    #[test]
    fn fields_give_the_same_form_as_text() {
        let region = Region::from_parts("서울", "송파구", "방이동", "");
        let from_parts = RoadAddress::from_parts(&region, "방이동", "위례성대로", Some("2-0"));
        assert_eq!(
            from_parts,
            RoadAddress::parse("서울특별시 송파구 위례성대로 2 장은빌딩")
        );
        assert_eq!(RoadAddress::from_parts(&region, "", " ", Some("2")), None);
    }

    proptest::proptest! {
        /// Reading what was written gives the same address again.
        #[test]
        fn parse_reads_what_display_writes(
            sido in proptest::sample::select(vec!["서울", "경기도", "강원도", "세종"]),
            sigungu in proptest::sample::select(vec!["송파구", "성남시 분당구", "양평군"]),
            dong in proptest::sample::select(vec!["", "양서면", "조치원읍"]),
            road in "[가-힣]{1,5}(로|길|대로)",
            number in "[1-9][0-9]{0,3}(-[1-9][0-9]?)?",
        ) {
            let region = Region::from_parts(sido, sigungu, dong, "");
            let address = RoadAddress::from_parts(&region, dong, &road, Some(&number)).expect("a road");
            proptest::prop_assert_eq!(RoadAddress::parse(&address.to_string()), Some(address));
        }
    }
}
