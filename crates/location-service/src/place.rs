//! What every vendor can know about a place, in one form.

use crate::address::{JibunAddress, Region, RoadAddress, normal_name};

/// A position in South Korea, in WGS84 degrees with seven decimals (about a centimetre).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    lat: f64,
    lng: f64,
}

impl Point {
    /// Rounds a position; none outside the Korea box (swapped axes, another projection, the sea).
    pub(crate) fn new(lat: f64, lng: f64) -> Option<Self> {
        let inside = (33.0..=38.7).contains(&lat) && (124.5..=132.0).contains(&lng);
        inside.then(|| Self {
            lat: round(lat),
            lng: round(lng),
        })
    }

    /// Reads a position from a vendor's texts.
    pub(crate) fn from_text(lat: &str, lng: &str) -> Option<Self> {
        Self::new(lat.trim().parse().ok()?, lng.trim().parse().ok()?)
    }

    /// Latitude in degrees.
    pub(crate) fn lat(self) -> f64 {
        self.lat
    }

    /// Longitude in degrees.
    pub(crate) fn lng(self) -> f64 {
        self.lng
    }

    /// The distance on the sphere, in metres.
    pub(crate) fn metres_to(self, other: Self) -> f64 {
        const EARTH_RADIUS_METRES: f64 = 6_371_008.8;
        let (lat_a, lat_b) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lng = (other.lng - self.lng).to_radians() / 2.0;
        let chord = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lng.sin().powi(2);
        2.0 * EARTH_RADIUS_METRES * chord.sqrt().asin()
    }
}

fn round(degrees: f64) -> f64 {
    (degrees * 1e7).round() / 1e7
}

/// How narrow an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// One building, by its road-name number.
    Address,
    /// One lot.
    Parcel,
    /// A road without a number.
    Road,
    /// A district, a dong, or less.
    Region,
}

/// A place as any vendor can tell it; nothing in here is known to one vendor only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The place's own name; none for a pure address.
    pub(crate) name: Option<String>,
    pub(crate) road: Option<RoadAddress>,
    pub(crate) jibun: Option<JibunAddress>,
    pub(crate) region: Region,
    pub(crate) point: Point,
    pub(crate) precision: Precision,
}

impl Place {
    /// Builds a place; none if it has neither a name nor an address.
    pub(crate) fn new(
        name: Option<String>,
        road: Option<RoadAddress>,
        jibun: Option<JibunAddress>,
        region: Region,
        point: Point,
    ) -> Option<Self> {
        if name.is_none() && road.is_none() && jibun.is_none() {
            return None;
        }
        let precision = precision(road.as_ref(), jibun.as_ref());
        Some(Self {
            name,
            road,
            jibun,
            region,
            point,
            precision,
        })
    }

    /// The name that answers carry: its own, else its address.
    pub(crate) fn shown_name(&self) -> String {
        self.name
            .clone()
            .or_else(|| self.address())
            .unwrap_or_default()
    }

    /// The comparable form of its own name.
    pub(crate) fn normal_name(&self) -> Option<String> {
        self.name.as_deref().map(normal_name)
    }

    /// The road-name address, else the lot-number address.
    pub(crate) fn address(&self) -> Option<String> {
        let road = self.road.as_ref().map(ToString::to_string);
        road.or_else(|| self.jibun.as_ref().map(ToString::to_string))
    }

    /// Tells whether both have the same building's or the same lot's address.
    pub(crate) fn shares_address(&self, other: &Self) -> bool {
        self.shares_road(other) || self.shares_lot(other)
    }

    /// Tells whether both have the same road address down to its number.
    pub(crate) fn shares_road(&self, other: &Self) -> bool {
        self.road.as_ref().is_some_and(RoadAddress::has_number) && self.road == other.road
    }

    /// Tells whether both are on the same lot.
    pub(crate) fn shares_lot(&self, other: &Self) -> bool {
        self.jibun.as_ref().is_some_and(JibunAddress::has_lot) && self.jibun == other.jibun
    }

    /// Takes over the addresses of a row about the same place where they are narrower.
    pub(crate) fn complete_address(&mut self, other: &Self) {
        if !self.road.as_ref().is_some_and(RoadAddress::has_number) && other.road.is_some() {
            self.road.clone_from(&other.road);
        }
        if !self.jibun.as_ref().is_some_and(JibunAddress::has_lot) && other.jibun.is_some() {
            self.jibun.clone_from(&other.jibun);
            self.region.clone_from(&other.region);
        }
        self.precision = precision(self.road.as_ref(), self.jibun.as_ref());
    }
}

/// The one rule for all vendors, so that equal addresses are equally precise.
fn precision(road: Option<&RoadAddress>, jibun: Option<&JibunAddress>) -> Precision {
    if road.is_some_and(RoadAddress::has_number) {
        Precision::Address
    } else if jibun.is_some_and(JibunAddress::has_lot) {
        Precision::Parcel
    } else if road.is_some() {
        Precision::Road
    } else {
        Precision::Region
    }
}

/// The address at a point, with what only a reverse lookup fills in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pin {
    pub(crate) place: Place,
    pub(crate) zip_code: Option<String>,
    pub(crate) building: Option<String>,
    pub(crate) legal_dong_code: Option<String>,
    pub(crate) admin_dong: Option<String>,
    pub(crate) admin_dong_code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_rounded_and_stay_in_korea() {
        let point = Point::from_text("37.51637754", "127.11298738").expect("in Korea");
        assert_eq!((point.lat(), point.lng()), (37.516_377_5, 127.112_987_4));
        for (lat, lng) in [
            ("127.1", "37.5"),
            ("0", "0"),
            ("1271129870", "375163780"),
            ("", ""),
            ("NaN", "127"),
        ] {
            assert!(Point::from_text(lat, lng).is_none(), "{lat} {lng}");
        }
    }

    #[test]
    fn distances_are_in_metres() {
        let seoul = Point::new(37.5666, 126.9784).expect("in Korea");
        let busan = Point::new(35.1796, 129.0756).expect("in Korea");
        assert!((seoul.metres_to(busan) - 325_000.0).abs() < 3_000.0);
        assert!(seoul.metres_to(seoul) < 1e-9);
    }

    #[test]
    fn precision_follows_from_the_addresses() {
        let road = |text| RoadAddress::parse(text);
        let jibun = |text| JibunAddress::parse(text);
        let check = |road: Option<RoadAddress>, jibun: Option<JibunAddress>, expected| {
            assert_eq!(precision(road.as_ref(), jibun.as_ref()), expected);
        };
        let numbered = "서울 송파구 위례성대로 2";
        check(
            road(numbered),
            jibun("서울 송파구 방이동 44-2"),
            Precision::Address,
        );
        check(
            road("서울 송파구 위례성대로"),
            jibun("서울 송파구 방이동 44-2"),
            Precision::Parcel,
        );
        check(
            road("서울 송파구 위례성대로"),
            jibun("서울 송파구 방이동"),
            Precision::Road,
        );
        check(None, jibun("서울 송파구 방이동"), Precision::Region);
    }
}
