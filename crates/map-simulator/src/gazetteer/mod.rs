//! The places that the simulated vendors know: data, search by name, by address and by position.
//!
//! It owns no wire format: each vendor writes what it finds here in its own way.

mod address;
mod place;
mod region;
mod search;
mod text;

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

pub(crate) use address::AddressHit;
pub(crate) use place::{Place, Road, join};
pub(crate) use region::{Depth, Sido};
pub(crate) use text::compact;

/// Mean radius of the Earth.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A position in WGS84 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    pub(crate) lat: f64,
    pub(crate) lng: f64,
}

impl Point {
    /// Great-circle distance in metres.
    pub(crate) fn distance_m(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = ((lat_b - lat_a) / 2.0).sin();
        let half_lng = ((other.lng - self.lng).to_radians() / 2.0).sin();
        let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lng * half_lng;
        2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
    }
}

static EMBEDDED: LazyLock<Arc<Gazetteer>> = LazyLock::new(|| {
    let json = include_str!("../../data/gazetteer.json");
    Arc::new(Gazetteer::from_json(json).expect("tests read the same file"))
});

/// All that the simulated vendors know.
#[derive(Debug)]
pub(crate) struct Gazetteer {
    sidos: Vec<Sido>,
    places: Vec<Place>,
    keys: Vec<search::Keys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    sido: Vec<Sido>,
    places: Vec<Place>,
}

impl Gazetteer {
    /// The gazetteer that is built into the program.
    pub(crate) fn embedded() -> Arc<Self> {
        Arc::clone(&EMBEDDED)
    }

