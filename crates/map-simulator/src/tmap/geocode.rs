//! `GET /tmap/geo/fullAddrGeo`: the position of an address.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::error::TmapError;
use super::model::{Coordinate, CoordinateInfo, GeocodeAnswer};
use super::{WGS84, check_common, check_wgs84, required};
use crate::gazetteer::{AddressHit, Depth, Gazetteer, Place, Point, Road};
use crate::params::Params;

pub(super) async fn answer(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Json<GeocodeAnswer>, TmapError> {
    check_common(&params)?;
    let address = required(&params, "fullAddr")?;
    check_wgs84(&params, &["coordType"])?;
    let page = params.number("page", 1..=10_000_usize, 1)?;
    let count = params.number("count", 1..=200_usize, 20)?;
    let address_flag = params.text("addressFlag").unwrap_or("F00");
    let is_asked: fn(&AddressHit<'_>) -> bool = match address_flag {
        "F00" => |_| true,
        "F01" => |hit| matches!(hit, AddressHit::Lot { .. } | AddressHit::Region { .. }),
        "F02" => |hit| matches!(hit, AddressHit::Building { .. } | AddressHit::Road { .. }),
        _ => return Err(TmapError::Invalid("addressFlag")),
    };

    let mut hits = gazetteer.resolve(address);
    hits.retain(is_asked);
    if hits.is_empty() {
        return Err(TmapError::NoAddress);
    }
    let total = hits.len();
    let coordinate = hits
        .iter()
        .skip((page - 1) * count)
        .take(count)
        .map(|hit| coordinate(&gazetteer, hit))
        .collect();
    let coordinate_info = CoordinateInfo {
        coord_type: WGS84.to_owned(),
        address_flag: address_flag.to_owned(),
        page: page.to_string(),
        count: count.to_string(),
        total_count: total.to_string(),
        coordinate,
    };
    Ok(Json(GeocodeAnswer { coordinate_info }))
}

/// The flags are the best ones of their kind: `N51` and `M11` for a number, `N55` for a road alone,
/// `M33` for a region.
fn coordinate(gazetteer: &Gazetteer, hit: &AddressHit<'_>) -> Coordinate {
    match hit {
        AddressHit::Building { place, remainder } => {
            let (lat_entr, lon_entr) = entrance(place);
            Coordinate {
                new_match_flag: "N51".to_owned(),
                new_lat: degrees(place.lat),
                new_lon: degrees(place.lng),
                new_lat_entr: lat_entr,
                new_lon_entr: lon_entr,
                new_road_name: road_name(place),
                new_building_index: place.road.as_ref().map(Road::number).unwrap_or_default(),
                new_building_name: place.building.clone(),
                new_building_cate_name: place.category.first().cloned().unwrap_or_default(),
                ..fine(place, remainder)
            }
        }
        AddressHit::Lot { place, remainder } => {
            let (lat_entr, lon_entr) = entrance(place);
            Coordinate {
                match_flag: "M11".to_owned(),
                lat: degrees(place.lat),
                lon: degrees(place.lng),
                lat_entr,
                lon_entr,
                bunji: place.lot.number(),
                building_name: place.building.clone(),
                ..fine(place, remainder)
            }
        }
        AddressHit::Road { place } => {
            let Point { lat, lng } = gazetteer.road_center(place);
            Coordinate {
                new_match_flag: "N55".to_owned(),
                new_lat: degrees(lat),
                new_lon: degrees(lng),
                new_road_name: road_name(place),
                ..region(place, Depth::Sigungu)
            }
        }
        AddressHit::Region { place, depth } => {
            let Point { lat, lng } = gazetteer.center(place, *depth);
            Coordinate {
                match_flag: "M33".to_owned(),
                lat: degrees(lat),
                lon: degrees(lng),
                ..region(place, *depth)
            }
        }
    }
}

fn fine(place: &Place, remainder: &str) -> Coordinate {
    Coordinate {
        legal_dong_code: Some(place.legal_dong_code.clone()),
        admin_dong: place.admin_dong.clone(),
        admin_dong_code: Some(place.admin_dong_code.clone()),
        zipcode: place.zip.clone(),
        remainder: Some(remainder.to_owned()),
        ..region(place, Depth::Ri)
    }
}

fn region(place: &Place, depth: Depth) -> Coordinate {
    let down_to = |level: Depth, text: &str| {
        if depth >= level {
            text.to_owned()
        } else {
            String::new()
        }
    };
    Coordinate {
        city_do: place.sido.clone(),
        gu_gun: down_to(Depth::Sigungu, &place.sigungu),
        eup_myun: down_to(Depth::Dong, &place.eup_myun),
        legal_dong: down_to(Depth::Dong, place.dong()),
        ri: down_to(Depth::Ri, &place.ri),
        ..Coordinate::default()
    }
}

fn road_name(place: &Place) -> String {
    let road = place.road.as_ref();
    road.map(|road| road.name.clone()).unwrap_or_default()
}

fn entrance(place: &Place) -> (String, String) {
    place
        .entrance
        .map(|entrance| (degrees(entrance.lat), degrees(entrance.lng)))
        .unwrap_or_default()
}

fn degrees(number: f64) -> String {
    format!("{number:.6}")
}
