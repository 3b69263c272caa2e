//! The shop search: names with markup, written addresses, scaled positions.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{JibunAddress, Region, RoadAddress, clean_markup},
    place::{Place, Point},
    vendors::json::{Rows, Text},
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    items: Rows<Item>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Item {
    title: Text,
    address: Text,
    road_address: Text,
    mapx: Text,
    mapy: Text,
}

/// Reads all shops; rows without a readable position are dropped.
pub(crate) fn places(body: Value) -> Result<Vec<Place>, &'static str> {
    let body: Body =
        serde_json::from_value(body).map_err(|_| "`items` is not what it should be")?;
    let rows = body.items;
    let claimed = rows.read.len() + rows.unreadable;
    let places: Vec<Place> = rows.read.iter().filter_map(Item::place).collect();
    if places.is_empty() && claimed > 0 {
        return Err("none of the places has a position in Korea");
    }
    Ok(places)
}

impl Item {
    fn place(&self) -> Option<Place> {
        let road = RoadAddress::parse(self.road_address.as_str());
        let jibun = JibunAddress::parse(self.address.as_str());
        let region = match &jibun {
            Some(jibun) => jibun.region().clone(),
            None => head(self.address.as_str())
                .or_else(|| head(self.road_address.as_str()))
                .unwrap_or_default(),
        };
        let name = Some(clean_markup(self.title.as_str())).filter(|name| !name.is_empty());
        let point = Point::new(degrees(self.mapy.as_str())?, degrees(self.mapx.as_str())?)?;
        Place::new(name, road, jibun, region, point)
    }
}

fn head(address: &str) -> Option<Region> {
    let (sido, sigungu, _) = Region::split_head(address)?;
    Some(Region::from_parts(
        &sido,
        sigungu.as_deref().unwrap_or_default(),
        "",
        "",
    ))
}

/// Reads a coordinate by its magnitude: degrees, or degrees times ten million.
///
/// Metres of the former projection, six digits, are none: such a row is dropped.
fn degrees(text: &str) -> Option<f64> {
    const SCALE: f64 = 1e7;
    let number: f64 = text.parse().ok()?;
    if text.contains('.') || number.abs() < 1e3 {
        Some(number)
    } else if number >= 1e8 {
        Some(number / SCALE)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(text: &str) -> Vec<Place> {
        places(serde_json::from_str(text).expect("JSON")).expect("places")
    }

    #[test]
    fn shops_are_read_without_markup_and_tails() {
        let places = fixture(include_str!("../../../tests/fixtures/naver/local.json"));
        let shown: Vec<_> = places
            .iter()
            .map(|place| {
                let road = place.road.as_ref().map(ToString::to_string);
                (
                    place.shown_name(),
                    road,
                    place.jibun.as_ref().map(ToString::to_string),
                )
            })
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown,
            [
                (
                    "장은빌딩".to_owned(),
                    text("서울특별시 송파구 위례성대로 2"),
                    text("서울특별시 송파구 방이동 44-2")
                ),
                (
                    "방이 장은약국 & 건강원".to_owned(),
                    None,
                    text("서울특별시 송파구 방이동 44-5")
                ),
            ]
        );
        assert_eq!(
            (places[0].point.lat(), places[0].point.lng()),
            (37.516_378, 127.112_987)
        );
        assert_eq!(places[1].region.legal_dong.as_deref(), Some("방이동"));
    }

    #[test]
    fn positions_are_read_by_magnitude() {
        assert_eq!(degrees("1271129870"), Some(127.112_987));
        assert_eq!(degrees("127.112987"), Some(127.112_987));
        assert_eq!(degrees("311277"), None);
        assert_eq!(degrees(""), None);
    }

    #[test]
    fn nothing_is_an_answer_and_a_former_projection_is_not() {
        assert!(
            fixture(include_str!(
                "../../../tests/fixtures/naver/local_nothing.json"
            ))
            .is_empty()
        );
        assert!(
            places(
                serde_json::json!({"items": [{"title": "x", "mapx": "311277", "mapy": "552097"}]})
            )
            .is_err()
        );
    }
}