    /// The places of the gazetteer that is built into the program.
    pub(crate) fn embedded_places() -> &'static [Place] {
        EMBEDDED.places()
    }

    /// Reads a gazetteer; the order of its places decides between equally good ones.
    pub(crate) fn from_json(json: &str) -> serde_json::Result<Self> {
        let Data { sido, places } = serde_json::from_str(json)?;
        for place in &places {
            let Some(sido) = sido.iter().find(|known| known.name == place.sido) else {
                return Err(serde::de::Error::custom(format_args!(
                    "`{}` is in `{}`, which is not listed under `sido`",
                    place.name, place.sido
                )));
            };
            for code in [&place.legal_dong_code, &place.admin_dong_code] {
                let is_code = code.len() == 10 && code.bytes().all(|byte| byte.is_ascii_digit());
                if !is_code || !code.starts_with(&sido.code) {
                    return Err(serde::de::Error::custom(format_args!(
                        "`{}` has the code `{code}`, which is not ten digits that begin with `{}`",
                        place.name, sido.code
                    )));
                }
            }
        }
        let mut gazetteer = Self {
            sidos: sido,
            places,
            keys: Vec::new(),
        };
        let keys = gazetteer
            .places
            .iter()
            .map(|place| gazetteer.keys_of(place));
        gazetteer.keys = keys.collect();
        Ok(gazetteer)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The province of `place`.
    pub(crate) fn sido(&self, place: &Place) -> &Sido {
        self.sidos
            .iter()
            .find(|sido| sido.name == place.sido)
            .expect("checked when the gazetteer was read")
    }

    /// The place that is nearest to `point`, and its distance in metres, if that is below `within_m`.
    pub(crate) fn nearest(&self, point: Point, within_m: f64) -> Option<(&Place, f64)> {
        self.places
            .iter()
            .map(|place| (place, point.distance_m(place.point())))
            .filter(|(_, distance_m)| *distance_m < within_m)
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The two places of the vendors' sample answers.
    pub(crate) fn samples() -> Arc<Gazetteer> {
        let json = include_str!("../../fixtures/samples.json");
        Arc::new(Gazetteer::from_json(json).unwrap())
    }

    #[test]
    fn the_embedded_places_are_at_least_110_and_told_apart() {
        let gazetteer = Gazetteer::embedded();
        let places = gazetteer.places();
        assert!(places.len() >= 110, "{}", places.len());
        let names: BTreeSet<_> = places.iter().map(|place| compact(&place.name)).collect();
        assert_eq!(names.len(), places.len(), "names are not unique");
        let ids: BTreeSet<_> = places.iter().map(|place| place.id).collect();
        assert_eq!(ids.len(), places.len(), "ids are not unique");
    }

    #[test]
    fn every_place_is_whole() {
        let gazetteer = Gazetteer::embedded();
        let digits = |text: &str, count: usize| {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        for place in gazetteer.places() {
            let name = &place.name;
            let sido = gazetteer.sido(place);
            assert!((33.0..=38.7).contains(&place.lat), "{name}: {}", place.lat);
            assert!(
                (124.5..=132.0).contains(&place.lng),
                "{name}: {}",
                place.lng
            );
            assert!(digits(&place.zip, 5), "{name}: {}", place.zip);
            for code in [&place.legal_dong_code, &place.admin_dong_code] {
                assert!(
                    digits(code, 10) && code.starts_with(&sido.code),
                    "{name}: {code}"
                );
            }
            assert_eq!(
                place.legal_dong_code[..5],
                place.admin_dong_code[..5],
                "{name}: the codes are of two districts"
            );
            let rural = place.eup_myun.ends_with(['읍', '면']);
            assert_eq!(
                rural,
                !place.ri.is_empty(),
                "{name}: 읍/면 and 리 go together"
            );
            assert_eq!(rural, place.legal_dong.is_empty(), "{name}: 읍/면 or 동");
            assert_eq!(
                place.sigungu.is_empty(),
                place.sido == "세종특별자치시",
                "{name}"
            );
            assert!(place.lot.main > 0 && !place.category.is_empty(), "{name}");
            if let Some(road) = &place.road {
                assert!(road.main > 0 && digits(&road.code, 7), "{name}: {road:?}");
            }
            if let Some(entrance) = place.entrance {
                assert!(
                    place.point().distance_m(entrance) < 200.0,
                    "{name}: far entrance"
                );
            }
        }
    }

    #[test]
    fn only_two_peaks_have_no_road_address() {
        let gazetteer = Gazetteer::embedded();
        let without: Vec<_> = gazetteer
            .places()
            .iter()
            .filter(|place| place.road.is_none())
            .map(|place| place.name.as_str())
            .collect();
        assert_eq!(without, ["설악산 대청봉", "한라산 백록담"]);
    }

    #[test]
    fn the_hard_cases_are_all_there() {
        let gazetteer = Gazetteer::embedded();
        let has = |what: &str, test: &dyn Fn(&Place) -> bool| {
            assert!(gazetteer.places().iter().any(test), "no {what}");
        };
        has("district of two words with 읍", &|place| {
            place.sigungu.contains(' ') && place.eup_myun.ends_with('읍')
        });
        has("mountain lot", &|place| place.lot.mountain);
        has("underground building", &|place| {
            place.road.as_ref().is_some_and(|road| road.underground)
        });
        has("dong with digits and dots", &|place| {
            place.admin_dong == "종로1.2.3.4가동"
        });
        has("ampersand", &|place| place.name.contains('&'));
        has("parenthesis", &|place| place.name.contains('('));
        has("road in Latin letters", &|place| {
            place
                .road
                .as_ref()
                .is_some_and(|road| road.name == "APEC로")
        });
        has("road that begins with digits", &|place| {
            place.road.as_ref().is_some_and(|road| road.name == "63로")
        });
        has("강원특별자치도", &|place| {
            place.sido == "강원특별자치도"
        });
        has("전북특별자치도", &|place| {
            place.sido == "전북특별자치도"
        });
        has("place without building name", &|place| {
            place.building.is_empty() && place.road.is_some()
        });
        let shared = gazetteer
            .places()
            .iter()
            .filter(|place| place.building == "롯데월드타워")
            .count();
        assert_eq!(shared, 4, "shops that share a building");
    }

    #[test]
    fn the_nearest_place_is_found_within_the_limit_only() {
        let gazetteer = Gazetteer::embedded();
        let near = Point {
            lat: 37.5664,
            lng: 126.9780,
        };
        let (place, distance_m) = gazetteer.nearest(near, 100.0).unwrap();
        assert_eq!(place.name, "서울특별시청");
        assert!((10.0..20.0).contains(&distance_m), "{distance_m}");
        let sea = Point {
            lat: 36.0,
            lng: 130.5,
        };
        assert!(gazetteer.nearest(sea, 3_000.0).is_none());
    }

    #[test]
    fn a_place_that_does_not_fit_its_province_is_named() {
        let samples = include_str!("../../fixtures/samples.json");
        let check = |from: &str, to: &str, told: &str| {
            assert!(samples.contains(from));
            let error = Gazetteer::from_json(&samples.replace(from, to)).unwrap_err();
            assert!(error.to_string().starts_with(told), "{error}");
        };
        check(
            r#""name": "경기도""#,
            r#""name": "경기""#,
            "`두물머리식당` is in `경기도`, which is not listed under `sido`",
        );
        check(
            "4183037021",
            "418303702",
            "`두물머리식당` has the code `418303702`, which is not ten digits that begin with `41`",
        );
    }
}
