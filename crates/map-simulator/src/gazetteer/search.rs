//! Search by what people type: a name, a region and a name, an address, a postal code.

use super::text::{compact, continues_number};
use super::{AddressHit, Gazetteer, Place};

/// How well a place answers a query, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Name,
    NameStart,
    NamePart,
    RegionAndName,
    Address,
    AddressPart,
}

/// Compacted texts of a place.
#[derive(Debug)]
pub(super) struct Keys {
    name: String,
    /// Both addresses, each with the full and the short form of the province.
    addresses: [String; 4],
}

impl Gazetteer {
    pub(super) fn keys_of(&self, place: &Place) -> Keys {
        let sido = self.sido(place);
        let road = |form: &str| compact(&place.road_address(form).unwrap_or_default());
        let lot = |form: &str| compact(&place.lot_address(form));
        Keys {
            name: compact(&place.name),
            addresses: [
                road(&sido.name),
                road(&sido.short),
                lot(&sido.name),
                lot(&sido.short),
            ],
        }
    }

    /// The places that answer `query`, best first; equally good ones in the gazetteer's order.
    pub(crate) fn search(&self, query: &str) -> Vec<&Place> {
        let key = compact(query);
        if key.is_empty() {
            return Vec::new();
        }
        let words: Vec<String> = query.split_whitespace().map(compact).collect();
        let hits = self.resolve(query);
        let mut found: Vec<(Rank, &Place)> = self
            .places()
            .iter()
            .zip(&self.keys)
            .filter_map(|(place, keys)| Some((rank(place, keys, &key, &words, &hits)?, place)))
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// The places whose name contains `query`, best first.
    pub(crate) fn search_name(&self, query: &str) -> Vec<&Place> {
        let key = compact(query);
        let by_name = |place: &&Place| compact(&place.name).contains(&key);
        self.search(query).into_iter().filter(by_name).collect()
    }

    /// The places whose telephone number ends with the digits of `query`, of which it needs four.
    pub(crate) fn search_telephone(&self, query: &str) -> Vec<&Place> {
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        let wanted = digits(query);
        let matches = |place: &&Place| digits(&place.tel).ends_with(&wanted);
        if wanted.len() < 4 {
            return Vec::new();
        }
        self.places().iter().filter(matches).collect()
    }
}

fn rank(
    place: &Place,
    keys: &Keys,
    key: &str,
    words: &[String],
    hits: &[AddressHit<'_>],
) -> Option<Rank> {
    let has_word = |word: &String| {
        keys.name.contains(word) || keys.addresses.iter().any(|text| contains(text, word))
    };
    if keys.name == key {
        Some(Rank::Name)
    } else if keys.name.starts_with(key) {
        Some(Rank::NameStart)
    } else if keys.name.contains(key) {
        Some(Rank::NamePart)
    } else if words.len() > 1
        && words.iter().any(|word| keys.name.contains(word))
        && words.iter().all(has_word)
    {
        Some(Rank::RegionAndName)
    } else if hits.iter().any(|hit| hit.is_address_of(place)) {
        Some(Rank::Address)
    } else if keys.addresses.iter().any(|text| contains(text, key)) {
        Some(Rank::AddressPart)
    } else {
        None
    }
}

/// Whether `address` contains `part`, a number in it only as a whole.
fn contains(address: &str, part: &str) -> bool {
    let ends_in_number = part.ends_with(|letter: char| letter.is_ascii_digit());
    address
        .match_indices(part)
        .any(|(start, _)| !ends_in_number || !continues_number(&address[start + part.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str) -> Vec<String> {
        let gazetteer = Gazetteer::embedded();
        let found = gazetteer.search(query);
        found.iter().map(|place| place.name.clone()).collect()
    }

    #[test]
    fn the_exact_name_comes_first_for_every_place() {
        let gazetteer = Gazetteer::embedded();
        for place in gazetteer.places() {
            let found = gazetteer.search(&place.name);
            assert_eq!(found[0].name, place.name);
        }
    }

    #[test]
    fn every_road_address_finds_its_place() {
        let gazetteer = Gazetteer::embedded();
        for place in gazetteer.places() {
            let sido = gazetteer.sido(place);
            for form in [&sido.name, &sido.short] {
                let lot = place.lot_address(form);
                let road = place.road_address(form).unwrap_or_else(|| lot.clone());
                for query in [road, lot] {
                    let found = gazetteer.search(&query);
                    assert!(found.iter().any(|hit| hit.id == place.id), "{query}");
                }
            }
        }
    }

    #[test]
    fn blanks_width_and_case_do_not_matter() {
        assert_eq!(names("롯데 월드 타워")[0], "롯데월드타워");
        assert_eq!(names("h＆m")[0], "H&M 명동눈스퀘어점");
        assert_eq!(names("n서울타워"), ["N서울타워"]);
    }

    #[test]
    fn a_better_match_of_the_name_comes_first() {
        assert_eq!(
            names("코엑스"),
            ["코엑스", "코엑스 아쿠아리움", "메가박스 코엑스점"]
        );
    }

    #[test]
    fn a_region_narrows_a_name() {
        assert_eq!(names("부산 신세계백화점"), ["신세계백화점 센텀시티점"]);
        assert_eq!(names("춘천 상상마당"), ["KT&G 상상마당 춘천"]);
    }

    #[test]
    fn a_number_is_matched_as_a_whole() {
        assert_eq!(names("종로구 종로 1"), ["교보문고 광화문점"]);
        assert_eq!(names("종로 157"), ["종묘"]);
    }

    #[test]
    fn an_address_finds_all_who_share_it() {
        assert_eq!(
            names("서울 강남구 테헤란로 152"),
            ["강남파이낸스센터", "구글코리아"]
        );
        assert_eq!(names("06164").len(), 4);
    }

    #[test]
    fn nonsense_and_nothing_find_nothing() {
        assert!(names("없는가게이름").is_empty());
        assert!(names("  ").is_empty());
    }

    #[test]
    fn a_telephone_number_needs_four_digits() {
        let gazetteer = Gazetteer::embedded();
        assert!(gazetteer.search_telephone("120").is_empty());
        assert_eq!(
            gazetteer.search_telephone("02-531-9000")[0].name,
            "구글코리아"
        );
    }
}
