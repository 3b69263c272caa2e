//! `GET /map-reversegeocode/v2/gc`: up to four descriptions of a point, each left out where it has no data.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Lot, Region, RoadAddress, numbers},
    place::{Pin, Place, Point},
    vendors::json::{Rows, Text, or_default},
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    results: Rows<Description>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Description {
    name: Text,
    #[serde(deserialize_with = "or_default")]
    code: Code,
    #[serde(deserialize_with = "or_default")]
    region: Areas,
    #[serde(deserialize_with = "or_default")]
    land: Land,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Code {
    id: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Areas {
    #[serde(deserialize_with = "or_default")]
    area1: Named,
    #[serde(deserialize_with = "or_default")]
    area2: Named,
    #[serde(deserialize_with = "or_default")]
    area3: Named,
    #[serde(deserialize_with = "or_default")]
    area4: Named,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Land {
    #[serde(rename = "type")]
    kind: Text,
    number1: Text,
    number2: Text,
    name: Text,
    #[serde(deserialize_with = "or_default")]
    addition0: Addition,
    #[serde(deserialize_with = "or_default")]
    addition1: Addition,
    #[serde(deserialize_with = "or_default")]
    addition2: Addition,
    #[serde(deserialize_with = "or_default")]
    addition3: Addition,
    #[serde(deserialize_with = "or_default")]
    addition4: Addition,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Addition {
    #[serde(rename = "type")]
    kind: Text,
    value: Text,
}

/// Reads the address; none where there is nothing.
pub(crate) fn pin(body: Value, point: Point) -> Result<Option<Pin>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`results` is not what it should be")?;
    if body.results.read.is_empty() && body.results.unreadable > 0 {
        return Err("none of the results can be read");
    }
    let description = |name: &str| {
        body.results
            .read
            .iter()
            .find(|found| found.name.as_str() == name)
    };
    let (road, lot) = (description("roadaddr"), description("addr"));
    let (legal, admin) = (description("legalcode"), description("admcode"));

    let legal_source = legal.or(lot).or(road);
    let region = legal_source
        .map(|found| found.region.region())
        .unwrap_or_default();
    let road_address = road.and_then(Description::road_address);
    let jibun = JibunAddress::from_parts(region.clone(), lot.and_then(|found| found.land.lot()));
    let building = road.and_then(|found| found.land.addition("building"));
    let Some(place) = Place::new(building.clone(), road_address, jibun, region, point) else {
        return Ok(None);
    };
    Ok(Some(Pin {
        place,
        zip_code: road.and_then(|found| found.land.addition("zipcode")),
        building,
        legal_dong_code: legal_source.and_then(|found| found.code.id.present()),
        admin_dong: admin.and_then(|found| found.region.area3.name.present()),
        admin_dong_code: admin.and_then(|found| found.code.id.present()),
    }))
}

impl Description {
    fn road_address(&self) -> Option<RoadAddress> {
        let number = numbers(self.land.number1.as_str(), self.land.number2.as_str());
        let dong = self.region.area3.name.as_str();
        RoadAddress::from_parts(
            &self.region.region(),
            dong,
            self.land.name.as_str(),
            number.as_deref(),
        )
    }
}

impl Areas {
    fn region(&self) -> Region {
        Region::from_parts(
            self.area1.name.as_str(),
            self.area2.name.as_str(),
            self.area3.name.as_str(),
            self.area4.name.as_str(),
        )
    }
}

impl Land {
    fn lot(&self) -> Option<Lot> {
        Lot::from_parts(
            self.kind.as_str() == "2",
            self.number1.as_str(),
            self.number2.as_str(),
        )
    }

    /// Looked up by type, not by index: which addition carries what is only known from recordings.
    fn addition(&self, kind: &str) -> Option<String> {
        [
            &self.addition0,
            &self.addition1,
            &self.addition2,
            &self.addition3,
            &self.addition4,
        ]
        .into_iter()
        .find(|addition| addition.kind.as_str() == kind)
        .and_then(|addition| addition.value.present())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Precision;

    fn read(text: &str) -> Option<Pin> {
        let point = Point::new(37.516_377_5, 127.112_987_4).expect("in Korea");
        pin(serde_json::from_str(text).expect("JSON"), point).expect("an answer")
    }

    #[test]
    fn an_urban_point_has_both_addresses_and_codes() {
        let pin =
            read(include_str!("../../../tests/fixtures/naver/gc_urban.json")).expect("an address");
        assert_eq!(
            pin.place.address().as_deref(),
            Some("서울특별시 송파구 위례성대로 2")
        );
        let jibun = pin.place.jibun.expect("a lot").to_string();
        assert_eq!(jibun, "서울특별시 송파구 방이동 44-2");
        assert_eq!(pin.zip_code.as_deref(), Some("05544"));
        assert_eq!(pin.building.as_deref(), Some("장은빌딩"));
        assert_eq!(pin.legal_dong_code.as_deref(), Some("1171011100"));
        assert_eq!(pin.admin_dong.as_deref(), Some("방이2동"));
        assert_eq!(pin.admin_dong_code.as_deref(), Some("1171056200"));
    }

    #[test]
    fn a_mountain_lot_without_a_road_is_a_parcel() {
        let pin = read(include_str!(
            "../../../tests/fixtures/naver/gc_riverside.json"
        ))
        .expect("an address");
        assert_eq!(
            pin.place.address().as_deref(),
            Some("경기도 양평군 양서면 양수리 산 12-3")
        );
        assert_eq!(pin.place.precision, Precision::Parcel);
        assert_eq!(pin.legal_dong_code.as_deref(), Some("4183037021"));
        assert_eq!((pin.zip_code, pin.building), (None, None));
    }

    #[test]
    fn a_point_at_sea_has_no_address() {
        assert!(read(r#"{"status": {"code": 0}, "results": []}"#).is_none());
        let point = Point::new(37.5, 127.1).expect("in Korea");
        assert!(pin(serde_json::json!({"results": [1]}), point).is_err());
    }
}
