//! `GET /tmap/geo/reversegeocoding`: the address at a point, with codes and without a postal code.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Lot, Region, RoadAddress},
    place::{Pin, Place, Point, Precision},
    vendors::json::{Text, or_default},
};

/// A matched address farther away than this says no more than the region.
const NEAR_METRES: f64 = 100.0;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "or_default")]
    address_info: Info,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    #[serde(rename = "city_do")]
    city_do: Text,
    #[serde(rename = "gu_gun")]
    gu_gun: Text,
    #[serde(rename = "eup_myun")]
    eup_myun: Text,
    admin_dong: Text,
    admin_dong_code: Text,
    legal_dong: Text,
    legal_dong_code: Text,
    ri: Text,
    bunji: Text,
    road_name: Text,
    building_index: Text,
    building_name: Text,
    mapping_distance: Text,
}

/// Reads the address; none where there is nothing, as at sea.
///
/// It is built from its parts: `fullAddress` joins three addresses by commas, and names have commas too.
pub(crate) fn pin(body: Value, point: Point) -> Result<Option<Pin>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`addressInfo` is not what it should be")?;
    let info = body.address_info;
    let dong = super::dong(&info.eup_myun, &info.legal_dong);
    let region = Region::from_parts(
        info.city_do.as_str(),
        info.gu_gun.as_str(),
        dong,
        info.ri.as_str(),
    );
    let number = Some(info.building_index.as_str()).filter(|index| !index.is_empty());
    let road = RoadAddress::from_parts(&region, dong, info.road_name.as_str(), number);
    let jibun = JibunAddress::from_parts(region.clone(), Lot::parse(info.bunji.as_str()));
    let building = info.building_name.present();
    let Some(mut place) = Place::new(building.clone(), road, jibun, region, point) else {
        return Ok(None);
    };
    let metres: Option<f64> = info.mapping_distance.as_str().parse().ok();
    if metres.is_some_and(|metres| metres > NEAR_METRES) {
        place.precision = Precision::Region;
    }
    Ok(Some(Pin {
        place,
        zip_code: None,
        building,
        legal_dong_code: info.legal_dong_code.present(),
        admin_dong: info.admin_dong.present(),
        admin_dong_code: info.admin_dong_code.present(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Pin> {
        let point = Point::new(37.516_377_5, 127.112_987_4).expect("in Korea");
        pin(serde_json::from_str(text).expect("JSON"), point).expect("an answer")
    }

    #[test]
    fn an_urban_point_has_both_addresses_and_codes() {
        let pin = read(include_str!(
            "../../../tests/fixtures/tmap/reverse_urban.json"
        ))
        .expect("an address");
        let text = |address: Option<String>| address.unwrap_or_default();
        assert_eq!(
            text(pin.place.road.map(|road| road.to_string())),
            "서울특별시 송파구 위례성대로 2"
        );
        assert_eq!(
            text(pin.place.jibun.map(|jibun| jibun.to_string())),
            "서울특별시 송파구 방이동 44-2"
        );
        assert_eq!(pin.building.as_deref(), Some("장은빌딩"));
        assert_eq!(pin.legal_dong_code.as_deref(), Some("1171011100"));
        assert_eq!(pin.admin_dong.as_deref(), Some("방이2동"));
        assert_eq!(pin.admin_dong_code.as_deref(), Some("1171056200"));
        assert_eq!(pin.place.precision, Precision::Address);
    }

    #[test]
    fn a_rural_point_does_not_repeat_its_myeon() {
        let pin = read(include_str!(
            "../../../tests/fixtures/tmap/reverse_rural.json"
        ))
        .expect("an address");
        assert_eq!(
            pin.place.address().as_deref(),
            Some("경기도 양평군 양서면 두물머리길 125")
        );
        let jibun = pin.place.jibun.expect("a lot").to_string();
        assert_eq!(jibun, "경기도 양평군 양서면 양수리 697-1");
        assert_eq!(pin.building, None);
    }

    #[test]
    fn a_far_match_is_only_a_region_and_nothing_is_nothing() {
        let far = r#"{"addressInfo": {"city_do": "서울특별시", "gu_gun": "송파구", "legalDong": "방이동",
            "bunji": "44-2", "mappingDistance": "100.5"}}"#;
        assert_eq!(
            read(far).expect("an address").place.precision,
            Precision::Region
        );
        assert!(read(r#"{"addressInfo": {"fullAddress": ""}}"#).is_none());
        assert!(read("{}").is_none());
    }
}
