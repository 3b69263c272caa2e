//! `GET /map-geocode/v2/geocode`: the position of an address.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::english;
use super::model::{AddressElement, GeocodeAnswer, GeocodeRefusal, Meta, Row};
use crate::gazetteer::{AddressHit, Depth, Gazetteer, Place, Point, Road, join};
use crate::params::{Invalid, Params};

/// The API's own refusal, which is not the gateway's.
pub(super) struct Refused(&'static str);

impl From<Invalid> for Refused {
    fn from(Invalid(name): Invalid) -> Self {
        Self(name)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = GeocodeRefusal {
            status: "INVALID_REQUEST".to_owned(),
            error_message: format!("{} is INVALID", self.0),
        };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

pub(super) async fn answer(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Json<GeocodeAnswer>, Refused> {
    let query = params.text("query").ok_or(Refused("query"))?;
    let page = params.number("page", 1..=10_000_usize, 1)?;
    let count = params.number("count", 1..=100_usize, 10)?;
    let from = params.lng_lat("coordinate")?;
    let filter = Filter::read(&params)?;
    if !matches!(params.text("language"), None | Some("kor")) {
        return Err(Refused("language"));
    }

    let mut hits = gazetteer.resolve(query);
    // The region of a road is told by the road's own row.
    if hits
        .iter()
        .any(|hit| matches!(hit, AddressHit::Road { .. }))
    {
        hits.retain(|hit| matches!(hit, AddressHit::Road { .. }));
    }
    let mut found: Vec<Row> = hits
        .iter()
        .filter(|hit| filter.lets_pass(hit.place()))
        .map(|hit| row(&gazetteer, hit, from))
        .collect();
    if from.is_some() {
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    }
    let total_count = found.len();
    let addresses: Vec<Row> = found
        .into_iter()
        .skip((page - 1) * count)
        .take(count)
        .collect();
    Ok(Json(GeocodeAnswer {
        status: "OK".to_owned(),
        meta: Meta {
            total_count,
            page,
            count: addresses.len(),
        },
        addresses,
        error_message: String::new(),
    }))
}

/// Codes to which the answer is limited.
enum Filter {
    None,
    Admin(Vec<String>),
    Legal(Vec<String>),
}

impl Filter {
    fn read(params: &Params) -> Result<Self, Refused> {
        let Some(text) = params.text("filter") else {
            return Ok(Self::None);
        };
        let (kind, codes) = text.split_once('@').ok_or(Refused("filter"))?;
        let codes = codes
            .split(';')
            .map(|code| code.trim().to_owned())
            .collect();
        match kind {
            "HCODE" => Ok(Self::Admin(codes)),
            "BCODE" => Ok(Self::Legal(codes)),
            _ => Err(Refused("filter")),
        }
    }

    fn lets_pass(&self, place: &Place) -> bool {
        match self {
            Self::None => true,
            Self::Admin(codes) => codes.contains(&place.admin_dong_code),
            Self::Legal(codes) => codes.contains(&place.legal_dong_code),
        }
    }
}

/// The parts of an address as far as they are known; the others are empty.
#[derive(Default)]
struct Known<'a> {
    sigungu: &'a str,
    dong: &'a str,
    ri: &'a str,
    road: &'a str,
    number: String,
    building: &'a str,
    lot: String,
    zip: &'a str,
}

fn row(gazetteer: &Gazetteer, hit: &AddressHit<'_>, from: Option<Point>) -> Row {
    let (known, point) = match hit {
        AddressHit::Building { place, .. } | AddressHit::Lot { place, .. } => {
            let known = Known {
                sigungu: &place.sigungu,
                dong: place.dong(),
                ri: &place.ri,
                road: road_name(place),
                number: place.road.as_ref().map(Road::number).unwrap_or_default(),
                building: &place.building,
                lot: place.lot.number(),
                zip: &place.zip,
            };
            (known, place.point())
        }
        AddressHit::Road { place } => {
            let known = Known {
                sigungu: &place.sigungu,
                dong: &place.eup_myun,
                road: road_name(place),
                ..Known::default()
            };
            (known, gazetteer.road_center(place))
        }
        AddressHit::Region { place, depth } => {
            (region(place, *depth), gazetteer.center(place, *depth))
        }
    };
    write(gazetteer, hit.place(), &known, point, from)
}

fn road_name(place: &Place) -> &str {
    place
        .road
        .as_ref()
        .map(|road| &*road.name)
        .unwrap_or_default()
}

fn region(place: &Place, depth: Depth) -> Known<'_> {
    let mut known = Known::default();
    if depth >= Depth::Sigungu {
        known.sigungu = &place.sigungu;
    }
    if depth >= Depth::Dong {
        known.dong = place.dong();
    }
    if depth >= Depth::Ri {
        known.ri = &place.ri;
    }
    known
}

fn write(
    gazetteer: &Gazetteer,
    place: &Place,
    known: &Known<'_>,
    point: Point,
    from: Option<Point>,
) -> Row {
    let sido = gazetteer.sido(place);
    // Towns are part of a road address, dongs are not.
    let town = if place.is_rural() { known.dong } else { "" };
    let road_address = join([
        &*sido.name,
        known.sigungu,
        town,
        known.road,
        &known.number,
        known.building,
    ]);
    let jibun_address = join([
        &*sido.name,
        known.sigungu,
        known.dong,
        known.ri,
        &known.lot,
        known.building,
    ]);
    let english_address = english::address(
        &[known.number.as_str(), known.road, town, known.sigungu],
        &sido.english,
    );
    Row {
        road_address: if known.road.is_empty() {
            String::new()
        } else {
            road_address
        },
        jibun_address,
        english_address,
        address_elements: elements(&sido.name, known),
        x: format!("{:.7}", point.lng),
        y: format!("{:.7}", point.lat),
        distance: from.map_or(0.0, |from| from.distance_m(point)),
    }
}

fn elements(sido: &str, known: &Known<'_>) -> Vec<AddressElement> {
    [
        ("SIDO", sido),
        ("SIGUGUN", known.sigungu),
        ("DONGMYUN", known.dong),
        ("RI", known.ri),
        ("ROAD_NAME", known.road),
        ("BUILDING_NUMBER", &known.number),
        ("BUILDING_NAME", known.building),
        ("LAND_NUMBER", &known.lot),
        ("POSTAL_CODE", known.zip),
    ]
    .map(|(kind, name)| AddressElement {
        types: [kind.to_owned()],
        long_name: name.to_owned(),
        short_name: name.to_owned(),
        code: String::new(),
    })
    .into()
}
