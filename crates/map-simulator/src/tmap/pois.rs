//! `GET /tmap/pois`: the integrated search.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::error::TmapError;
use super::model::{NewAddress, NewAddressList, Poi, Pois, PoisAnswer, SearchPoiInfo};
use super::{check_common, check_wgs84, required};
use crate::gazetteer::{Gazetteer, Place, Point, Road};
use crate::params::Params;

pub(super) async fn answer(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Response, TmapError> {
    check_common(&params)?;
    let keyword = required(&params, "searchKeyword")?;
    check_wgs84(&params, &["reqCoordType", "resCoordType"])?;
    let count = params.number("count", 1..=200_usize, 20)?;
    let page = params.number("page", 1..=10_000_usize, 1)?;
    let center = Center::read(&params)?;

    let places = match params.text("searchType") {
        None | Some("all") => gazetteer.search(keyword),
        Some("name") => gazetteer.search_name(keyword),
        Some("telno") => gazetteer.search_telephone(keyword),
        Some(_) => return Err(TmapError::Invalid("searchType")),
    };
    let found = center.apply(places);
    let total = found.len();
    let poi: Vec<Poi> = found
        .into_iter()
        .skip((page - 1) * count)
        .take(count)
        .map(|(place, distance_m)| poi(&gazetteer, place, distance_m))
        .collect();
    if poi.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let search_poi_info = SearchPoiInfo {
        total_count: total.to_string(),
        count: poi.len().to_string(),
        page: page.to_string(),
        pois: Pois { poi },
    };
    Ok(Json(PoisAnswer { search_poi_info }).into_response())
}

/// The point that the caller asks from.
struct Center {
    point: Option<Point>,
    /// Further places are left out; `None` is nationwide.
    radius_m: Option<f64>,
    by_distance: bool,
}

impl Center {
    fn read(params: &Params) -> Result<Self, TmapError> {
        let point = match (params.degrees("centerLat")?, params.degrees("centerLon")?) {
            (Some(lat), Some(lng)) => Some(Point { lat, lng }),
            (None, None) => None,
            (None, Some(_)) => return Err(TmapError::Missing("centerLat")),
            (Some(_), None) => return Err(TmapError::Missing("centerLon")),
        };
        let by_distance = match params.text("searchtypCd") {
            None | Some("A") => false,
            Some("R") if point.is_none() => return Err(TmapError::Missing("centerLon")),
            Some("R") => true,
            Some(_) => return Err(TmapError::Invalid("searchtypCd")),
        };
        let radius_km = params.number("radius", 0..=33_u32, 0)?;
        Ok(Self {
            point,
            radius_m: (radius_km > 0).then(|| f64::from(radius_km) * 1_000.0),
            by_distance,
        })
    }

    /// The places with their distances, in the order and within the circle that was asked for.
    fn apply<'g>(&self, places: Vec<&'g Place>) -> Vec<(&'g Place, Option<f64>)> {
        let Some(center) = self.point else {
            return places.into_iter().map(|place| (place, None)).collect();
        };
        let mut near: Vec<(&Place, f64)> = places
            .into_iter()
            .map(|place| (place, center.distance_m(place.point())))
            .filter(|(_, distance_m)| self.radius_m.is_none_or(|limit| *distance_m <= limit))
            .collect();
        if self.by_distance {
            near.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        }
        let some = |(place, distance_m)| (place, Some(distance_m));
        near.into_iter().map(some).collect()
    }
}

fn poi(gazetteer: &Gazetteer, place: &Place, distance_m: Option<f64>) -> Poi {
    let sido = &gazetteer.sido(place).short;
    let (front_lat, front_lon) = front(place);
    let nav_seq = u8::from(place.entrance.is_some());
    let mut category = place.category.iter().cloned();
    let road = place.road.as_ref();
    Poi {
        id: place.id.to_string(),
        pkey: format!("{}{nav_seq:02}", place.id),
        nav_seq: nav_seq.to_string(),
        collection_type: "poi".to_owned(),
        name: place.name.clone(),
        tel_no: place.tel.clone(),
        front_lat,
        front_lon,
        noor_lat: degrees(place.lat),
        noor_lon: degrees(place.lng),
        upper_addr_name: sido.clone(),
        middle_addr_name: place.sigungu.clone(),
        lower_addr_name: place.dong().to_owned(),
        detail_addr_name: place.ri.clone(),
        ml_class: if place.lot.mountain { "2" } else { "1" }.to_owned(),
        first_no: place.lot.main.to_string(),
        second_no: sub_number(place, place.lot.sub),
        road_name: road.map(|road| road.name.clone()).unwrap_or_default(),
        first_build_no: road.map(Road::main_number).unwrap_or_default(),
        second_build_no: road
            .map(|road| sub_number(place, road.sub))
            .unwrap_or_default(),
        radius: distance_m.map_or_else(
            || "0.0".to_owned(),
            |distance_m| format!("{:.3}", distance_m / 1_000.0),
        ),
        biz_name: Some(String::new()),
        upper_biz_name: category.next().unwrap_or_default(),
        middle_biz_name: category.next().unwrap_or_default(),
        lower_biz_name: category.next().unwrap_or_default(),
        detail_biz_name: "기타".to_owned(),
        rp_flag: "16".to_owned(),
        park_flag: "0".to_owned(),
        detail_info_flag: u8::from(!place.tel.is_empty()).to_string(),
        desc: String::new(),
        new_address_list: NewAddressList {
            new_address: new_address(place, sido).into_iter().collect(),
        },
    }
}

fn new_address(place: &Place, sido: &str) -> Option<NewAddress> {
    let road = place.road.as_ref()?;
    let (front_lat, front_lon) = front(place);
    Some(NewAddress {
        center_lat: degrees(place.lat),
        center_lon: degrees(place.lng),
        front_lat,
        front_lon,
        road_name: road.name.clone(),
        bld_no1: road.main_number(),
        bld_no2: sub_number(place, road.sub),
        road_id: road.code.clone(),
        full_address_road: place.road_address(sido)?,
    })
}

fn front(place: &Place) -> (String, String) {
    place
        .entrance
        .map(|entrance| (degrees(entrance.lat), degrees(entrance.lng)))
        .unwrap_or_default()
}

/// No number is `0` in urban areas and empty in rural ones: recorded answers have both.
fn sub_number(place: &Place, number: u32) -> String {
    if number == 0 && place.is_rural() {
        String::new()
    } else {
        number.to_string()
    }
}

fn degrees(number: f64) -> String {
    format!("{number:.8}")
}
