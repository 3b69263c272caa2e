//! One place, and its addresses as Koreans write them.

use serde::Deserialize;

use super::Point;

/// A place as the gazetteer stores it; text that does not apply is empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// From the widest to the narrowest.
    pub(crate) category: Vec<String>,
    /// Province, in its full form.
    pub(crate) sido: String,
    /// City, county or district, maybe in two words; empty in Sejong.
    pub(crate) sigungu: String,
    /// Town or township; empty in urban areas.
    pub(crate) eup_myun: String,
    /// Legal dong; empty in rural areas.
    pub(crate) legal_dong: String,
    /// Village; empty in urban areas.
    pub(crate) ri: String,
    pub(crate) legal_dong_code: String,
    pub(crate) admin_dong: String,
    pub(crate) admin_dong_code: String,
    pub(crate) lot: Lot,
    pub(crate) road: Option<Road>,
    /// Five digits.
    pub(crate) zip: String,
    pub(crate) building: String,
    pub(crate) lat: f64,
    pub(crate) lng: f64,
    /// Where a car stops, if that is known.
    pub(crate) entrance: Option<Point>,
    #[serde(default)]
    pub(crate) tel: String,
    /// Floor and unit within the building.
    #[serde(default)]
    pub(crate) detail: String,
    /// The place's own web site.
    #[serde(default)]
    pub(crate) site: String,
}

/// Number of a piece of land.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lot {
    /// Whether it is on a mountain, which has numbers of its own.
    pub(crate) mountain: bool,
    pub(crate) main: u32,
    /// 0 if it has none.
    pub(crate) sub: u32,
}

/// Number of a building along its road.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Road {
    pub(crate) name: String,
    /// Seven digits, told apart within a district.
    pub(crate) code: String,
    /// Whether the number counts underground.
    pub(crate) underground: bool,
    pub(crate) main: u32,
    /// 0 if it has none.
    pub(crate) sub: u32,
}

impl Place {
    pub(crate) fn point(&self) -> Point {
        Point {
            lat: self.lat,
            lng: self.lng,
        }
    }

    pub(crate) fn is_rural(&self) -> bool {
        !self.eup_myun.is_empty()
    }

    /// The third level of the lot-number address: legal dong, or town in rural areas.
    pub(crate) fn dong(&self) -> &str {
        if self.is_rural() {
            &self.eup_myun
        } else {
            &self.legal_dong
        }
    }

    /// Road-name address without the building's name, behind `sido` as this vendor writes it.
    pub(crate) fn road_address(&self, sido: &str) -> Option<String> {
        let road = self.road.as_ref()?;
        Some(join([
            sido,
            &self.sigungu,
            &self.eup_myun,
            &road.name,
            &road.number(),
        ]))
    }

    /// Lot-number address, behind `sido` as this vendor writes it.
    pub(crate) fn lot_address(&self, sido: &str) -> String {
        join([
            sido,
            &self.sigungu,
            self.dong(),
            &self.ri,
            &self.lot.number(),
        ])
    }
}

impl Lot {
    /// `44-2`, or `산 12-3` on a mountain.
    pub(crate) fn number(&self) -> String {
        let prefix = if self.mountain { "산 " } else { "" };
        format!("{prefix}{}", numbers(self.main, self.sub))
    }
}

impl Road {
    /// `11-3`, or `지하 396` underground.
    pub(crate) fn number(&self) -> String {
        numbers_underground(self.underground, &numbers(self.main, self.sub))
    }

    /// The part of the number in front of the hyphen, with its `지하`.
    pub(crate) fn main_number(&self) -> String {
        numbers_underground(self.underground, &self.main.to_string())
    }
}

fn numbers_underground(underground: bool, number: &str) -> String {
    let prefix = if underground { "지하 " } else { "" };
    format!("{prefix}{number}")
}

fn numbers(main: u32, sub: u32) -> String {
    if sub == 0 {
        main.to_string()
    } else {
        format!("{main}-{sub}")
    }
}

/// The parts that are not empty, with one blank between them.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::Gazetteer;

    #[test]
    fn addresses_are_written_as_koreans_do() {
        let gazetteer = Gazetteer::embedded();
        let check = |name: &str, road: Option<&str>, lot: &str| {
            let mut places = gazetteer.places().iter();
            let place = places.find(|place| place.name == name).unwrap();
            assert_eq!(place.road_address(&place.sido).as_deref(), road);
            assert_eq!(place.lot_address(&place.sido), lot);
        };
        check(
            "강남역",
            Some("서울특별시 강남구 강남대로 지하 396"),
            "서울특별시 강남구 역삼동 858",
        );
        check(
            "에버랜드",
            Some("경기도 용인시 처인구 포곡읍 에버랜드로 199"),
            "경기도 용인시 처인구 포곡읍 전대리 310",
        );
        check(
            "조치원역",
            Some("세종특별자치시 조치원읍 으뜸길 215"),
            "세종특별자치시 조치원읍 원리 141-12",
        );
        check(
            "독도경비대",
            Some("경상북도 울릉군 울릉읍 독도이사부길 55"),
            "경상북도 울릉군 울릉읍 독도리 산 30-2",
        );
        check(
            "한라산 백록담",
            None,
            "제주특별자치도 서귀포시 토평동 산 15-1",
        );
    }
}
