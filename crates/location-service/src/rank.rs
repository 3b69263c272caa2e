//! The order of a list of places: one for all vendors, so that equal lists stay equal when cut.

use std::collections::HashSet;

use crate::{
    address::{JibunAddress, RoadAddress, normal_name},
    answer,
    place::{Place, Precision},
    query::{QueryKind, SearchQuery},
};

/// Parts of a place that vendors rank high and nobody looks for unless they say so.
const SIDE_PLACES: &[&str] = &["주차장", "정문", "후문", "출구", "입구"];

/// Drops repeated places and puts the best match first; ties keep the vendor's order.
pub(crate) fn arrange(query: &SearchQuery, mut places: Vec<Place>) -> Vec<Place> {
    let mut seen = HashSet::new();
    places.retain(|place| seen.insert(answer::place_id(place)));
    let asked = Asked::new(query);
    places.sort_by_cached_key(|place| asked.rank(place));
    places
}

struct Asked {
    kind: QueryKind,
    names: [String; 2],
    address: String,
    side_place: bool,
}

impl Asked {
    fn new(query: &SearchQuery) -> Self {
        Self {
            kind: query.kind(),
            names: query.name_keys(),
            address: without_blanks(&query.address_text()),
            side_place: is_side_place(query.text()),
        }
    }

    /// Lower is better; each member decides only among equals of the ones before.
    fn rank(&self, place: &Place) -> impl Ord + use<> {
        let name = normal_name(&place.shown_name());
        (
            matches!(place.precision, Precision::Road | Precision::Region),
            !(self.kind == QueryKind::Address && self.is_at_address(place)),
            !self.side_place && is_side_place(&name),
            !self.names.contains(&name),
            !self.names.iter().any(|asked| name.starts_with(asked)),
        )
    }

    /// Compared by the end of the text, so that `로 2` is not `로 21`.
    fn is_at_address(&self, place: &Place) -> bool {
        let road = place.road.as_ref().filter(|road| road.has_number());
        let jibun = place.jibun.as_ref().filter(|jibun| jibun.has_lot());
        [
            road.map(RoadAddress::local_part),
            jibun.map(JibunAddress::local_part),
        ]
        .into_iter()
        .flatten()
        .any(|local| self.address.ends_with(&without_blanks(&local)))
    }
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

fn is_side_place(name: &str) -> bool {
    SIDE_PLACES.iter().any(|part| name.ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::Region, place::Point};

    fn place(name: &str, road: &str) -> Place {
        let jibun = JibunAddress::parse("서울 송파구 방이동 44-2");
        let point = Point::new(37.5, 127.1).expect("in Korea");
        let name = (!name.is_empty()).then(|| name.to_owned());
        Place::new(
            name,
            RoadAddress::parse(road),
            jibun,
            Region::default(),
            point,
        )
        .expect("a place")
    }

    fn check(query: &str, places: &[(&str, &str)], expected: &[&str]) {
        let query = SearchQuery::parse(query).expect("a query");
        let places = places
            .iter()
            .map(|(name, road)| place(name, road))
            .collect();
        let names: Vec<String> = arrange(&query, places)
            .iter()
            .map(Place::shown_name)
            .collect();
        assert_eq!(names, expected);
    }

    const ROAD: &str = "서울 송파구 위례성대로 2";

    #[test]
    fn the_exact_name_comes_first_and_side_places_last() {
        check(
            "송파구 장은빌딩",
            &[
                ("장은빌딩 주차장", ROAD),
                ("방이 장은빌딩점", ROAD),
                ("장은빌딩 약국", ROAD),
                ("장은빌딩", ROAD),
            ],
            &[
                "장은빌딩",
                "장은빌딩 약국",
                "방이 장은빌딩점",
                "장은빌딩 주차장",
            ],
        );
        check(
            "장은빌딩 주차장",
            &[("장은빌딩", ROAD), ("장은빌딩 주차장", ROAD)],
            &["장은빌딩 주차장", "장은빌딩"],
        );
    }

    #[test]
    fn a_region_can_be_part_of_the_name() {
        check(
            "인천 자유공원",
            &[("자유공원 매점", ROAD), ("인천 자유공원", ROAD)],
            &["인천 자유공원", "자유공원 매점"],
        );
    }

    #[test]
    fn the_exact_address_comes_first_for_an_address() {
        check(
            "송파구 위례성대로 2",
            &[
                ("가", "서울 송파구 위례성대로 22"),
                ("나", "서울 송파구 위례성대로 12"),
                ("다", ROAD),
            ],
            &["다", "가", "나"],
        );
    }

    #[test]
    fn repeats_are_dropped_and_ties_keep_their_order() {
        check(
            "약국",
            &[
                ("나 약국", ROAD),
                ("가 약국", ROAD),
                ("나약국", "서울특별시 송파구 위례성대로 2 1층"),
            ],
            &["나 약국", "가 약국"],
        );
    }
}
