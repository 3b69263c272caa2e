//! `GET /map-geocode/v2/geocode`: addresses, with the building's name and no codes.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Lot, Region, RoadAddress},
    place::{Place, Point},
    vendors::json::{Rows, Text, or_default},
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    addresses: Rows<Row>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Row {
    road_address: Text,
    jibun_address: Text,
    address_elements: Rows<Element>,
    x: Text,
    y: Text,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Element {
    #[serde(deserialize_with = "or_default")]
    types: Vec<String>,
    long_name: Text,
}

/// Reads all addresses; rows without a position or an address are dropped.
pub(crate) fn places(body: Value) -> Result<Vec<Place>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`addresses` is not what it should be")?;
    let rows = body.addresses;
    let claimed = rows.read.len() + rows.unreadable;
    let places: Vec<Place> = rows.read.iter().filter_map(Row::place).collect();
    if places.is_empty() && claimed > 0 {
        return Err("none of the addresses can be read");
    }
    Ok(places)
}

impl Row {
    fn place(&self) -> Option<Place> {
        let dong = self.element("DONGMYUN");
        let region = Region::from_parts(
            self.element("SIDO"),
            self.element("SIGUGUN"),
            dong,
            self.element("RI"),
        );
        let number = Some(self.element("BUILDING_NUMBER")).filter(|number| !number.is_empty());
        // The written addresses end in the building's name, so they step in only where parts are missing.
        let road = RoadAddress::from_parts(&region, dong, self.element("ROAD_NAME"), number)
            .or_else(|| RoadAddress::parse(self.road_address.as_str()));
        let jibun =
            JibunAddress::from_parts(region.clone(), Lot::parse(self.element("LAND_NUMBER")))
                .or_else(|| JibunAddress::parse(self.jibun_address.as_str()));
        let region = match &jibun {
            Some(jibun) => jibun.region().clone(),
            None => region,
        };
        let name = crate::address::non_empty(self.element("BUILDING_NAME"));
        Place::new(
            name,
            road,
            jibun,
            region,
            Point::from_text(self.y.as_str(), self.x.as_str())?,
        )
    }

    /// Looked up by type: what does not apply may be empty or left out.
    fn element(&self, kind: &str) -> &str {
        let mut elements = self.address_elements.read.iter();
        elements
            .find(|element| element.types.iter().any(|found| found == kind))
            .map_or("", |element| element.long_name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(text: &str) -> Vec<Place> {
        places(serde_json::from_str(text).expect("JSON")).expect("places")
    }

    fn addresses(place: &Place) -> [Option<String>; 2] {
        [
            place.road.as_ref().map(ToString::to_string),
            place.jibun.as_ref().map(ToString::to_string),
        ]
    }

    #[test]
    fn urban_addresses_lose_their_building_name() {
        let places = fixture(include_str!(
            "../../../tests/fixtures/naver/geocode_urban.json"
        ));
        assert_eq!(places[0].name.as_deref(), Some("장은빌딩"));
        let expected = [
            "서울특별시 송파구 위례성대로 2",
            "서울특별시 송파구 방이동 44-2",
        ];
        assert_eq!(
            addresses(&places[0]),
            expected.map(|text| Some(text.to_owned()))
        );
        assert_eq!(
            (places[0].point.lat(), places[0].point.lng()),
            (37.516_378, 127.112_987)
        );
    }

    #[test]
    fn rural_addresses_keep_their_myeon_and_have_no_name() {
        let places = fixture(include_str!(
            "../../../tests/fixtures/naver/geocode_rural.json"
        ));
        assert_eq!(places[0].name, None);
        let expected = [
            "경기도 양평군 양서면 두물머리길 125",
            "경기도 양평군 양서면 양수리 697-1",
        ];
        assert_eq!(
            addresses(&places[0]),
            expected.map(|text| Some(text.to_owned()))
        );
    }

    #[test]
    fn the_short_form_of_the_documentation_is_read_too() {
        let places = fixture(
            r#"{"addresses": [{"roadAddress": "경기도 성남시 분당구 불정로 6 NAVER그린팩토리",
                "jibunAddress": "경기도 성남시 분당구 정자동 178-1 NAVER그린팩토리",
                "addressElements": [{"types": ["POSTAL_CODE"], "longName": "13561"}],
                "x": "127.1054328", "y": "37.3595963"}]}"#,
        );
        let expected = [
            "경기도 성남시 분당구 불정로 6",
            "경기도 성남시 분당구 정자동 178-1",
        ];
        assert_eq!(
            addresses(&places[0]),
            expected.map(|text| Some(text.to_owned()))
        );
        assert_eq!(places[0].region.legal_dong.as_deref(), Some("정자동"));
    }

    #[test]
    fn nothing_is_an_answer_and_nowhere_is_not() {
        assert!(
            fixture(include_str!(
                "../../../tests/fixtures/naver/geocode_nothing.json"
            ))
            .is_empty()
        );
        assert!(places(serde_json::json!({"addresses": [{"x": "0", "y": "0"}]})).is_err());
        assert!(places(serde_json::json!({"addresses": "?"})).is_err());
    }
}
