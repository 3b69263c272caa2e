//! Lot-number addresses: `시도 시군구 읍면동 [리] [산] 본번[-부번]`.

use std::fmt;

use super::{Region, is_eup_or_myeon, is_number, join_words, text::numbers, text::tidy_number};

/// Marks a mountain lot.
const MOUNTAIN: &str = "산";

/// A lot number, on plain land or on a mountain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lot {
    mountain: bool,
    number: String,
}

impl Lot {
    /// Builds a lot from a vendor's main and sub number; none without a main number.
    pub(crate) fn from_parts(mountain: bool, main: &str, sub: &str) -> Option<Self> {
        Some(Self {
            mountain,
            number: numbers(main, sub)?,
        })
    }

    /// Reads `44-2`, `산 12-3` and `산12-3`; what follows is left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mountain, rest) = match text.strip_prefix(MOUNTAIN) {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let number = rest.split([' ', '(', ',']).next()?.trim_end_matches("번지");
        if !is_number(number) {
            return None;
        }
        Some(Self {
            mountain,
            number: tidy_number(number)?,
        })
    }
}

impl fmt::Display for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mountain {
            write!(f, "{MOUNTAIN} {}", self.number)
        } else {
            f.write_str(&self.number)
        }
    }
}

/// A lot-number address without building name, floor or unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JibunAddress {
    region: Region,
    lot: Option<Lot>,
}

impl JibunAddress {
    /// Builds an address from its region and lot; none if the region does not reach down to a dong.
    pub(crate) fn from_parts(region: Region, lot: Option<Lot>) -> Option<Self> {
        region.legal_dong.is_some().then_some(Self { region, lot })
    }

    /// Reads an address out of text and leaves out whatever follows the lot number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sido, sigungu, words) = Region::split_head(text)?;
        let (dong, rest) = words.split_first()?;
        if is_number(dong) {
            return None;
        }
        let (ri, rest) = match rest.split_first() {
            Some((ri, rest)) if is_eup_or_myeon(dong) && ri.ends_with('리') => (*ri, rest),
            _ => ("", rest),
        };
        let region = Region::from_parts(&sido, sigungu.as_deref().unwrap_or_default(), dong, ri);
        Self::from_parts(region, Lot::parse(&rest.join(" ")))
    }

    /// The region down to the legal dong and ri.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Tells whether a lot number narrows the address to one parcel.
    pub(crate) fn has_lot(&self) -> bool {
        self.lot.is_some()
    }

    /// Dong, ri and lot, the part that a person types: `방이동 44-2`.
    pub(crate) fn local_part(&self) -> String {
        let lot = self
            .lot
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        join_words([
            self.region.legal_dong.as_deref().unwrap_or_default(),
            self.region.legal_ri.as_deref().unwrap_or_default(),
            lot.as_str(),
        ])
    }
}

impl fmt::Display for JibunAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_words([
            self.region.sido.as_deref().unwrap_or_default(),
            self.region.sigungu.as_deref().unwrap_or_default(),
            self.local_part().as_str(),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_into_one_form() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                JibunAddress::parse(text)
                    .map(|jibun| jibun.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        };
        check(
            "서울특별시 송파구 방이동 44-2 ",
            Some("서울특별시 송파구 방이동 44-2"),
        );
        check(
            "서울 송파구 방이동 44-5 1층 101호",
            Some("서울특별시 송파구 방이동 44-5"),
        );
        check(
            "서울 송파구 방이동 44번지",
            Some("서울특별시 송파구 방이동 44"),
        );
        check(
            "경기도 양평군 양서면 양수리 산12-3",
            Some("경기도 양평군 양서면 양수리 산 12-3"),
        );
        check(
            "경기도 양평군 양서면 양수리 697-0",
            Some("경기도 양평군 양서면 양수리 697"),
        );
        check(
            "서울 종로구 종로1.2.3.4가동 1",
            Some("서울특별시 종로구 종로1.2.3.4가동 1"),
        );
        check(
            "서울 중구 을지로1가 16",
            Some("서울특별시 중구 을지로1가 16"),
        );
        check(
            "세종특별자치시 어진동 576",
            Some("세종특별자치시 어진동 576"),
        );
        check("서울 송파구 방이동", Some("서울특별시 송파구 방이동"));
        check("서울 송파구", None);
        check("서울 송파구 44-2", None);
    }

    #[test]
    fn the_region_comes_along() {
        let rural = JibunAddress::parse("경기 양평군 양서면 양수리 697-1").expect("an address");
        assert_eq!(
            *rural.region(),
            Region::from_parts("경기도", "양평군", "양서면", "양수리")
        );
        assert!(rural.has_lot());
        assert_eq!(rural.local_part(), "양서면 양수리 697-1");
    }
}
