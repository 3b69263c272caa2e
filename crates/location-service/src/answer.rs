//! The canonical body: equal whichever vendor answered.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    address::normal_name,
    place::{Pin, Place, Precision},
};

/// The most items an answer carries; there is no paging, because not every vendor has it.
pub(crate) const MAX_ITEMS: usize = 5;

/// The body of every successful answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Answer {
    items: Vec<Item>,
    count: usize,
}

impl Answer {
    /// Keeps the first items of an ordered list.
    pub(crate) fn of_places(places: &[Place]) -> Self {
        Self::new(places.iter().take(MAX_ITEMS).map(Item::of_place).collect())
    }

    /// Carries the address at a point, or nothing.
    pub(crate) fn of_pin(pin: Option<&Pin>) -> Self {
        Self::new(pin.map(Item::of_pin).into_iter().collect())
    }

    fn new(items: Vec<Item>) -> Self {
        let count = items.len();
        Self { items, count }
    }

    /// Tells whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// One place; every key is always present, and what nobody knows is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Item {
    id: String,
    name: String,
    road_address: Option<String>,
    jibun_address: Option<String>,
    zip_code: Option<String>,
    building: Option<String>,
    region: RegionBody,
    lat: f64,
    lng: f64,
    category: Unknown,
    distance_m: Unknown,
    precision: Precision,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RegionBody {
    sido: Option<String>,
    sigungu: Option<String>,
    legal_dong: Option<String>,
    legal_ri: Option<String>,
    legal_dong_code: Option<String>,
    admin_dong: Option<String>,
    admin_dong_code: Option<String>,
}

/// Null for every vendor: the key is part of the contract, the value is not known to all of them.
type Unknown = ();

impl Item {
    /// A search hit: codes, zip and building stay null, because no vendor's shop search knows them.
    fn of_place(place: &Place) -> Self {
        Self {
            id: place_id(place),
            name: place.shown_name(),
            road_address: place.road.as_ref().map(ToString::to_string),
            jibun_address: place.jibun.as_ref().map(ToString::to_string),
            zip_code: None,
            building: None,
            region: RegionBody {
                sido: place.region.sido.clone(),
                sigungu: place.region.sigungu.clone(),
                legal_dong: place.region.legal_dong.clone(),
                legal_ri: place.region.legal_ri.clone(),
                legal_dong_code: None,
                admin_dong: None,
                admin_dong_code: None,
            },
            lat: place.point.lat(),
            lng: place.point.lng(),
            category: (),
            distance_m: (),
            precision: place.precision,
        }
    }

    fn of_pin(pin: &Pin) -> Self {
        let item = Self::of_place(&pin.place);
        Self {
            zip_code: pin.zip_code.clone(),
            building: pin.building.clone(),
            region: RegionBody {
                legal_dong_code: pin.legal_dong_code.clone(),
                admin_dong: pin.admin_dong.clone(),
                admin_dong_code: pin.admin_dong_code.clone(),
                ..item.region
            },
            ..item
        }
    }
}

/// Names a place by its comparable name and address: 24 hexadecimal digits, equal for all vendors.
///
/// Coordinates take no part: vendors differ in the last digits, and rounding moves the border only.
pub(crate) fn place_id(place: &Place) -> String {
    use std::fmt::Write as _;

    let mut hash = Sha256::new();
    hash.update(normal_name(&place.shown_name()));
    hash.update("\n");
    hash.update(place.address().unwrap_or_default());
    let mut id = String::with_capacity(24);
    for byte in &hash.finalize()[..12] {
        write!(id, "{byte:02x}").expect("a string takes every byte");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::{JibunAddress, Region, RoadAddress},
        place::Point,
    };

    fn place(name: &str, road: Option<&str>, lat: f64) -> Place {
        let jibun = JibunAddress::parse("서울특별시 송파구 방이동 44-2");
        let region = Region::from_parts("서울", "송파구", "방이동", "");
        let point = Point::new(lat, 127.112_987_4).expect("in Korea");
        Place::new(
            Some(name.to_owned()),
            road.and_then(RoadAddress::parse),
            jibun,
            region,
            point,
        )
        .expect("a place")
    }

    #[test]
    fn ids_ignore_spelling_and_the_last_digits_of_coordinates() {
        let road = Some("서울 송파구 위례성대로 2");
        let id = place_id(&place("장은빌딩", road, 37.516_377_5));
        assert_eq!(id, place_id(&place("장은 빌딩", road, 37.516_378)));
        assert_ne!(
            id,
            place_id(&place(
                "장은빌딩",
                Some("서울 송파구 위례성대로 3"),
                37.516_377_5
            ))
        );
        assert_ne!(id, place_id(&place("다른빌딩", road, 37.516_377_5)));
        assert_eq!(id.len(), 24);
    }

    #[test]
    fn search_and_reverse_carry_the_same_keys() {
        let place = place("장은빌딩", Some("서울 송파구 위례성대로 2"), 37.516_377_5);
        let pin = Pin {
            place: place.clone(),
            zip_code: Some("05544".to_owned()),
            building: Some("장은빌딩".to_owned()),
            legal_dong_code: Some("1171011100".to_owned()),
            admin_dong: Some("방이2동".to_owned()),
            admin_dong_code: Some("1171056200".to_owned()),
        };
        insta::assert_json_snapshot!("search", Answer::of_places(&[place]));
        insta::assert_json_snapshot!("reverse", Answer::of_pin(Some(&pin)));
        insta::assert_json_snapshot!("nothing", Answer::of_pin(None));
    }

    #[test]
    fn answers_are_cut_at_the_limit() {
        let places: Vec<Place> = (0..8)
            .map(|index| place(&format!("가게 {index}"), None, 37.5))
            .collect();
        let answer = Answer::of_places(&places);
        assert_eq!((answer.items.len(), answer.count), (MAX_ITEMS, MAX_ITEMS));
    }
}
