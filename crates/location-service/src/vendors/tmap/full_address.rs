//! `GET /tmap/geo/fullAddrGeo`: an address's position and postal code.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Lot, Region, RoadAddress},
    place::{Place, Point},
    vendors::json::{Rows, Text, or_default},
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "or_default")]
    coordinate_info: Info,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Info {
    coordinate: Rows<Coordinate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Coordinate {
    lat: Text,
    lon: Text,
    city_do: Text,
    gu_gun: Text,
    eup_myun: Text,
    #[serde(rename = "legalDong")]
    legal_dong: Text,
    ri: Text,
    bunji: Text,
    #[serde(rename = "buildingName")]
    building_name: Text,
    #[serde(rename = "newLat")]
    new_lat: Text,
    #[serde(rename = "newLon")]
    new_lon: Text,
    #[serde(rename = "newRoadName")]
    new_road_name: Text,
    #[serde(rename = "newBuildingIndex")]
    new_building_index: Text,
    #[serde(rename = "newBuildingName")]
    new_building_name: Text,
    zipcode: Text,
}

/// An address that was found.
pub(crate) struct Hit {
    pub(crate) place: Place,
    pub(crate) zip_code: Option<String>,
}

/// Reads all hits; rows without a position or an address are dropped.
pub(crate) fn hits(body: Value) -> Result<Vec<Hit>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`coordinateInfo` is not what it should be")?;
    let rows = body.coordinate_info.coordinate;
    let claimed = rows.read.len() + rows.unreadable;
    let hits: Vec<Hit> = rows.read.iter().filter_map(Coordinate::hit).collect();
    if hits.is_empty() && claimed > 0 && rows.read.iter().all(|row| row.point().is_none()) {
        return Err("none of the addresses has a position in Korea");
    }
    Ok(hits)
}

impl Coordinate {
    fn hit(&self) -> Option<Hit> {
        let dong = super::dong(&self.eup_myun, &self.legal_dong);
        let region = Region::from_parts(
            self.city_do.as_str(),
            self.gu_gun.as_str(),
            dong,
            self.ri.as_str(),
        );
        let number = Some(self.new_building_index.as_str()).filter(|index| !index.is_empty());
        let road = RoadAddress::from_parts(&region, dong, self.new_road_name.as_str(), number);
        let jibun = JibunAddress::from_parts(region.clone(), Lot::parse(self.bunji.as_str()));
        let name = self
            .new_building_name
            .present()
            .or_else(|| self.building_name.present());
        Some(Hit {
            place: Place::new(name, road, jibun, region, self.point()?)?,
            zip_code: self.zipcode.present(),
        })
    }

    fn point(&self) -> Option<Point> {
        Point::from_text(self.new_lat.as_str(), self.new_lon.as_str())
            .or_else(|| Point::from_text(self.lat.as_str(), self.lon.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Precision;

    fn fixture(text: &str) -> Vec<Hit> {
        hits(serde_json::from_str(text).expect("JSON")).expect("hits")
    }

    #[test]
    fn a_road_hit_brings_its_zip_code() {
        let hits = fixture(include_str!(
            "../../../tests/fixtures/tmap/full_address_road.json"
        ));
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].zip_code.as_deref(), Some("05544"));
        assert_eq!(hits[0].place.shown_name(), "장은빌딩");
        assert_eq!(
            hits[0].place.address().as_deref(),
            Some("서울특별시 송파구 위례성대로 2")
        );
        assert_eq!(hits[0].place.precision, Precision::Address);
    }

    #[test]
    fn coarse_hits_say_so_and_a_bare_district_is_no_place() {
        let hits = fixture(include_str!(
            "../../../tests/fixtures/tmap/full_address_coarse.json"
        ));
        let found: Vec<_> = hits
            .iter()
            .map(|hit| (hit.place.shown_name(), hit.place.precision))
            .collect();
        assert_eq!(
            found,
            [("서울특별시 송파구 위례성대로".to_owned(), Precision::Road)]
        );
    }

    #[test]
    fn nothing_is_an_answer_and_nowhere_is_not() {
        assert!(fixture(r#"{"coordinateInfo": {"totalCount": "0", "coordinate": []}}"#).is_empty());
        let nowhere =
            serde_json::json!({"coordinateInfo": {"coordinate": [{"newLat": "0", "newLon": "0"}]}});
        assert!(hits(nowhere).is_err());
    }
}
