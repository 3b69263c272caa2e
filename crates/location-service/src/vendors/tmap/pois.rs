//! `GET /tmap/pois`: shops and buildings, with legal dongs by name and no codes.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Lot, Region, RoadAddress, clean_markup, numbers},
    place::{Place, Point},
    vendors::json::{Rows, Text, or_default},
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "or_default")]
    search_poi_info: Info,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Info {
    #[serde(deserialize_with = "or_default")]
    pois: Pois,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pois {
    poi: Rows<Poi>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Poi {
    name: Text,
    front_lat: Text,
    front_lon: Text,
    noor_lat: Text,
    noor_lon: Text,
    pns_lat: Text,
    pns_lon: Text,
    upper_addr_name: Text,
    middle_addr_name: Text,
    lower_addr_name: Text,
    // The documentation's sample spells it with a small n, recorded answers do not.
    #[serde(alias = "detailAddrname")]
    detail_addr_name: Text,
    ml_class: Text,
    first_no: Text,
    second_no: Text,
    road_name: Text,
    first_build_no: Text,
    second_build_no: Text,
    #[serde(deserialize_with = "or_default")]
    new_address_list: NewAddressList,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct NewAddressList {
    new_address: Rows<NewAddress>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct NewAddress {
    full_address_road: Text,
}

/// Reads all places; rows without a position or a name and address are dropped.
pub(crate) fn places(body: Value) -> Result<Vec<Place>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`searchPoiInfo` is not what it should be")?;
    let rows = body.search_poi_info.pois.poi;
    let claimed = rows.read.len() + rows.unreadable;
    let places: Vec<Place> = rows.read.iter().filter_map(Poi::place).collect();
    if places.is_empty() && claimed > 0 {
        return Err("none of the places has a position in Korea");
    }
    if places.len() < claimed {
        tracing::debug!(
            dropped = claimed - places.len(),
            "dropped unreadable places"
        );
    }
    Ok(places)
}

impl Poi {
    fn place(&self) -> Option<Place> {
        let region = Region::from_parts(
            self.upper_addr_name.as_str(),
            self.middle_addr_name.as_str(),
            self.lower_addr_name.as_str(),
            self.detail_addr_name.as_str(),
        );
        let mountain = self.ml_class.as_str() == "2";
        let lot = Lot::from_parts(mountain, self.first_no.as_str(), self.second_no.as_str());
        let name = Some(clean_markup(self.name.as_str())).filter(|name| !name.is_empty());
        let jibun = JibunAddress::from_parts(region.clone(), lot);
        Place::new(name, self.road(&region), jibun, region, self.point()?)
    }

    fn road(&self, region: &Region) -> Option<RoadAddress> {
        let listed = self.new_address_list.new_address.read.first();
        listed
            .and_then(|address| RoadAddress::parse(address.full_address_road.as_str()))
            .or_else(|| {
                let number = numbers(self.first_build_no.as_str(), self.second_build_no.as_str());
                let dong = self.lower_addr_name.as_str();
                RoadAddress::from_parts(region, dong, self.road_name.as_str(), number.as_deref())
            })
    }

    /// The centre; entrances are some metres off and step in only where it is missing.
    fn point(&self) -> Option<Point> {
        [
            (&self.noor_lat, &self.noor_lon),
            (&self.front_lat, &self.front_lon),
            (&self.pns_lat, &self.pns_lon),
        ]
        .into_iter()
        .find_map(|(lat, lon)| Point::from_text(lat.as_str(), lon.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(text: &str) -> Vec<Place> {
        places(serde_json::from_str(text).expect("JSON")).expect("places")
    }

    fn shown(place: &Place) -> (String, Option<String>, Option<String>) {
        let text = |address: Option<String>| address;
        (
            place.shown_name(),
            text(place.road.as_ref().map(ToString::to_string)),
            text(place.jibun.as_ref().map(ToString::to_string)),
        )
    }

    #[test]
    fn urban_places_are_read() {
        let places = fixture(include_str!("../../../tests/fixtures/tmap/pois_urban.json"));
        assert_eq!(
            places.iter().map(shown).collect::<Vec<_>>(),
            [
                (
                    "장은빌딩".to_owned(),
                    Some("서울특별시 송파구 위례성대로 2".to_owned()),
                    Some("서울특별시 송파구 방이동 44-2".to_owned())
                ),
                (
                    "장은빌딩 주차장".to_owned(),
                    None,
                    Some("서울특별시 송파구 방이동 44-2".to_owned())
                ),
            ]
        );
        assert_eq!(
            (places[0].point.lat(), places[0].point.lng()),
            (37.516_377_5, 127.112_987_4)
        );
        assert_eq!(places[0].region.legal_dong.as_deref(), Some("방이동"));
    }

    #[test]
    fn rural_places_keep_their_myeon_and_ri() {
        let places = fixture(include_str!("../../../tests/fixtures/tmap/pois_rural.json"));
        assert_eq!(
            places.iter().map(shown).collect::<Vec<_>>(),
            [(
                "두물머리식당".to_owned(),
                Some("경기도 양평군 양서면 두물머리길 125".to_owned()),
                Some("경기도 양평군 양서면 양수리 697-1".to_owned())
            )]
        );
        assert_eq!(places[0].region.legal_ri.as_deref(), Some("양수리"));
    }

    #[test]
    fn shapes_are_tolerated() {
        assert!(fixture("{}").is_empty());
        assert!(fixture(r#"{"searchPoiInfo": null}"#).is_empty());
        assert!(fixture(r#"{"searchPoiInfo": {"totalCount": 0, "pois": {"poi": []}}}"#).is_empty());
        let one = fixture(
            r#"{"searchPoiInfo": {"pois": {"poi": {
                "name": "한 곳", "noorLat": 37.5, "noorLon": 127.1, "upperAddrName": "강원", "middleAddrName": "평창군",
                "lowerAddrName": "대관령면", "detailAddrname": "횡계리", "mlClass": 2, "firstNo": 12, "secondNo": 3,
                "roadName": "경강로", "firstBuildNo": "5721", "newAddressList": {"newAddress": {"fullAddressRoad": null}}
            }}}}"#,
        );
        assert_eq!(
            shown(&one[0]),
            (
                "한 곳".to_owned(),
                Some("강원특별자치도 평창군 대관령면 경강로 5721".to_owned()),
                Some("강원특별자치도 평창군 대관령면 횡계리 산 12-3".to_owned())
            )
        );
    }

    #[test]
    fn positions_step_in_and_rows_without_one_are_dropped() {
        let places = fixture(
            r#"{"searchPoiInfo": {"pois": {"poi": [
                {"name": "정문", "noorLat": "", "noorLon": "", "frontLat": "37.5", "frontLon": "127.1"},
                {"name": "어디에도"}, 7
            ]}}}"#,
        );
        assert_eq!(places.len(), 1);
        let nowhere =
            serde_json::json!({"searchPoiInfo": {"pois": {"poi": [{"name": "어디에도"}]}}});
        assert!(super::places(nowhere).is_err());
    }
}
