//! `GET /map-reversegeocode/v2/gc`: the address of a position.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::gc_model::{Addition, Area, Code, Coords, GcAnswer, GcResult, Land, Region, Status};
use super::xml;
use crate::gazetteer::{Depth, Gazetteer, Place, Point};
use crate::params::Params;

/// Positions further from any place than this are in no region.
const REGION_LIMIT_M: f64 = 3_000.0;
/// Positions further from a place than this do not have its address.
const ADDRESS_LIMIT_M: f64 = 100.0;

#[derive(Clone, Copy)]
enum Order {
    LegalCode,
    AdmCode,
    Addr,
    RoadAddr,
}

#[derive(Clone, Copy)]
enum Output {
    Json,
    Xml,
}

pub(super) async fn answer(State(gazetteer): State<Arc<Gazetteer>>, params: Params) -> Response {
    let output = match params.text("output") {
        None | Some("xml") => Output::Xml,
        Some("json") => Output::Json,
        Some(_) => return refused(Output::Json),
    };
    match read(&params) {
        Some((point, orders)) => output.write(StatusCode::OK, &look_up(&gazetteer, point, &orders)),
        None => refused(output),
    }
}

fn read(params: &Params) -> Option<(Point, Vec<Order>)> {
    let point = params.lng_lat("coords").ok()??;
    for name in ["sourcecrs", "targetcrs"] {
        let is_wgs84 = |crs: &str| crs.eq_ignore_ascii_case("EPSG:4326");
        if params.text(name).is_some_and(|crs| !is_wgs84(crs)) {
            return None;
        }
    }
    let orders = params.text("orders").unwrap_or("legalcode,admcode");
    let orders = orders.split(',').map(|name| match name.trim() {
        "legalcode" => Some(Order::LegalCode),
        "admcode" => Some(Order::AdmCode),
        "addr" => Some(Order::Addr),
        "roadaddr" => Some(Order::RoadAddr),
        _ => None,
    });
    Some((point, orders.collect::<Option<_>>()?))
}

fn look_up(gazetteer: &Gazetteer, point: Point, orders: &[Order]) -> GcAnswer {
    let results = match gazetteer.nearest(point, REGION_LIMIT_M) {
        None => Vec::new(),
        Some((place, distance_m)) => orders
            .iter()
            .filter_map(|order| result(gazetteer, place, *order, distance_m < ADDRESS_LIMIT_M))
            .collect(),
    };
    let (code, name, message) = if results.is_empty() {
        (3, "no results", "요청한 데이타의 결과가 없습니다.")
    } else {
        (0, "ok", "done")
    };
    GcAnswer {
        status: status(code, name, message),
        results,
    }
}

fn refused(output: Output) -> Response {
    let answer = GcAnswer {
        status: status(100, "invalid request", "잘못된 요청입니다."),
        results: Vec::new(),
    };
    output.write(StatusCode::BAD_REQUEST, &answer)
}

fn status(code: u16, name: &str, message: &str) -> Status {
    Status {
        code,
        name: name.to_owned(),
        message: message.to_owned(),
    }
}

impl Output {
    fn write(self, status: StatusCode, answer: &GcAnswer) -> Response {
        match self {
            Self::Json => (status, Json(answer)).into_response(),
            Self::Xml => {
                let value = serde_json::to_value(answer).expect("plain members serialize");
                let content_type = [(header::CONTENT_TYPE, xml::CONTENT_TYPE)];
                (status, content_type, xml::document("response", &value)).into_response()
            }
        }
    }
}

/// One item; an item without data is left out.
fn result(
    gazetteer: &Gazetteer,
    place: &Place,
    order: Order,
    has_address: bool,
) -> Option<GcResult> {
    let legal = || code(gazetteer, place, &place.legal_dong_code, "L");
    let (name, code, land) = match order {
        Order::LegalCode => ("legalcode", legal(), None),
        Order::AdmCode => {
            let code = code(gazetteer, place, &place.admin_dong_code, "A");
            return Some(GcResult {
                name: "admcode".to_owned(),
                code,
                region: admin_region(gazetteer, place),
                land: None,
            });
        }
        Order::Addr if has_address => ("addr", legal(), Some(lot(place))),
        Order::RoadAddr if has_address => ("roadaddr", legal(), Some(road(place)?)),
        Order::Addr | Order::RoadAddr => return None,
    };
    Some(GcResult {
        name: name.to_owned(),
        code,
        region: legal_region(gazetteer, place),
        land,
    })
}

/// NAVER's own number has the province in its own counting, then the digits in the middle.
fn code(gazetteer: &Gazetteer, place: &Place, id: &str, kind: &str) -> Code {
    Code {
        id: id.to_owned(),
        kind: kind.to_owned(),
        mapping_id: format!("{}{}", gazetteer.sido(place).naver_code, &id[2..8]),
    }
}

fn legal_region(gazetteer: &Gazetteer, place: &Place) -> Region {
    let center = |depth: Depth| gazetteer.center(place, depth);
    Region {
        area3: Area::new(place.dong(), center(Depth::Dong)),
        area4: Area::new(&place.ri, center(Depth::Ri)),
        ..upper_region(gazetteer, place)
    }
}

fn admin_region(gazetteer: &Gazetteer, place: &Place) -> Region {
    Region {
        area3: Area::new(&place.admin_dong, gazetteer.admin_center(place)),
        ..upper_region(gazetteer, place)
    }
}

fn upper_region(gazetteer: &Gazetteer, place: &Place) -> Region {
    let none = || Area {
        name: String::new(),
        coords: Coords::none(),
        alias: None,
    };
    let center = |depth: Depth| gazetteer.center(place, depth);
    Region {
        area0: Area {
            name: "kr".to_owned(),
            ..none()
        },
        area1: Area {
            alias: Some(gazetteer.sido(place).short.clone()),
            ..Area::new(&place.sido, center(Depth::Sido))
        },
        area2: Area::new(&place.sigungu, center(Depth::Sigungu)),
        area3: none(),
        area4: none(),
    }
}

fn lot(place: &Place) -> Land {
    Land {
        kind: if place.lot.mountain { "2" } else { "1" }.to_owned(),
        number1: place.lot.main.to_string(),
        number2: sub_number(place.lot.sub),
        addition0: Addition::default(),
        addition1: Addition::default(),
        addition2: Addition::default(),
        addition3: Addition::default(),
        addition4: Addition::default(),
        name: None,
        coords: Coords::none(),
    }
}

fn road(place: &Place) -> Option<Land> {
    let road = place.road.as_ref()?;
    let addition = |kind: &str, value: String| Addition {
        kind: kind.to_owned(),
        value,
    };
    let group = format!("{}{}", &place.legal_dong_code[..5], road.code);
    Some(Land {
        kind: String::new(),
        number1: road.main_number(),
        number2: sub_number(road.sub),
        addition0: addition("building", place.building.clone()),
        addition1: addition("zipcode", place.zip.clone()),
        addition2: addition("roadGroupCode", group),
        name: Some(road.name.clone()),
        ..lot(place)
    })
}

fn sub_number(number: u32) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
}
