//! `GET /tmap/geo/reversegeocoding`: the address of a position.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::error::TmapError;
use super::model::{AddressInfo, ReverseAnswer};
use super::{REVERSE_LIMIT_M, check_common, check_wgs84};
use crate::gazetteer::{Gazetteer, Place, Point, Road, join};
use crate::params::Params;

/// A part of an address that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Admin,
    Legal,
    Lot,
    Road,
    Building,
}

/// The parts that `address_type` asks for.
fn parts_of(address_type: &str) -> Option<&'static [Part]> {
    Some(match address_type {
        "A00" => &[Part::Admin, Part::Legal],
        "A01" => &[Part::Admin],
        "A02" => &[Part::Legal, Part::Lot],
        "A03" => &[Part::Road],
        "A04" => &[Part::Road, Part::Building],
        "A10" => &[
            Part::Admin,
            Part::Legal,
            Part::Lot,
            Part::Road,
            Part::Building,
        ],
        _ => return None,
    })
}

pub(super) async fn answer(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Response, TmapError> {
    check_common(&params)?;
    let lat = params.degrees("lat")?.ok_or(TmapError::Missing("lat"))?;
    let lng = params.degrees("lon")?.ok_or(TmapError::Missing("lon"))?;
    check_wgs84(&params, &["coordType"])?;
    let address_type = params.text("addressType").unwrap_or("A00");
    let parts = parts_of(address_type).ok_or(TmapError::Invalid("addressType"))?;

    let Some((place, distance_m)) = gazetteer.nearest(Point { lat, lng }, REVERSE_LIMIT_M) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let mut address_info = AddressInfo {
        address_type: address_type.to_owned(),
        mapping_distance: format!("{distance_m:.6}"),
        ..address_info(place, parts)
    };
    address_info.full_address = full_address(place, parts);
    Ok(Json(ReverseAnswer { address_info }).into_response())
}

fn address_info(place: &Place, parts: &[Part]) -> AddressInfo {
    let when = |part: Part, text: &str| {
        if parts.contains(&part) {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let road = place.road.as_ref();
    let number = road.map(Road::number).unwrap_or_default();
    let code = road.map(|road| format!("{}{}", &place.legal_dong_code[..5], road.code));
    AddressInfo {
        city_do: place.sido.clone(),
        gu_gun: place.sigungu.clone(),
        eup_myun: place.eup_myun.clone(),
        admin_dong: when(Part::Admin, &place.admin_dong),
        admin_dong_code: when(Part::Admin, &place.admin_dong_code),
        legal_dong: when(Part::Legal, place.dong()),
        legal_dong_code: when(Part::Legal, &place.legal_dong_code),
        ri: when(Part::Legal, &place.ri),
        bunji: when(Part::Lot, &place.lot.number()),
        road_name: when(Part::Road, road.map(|road| &*road.name).unwrap_or_default()),
        building_index: when(Part::Building, &number),
        building_name: when(Part::Building, &place.building),
        road_code: when(Part::Road, &code.unwrap_or_default()),
        ..AddressInfo::default()
    }
}

/// The addresses that are asked for, joined by commas; a place without a road has one less.
fn full_address(place: &Place, parts: &[Part]) -> String {
    let region = |dong: &str| join([place.sido.as_str(), &place.sigungu, dong]);
    let mut addresses = Vec::new();
    if parts.contains(&Part::Admin) {
        addresses.push(region(&place.admin_dong));
    }
    if parts.contains(&Part::Lot) {
        addresses.push(place.lot_address(&place.sido));
    } else if parts.contains(&Part::Legal) {
        addresses.push(join([&*region(place.dong()), &*place.ri]));
    }
    if let (true, Some(road)) = (parts.contains(&Part::Road), &place.road) {
        addresses.push(if parts.contains(&Part::Building) {
            let address = place.road_address(&place.sido).unwrap_or_default();
            join([&*address, &*place.building])
        } else {
            join([&*region(&place.eup_myun), &*road.name])
        });
    }
    addresses.join(",")
}
