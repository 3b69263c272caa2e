//! Korean addresses in one written form, whichever vendor spelled them.
//!
//! Owns the normal forms of provinces, road-name and lot-number addresses and place names. Knows no
//! vendor's field names and does no I/O.

mod jibun;
mod road;
mod sido;
mod text;

pub(crate) use jibun::{JibunAddress, Lot};
pub(crate) use road::RoadAddress;
pub(crate) use sido::{full_sido, known_sido};
pub(crate) use text::{clean_markup, is_number, join_words, non_empty, normal_name, numbers};

/// The region of an address: province, city or district, legal dong and ri.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Region {
    /// Province in its full form (`서울특별시`).
    pub(crate) sido: Option<String>,
    /// City, county or district; two words where there are two levels (`성남시 분당구`), none in Sejong.
    pub(crate) sigungu: Option<String>,
    /// Legal dong, or eup or myeon in rural areas.
    pub(crate) legal_dong: Option<String>,
    /// Ri of a rural area.
    pub(crate) legal_ri: Option<String>,
}

impl Region {
    /// Builds a region from a vendor's separate fields; blanks are absent and the province becomes full.
    pub(crate) fn from_parts(sido: &str, sigungu: &str, legal_dong: &str, legal_ri: &str) -> Self {
        let sido = non_empty(sido).map(|name| full_sido(&name).to_owned());
        let sigungu = non_empty(sigungu).filter(|name| !repeats(sido.as_deref(), name));
        let legal_dong = non_empty(legal_dong);
        let legal_ri = non_empty(legal_ri).filter(|ri| Some(ri) != legal_dong.as_ref());
        Self {
            sido,
            sigungu,
            legal_dong,
            legal_ri,
        }
    }

    /// Splits the leading province and district off an address; what follows is returned as words.
    ///
    /// None when the text does not open with a province and something after it.
    pub(crate) fn split_head(text: &str) -> Option<(String, Option<String>, Vec<&str>)> {
        let mut words = text.split_whitespace().peekable();
        let sido = full_sido(words.next()?).to_owned();
        words.peek()?;
        let mut sigungu: Vec<&str> = Vec::new();
        while let Some(word) = words.peek() {
            let first = sigungu.is_empty();
            // Only a city can be followed by a second level, and that level is always a district.
            let below_city = sigungu.last().is_some_and(|last| last.ends_with('시'));
            let taken = if first {
                word.ends_with(['시', '군', '구'])
            } else {
                below_city && word.ends_with('구')
            };
            if !taken || sigungu.len() == 2 {
                break;
            }
            sigungu.push(word);
            words.next();
        }
        let sigungu = non_empty(&sigungu.join(" ")).filter(|name| !repeats(Some(&sido), name));
        Some((sido, sigungu, words.collect()))
    }
}

/// Sejong has no district; some vendors repeat the city's name in that field.
fn repeats(sido: Option<&str>, sigungu: &str) -> bool {
    sido.is_some_and(|sido| sido == full_sido(sigungu.trim_end_matches('시')) || sido == sigungu)
}

/// An eup or a myeon, the only dong-level names that belong into a road address.
pub(crate) fn is_eup_or_myeon(name: &str) -> bool {
    name.ends_with(['읍', '면'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_split_at_the_district() {
        let check = |text: &str, sido: &str, sigungu: Option<&str>, rest: &[&str]| {
            let (found_sido, found_sigungu, found_rest) = Region::split_head(text).expect(text);
            assert_eq!(
                (
                    found_sido.as_str(),
                    found_sigungu.as_deref(),
                    &found_rest[..]
                ),
                (sido, sigungu, rest),
                "{text}"
            );
        };
        check(
            "서울 송파구 방이동 44-2",
            "서울특별시",
            Some("송파구"),
            &["방이동", "44-2"],
        );
        check(
            "경기도 성남시 분당구 불정로 6",
            "경기도",
            Some("성남시 분당구"),
            &["불정로", "6"],
        );
        check(
            "세종특별자치시 한누리대로 2130",
            "세종특별자치시",
            None,
            &["한누리대로", "2130"],
        );
        check(
            "세종 세종시 조치원읍 군청로 87",
            "세종특별자치시",
            None,
            &["조치원읍", "군청로", "87"],
        );
        check(
            "강원도 평창군 대관령면 경강로 5721",
            "강원특별자치도",
            Some("평창군"),
            &["대관령면", "경강로", "5721"],
        );
        check(
            "제주특별자치도 서귀포시 성산읍 성산리 1",
            "제주특별자치도",
            Some("서귀포시"),
            &["성산읍", "성산리", "1"],
        );
        assert!(Region::split_head("서울").is_none());
    }

    #[test]
    fn parts_become_a_region_without_blanks_or_repeats() {
        let rural = Region::from_parts("경기", "양평군", "양서면", "양수리");
        assert_eq!(rural.sido.as_deref(), Some("경기도"));
        assert_eq!(rural.legal_ri.as_deref(), Some("양수리"));
        let sejong = Region::from_parts("세종", "세종시", "어진동", "");
        assert_eq!(sejong.sido.as_deref(), Some("세종특별자치시"));
        assert_eq!((sejong.sigungu, sejong.legal_ri), (None, None));
    }
}
