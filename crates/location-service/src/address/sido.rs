//! The provinces' names: every spelling that vendors use, and the full one that answers carry.

/// Full name first, then the short and the former ones.
const PROVINCES: &[&[&str]] = &[
    &["서울특별시", "서울", "서울시"],
    &["부산광역시", "부산", "부산시"],
    &["대구광역시", "대구", "대구시"],
    &["인천광역시", "인천", "인천시"],
    &["광주광역시", "광주"],
    &["대전광역시", "대전", "대전시"],
    &["울산광역시", "울산", "울산시"],
    &["세종특별자치시", "세종"],
    &["경기도", "경기"],
    &["강원특별자치도", "강원", "강원도"],
    &["충청북도", "충북"],
    &["충청남도", "충남"],
    &["전북특별자치도", "전북", "전라북도"],
    &["전라남도", "전남"],
    &["경상북도", "경북"],
    &["경상남도", "경남"],
    &["제주특별자치도", "제주", "제주도"],
];

/// Gives the full form of a province's name; a name that the table does not know stays as it is.
pub(crate) fn full_sido(name: &str) -> &str {
    known_sido(name).unwrap_or(name)
}

/// Gives the full form of a province's name, or nothing if it is no province.
pub(crate) fn known_sido(name: &str) -> Option<&'static str> {
    PROVINCES
        .iter()
        .find(|spellings| spellings.contains(&name))
        .map(|spellings| spellings[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_leads_to_the_full_name() {
        for (spelling, full) in [
            ("서울", "서울특별시"),
            ("경기", "경기도"),
            ("강원", "강원특별자치도"),
            ("강원도", "강원특별자치도"),
            ("전라북도", "전북특별자치도"),
            ("세종", "세종특별자치시"),
            ("세종특별자치시", "세종특별자치시"),
            ("전남광주통합특별시", "전남광주통합특별시"),
        ] {
            assert_eq!(full_sido(spelling), full);
        }
    }

    #[test]
    fn spellings_are_unique() {
        let mut all: Vec<&str> = PROVINCES
            .iter()
            .flat_map(|names| names.iter().copied())
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
