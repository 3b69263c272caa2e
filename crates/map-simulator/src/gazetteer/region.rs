//! Provinces, and where regions have their middle.

use serde::Deserialize;

use super::{Gazetteer, Place, Point};

/// A province or a city of that rank, in the spellings that vendors use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sido {
    /// Full form, such as `서울특별시`.
    pub(crate) name: String,
    /// Short form, such as `서울`.
    pub(crate) short: String,
    /// Names that it had before.
    pub(crate) former: Vec<String>,
    pub(crate) english: String,
    /// The first two digits of its codes.
    pub(crate) code: String,
    /// NAVER's own number for it, two digits.
    pub(crate) naver_code: String,
    pub(crate) lat: f64,
    pub(crate) lng: f64,
}

/// How far down a region goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    Sido,
    Sigungu,
    Dong,
    Ri,
}

impl Gazetteer {
    /// The middle of the region of `place` at `depth`.
    ///
    /// Below provinces it is the mean of the region's places, which is near enough for a simulator.
    pub(crate) fn center(&self, place: &Place, depth: Depth) -> Point {
        if depth == Depth::Sido {
            let sido = self.sido(place);
            return Point {
                lat: sido.lat,
                lng: sido.lng,
            };
        }
        self.mean(|other| same_region(place, other, depth))
    }

    /// The middle of the places of one administrative dong.
    pub(crate) fn admin_center(&self, place: &Place) -> Point {
        self.mean(|other| other.admin_dong_code == place.admin_dong_code)
    }

    /// The middle of the buildings along the road of `place`.
    pub(crate) fn road_center(&self, place: &Place) -> Point {
        self.mean(|other| same_road(place, other))
    }

    fn mean(&self, is_member: impl Fn(&Place) -> bool) -> Point {
        let (mut lat, mut lng, mut count) = (0.0, 0.0, 0.0);
        for place in self.places().iter().filter(|place| is_member(place)) {
            lat += place.lat;
            lng += place.lng;
            count += 1.0;
        }
        Point {
            lat: lat / count,
            lng: lng / count,
        }
    }
}

fn same_sigungu(a: &Place, b: &Place) -> bool {
    a.sido == b.sido && a.sigungu == b.sigungu
}

/// Whether both places are along one road.
pub(super) fn same_road(a: &Place, b: &Place) -> bool {
    let (Some(a_road), Some(b_road)) = (&a.road, &b.road) else {
        return false;
    };
    same_sigungu(a, b) && a_road.name == b_road.name
}

/// Whether both places are in one region of `depth`.
pub(super) fn same_region(a: &Place, b: &Place, depth: Depth) -> bool {
    match depth {
        Depth::Sido => a.sido == b.sido,
        Depth::Sigungu => same_sigungu(a, b),
        Depth::Dong => same_sigungu(a, b) && a.dong() == b.dong(),
        Depth::Ri => a.legal_dong_code == b.legal_dong_code,
    }
}
