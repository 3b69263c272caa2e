//! Local search: one body in the dialects of NAVER API HUB and of NAVER Developers.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, FixedOffset, Utc};
use http::header;

use super::error::{Developers, Gateway};
use super::markup::highlight;
use super::model::{LocalAnswer, LocalItem};
use super::xml;
use crate::gazetteer::{Gazetteer, Place};
use crate::params::Params;

/// However many are asked for, there are never more.
const MAX_DISPLAY: usize = 5;
/// Up to this many may be asked for.
const MAX_ASKED: usize = 100;
const SEOUL_OFFSET_S: i32 = 9 * 60 * 60;

/// A parameter that is missing or not understood.
#[derive(Clone, Copy)]
enum Bad {
    Query,
    Display,
    Start,
    Sort,
}

pub(super) async fn hub(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Response, Gateway> {
    let answer = search(&gazetteer, &params).map_err(|bad| {
        Gateway::BadRequest(match bad {
            Bad::Query => "query",
            Bad::Display => "display",
            Bad::Start => "start",
            Bad::Sort => "sort",
        })
    })?;
    match params.text("format") {
        None | Some("json") => Ok(Json(answer).into_response()),
        Some("xml") => Ok(rss(&answer, params.text("query").unwrap_or_default())),
        Some(_) => Err(Gateway::BadRequest("format")),
    }
}

pub(super) async fn developers_json(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Json<LocalAnswer>, Developers> {
    Ok(Json(search(&gazetteer, &params)?))
}

pub(super) async fn developers_xml(
    State(gazetteer): State<Arc<Gazetteer>>,
    params: Params,
) -> Result<Response, Developers> {
    let answer = search(&gazetteer, &params)?;
    Ok(rss(&answer, params.text("query").unwrap_or_default()))
}

impl From<Bad> for Developers {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Query => Self::QUERY,
            Bad::Display => Self::DISPLAY,
            Bad::Start => Self::START,
            Bad::Sort => Self::SORT,
        }
    }
}

fn search(gazetteer: &Gazetteer, params: &Params) -> Result<LocalAnswer, Bad> {
    let query = params.text("query").ok_or(Bad::Query)?;
    let asked = params.number("display", 1..=MAX_ASKED, 1);
    let display = asked.map_err(|_| Bad::Display)?.min(MAX_DISPLAY);
    let start = params.number("start", 1..=1, 1).map_err(|_| Bad::Start)?;
    if !matches!(params.text("sort"), None | Some("random" | "comment")) {
        return Err(Bad::Sort);
    }
    let found = gazetteer.search(query);
    let items: Vec<LocalItem> = found
        .iter()
        .take(display)
        .map(|place| item(place, query))
        .collect();
    Ok(LocalAnswer {
        last_build_date: rfc_822(Utc::now()),
        total: found.len().min(MAX_DISPLAY),
        start,
        display: items.len(),
        items,
    })
}

fn rfc_822(time: DateTime<Utc>) -> String {
    let seoul = FixedOffset::east_opt(SEOUL_OFFSET_S).expect("nine hours are an offset");
    time.with_timezone(&seoul).to_rfc2822()
}

fn item(place: &Place, query: &str) -> LocalItem {
    // Floor and unit follow the address; without them its trailing blank stays, as in real answers.
    let detailed = |address: String| format!("{address} {}", place.detail);
    LocalItem {
        title: highlight(&place.name, query),
        link: place.site.clone(),
        category: place.category.join(">"),
        description: String::new(),
        telephone: String::new(),
        address: detailed(place.lot_address(&place.sido)),
        road_address: place
            .road_address(&place.sido)
            .map(detailed)
            .unwrap_or_default(),
        mapx: scaled(place.lng),
        mapy: scaled(place.lat),
    }
}

/// Degrees times ten million, as a whole number.
fn scaled(degrees: f64) -> String {
    format!("{:.0}", degrees * 1e7)
}

fn rss(answer: &LocalAnswer, query: &str) -> Response {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\"><channel>\
         <title>Naver Open API - local ::'{}'</title><lastBuildDate>{}</lastBuildDate>\
         <total>{}</total><start>{}</start><display>{}</display>",
        xml::escape(query),
        answer.last_build_date,
        answer.total,
        answer.start,
        answer.display,
    );
    for item in &answer.items {
        text.push_str("<item>");
        for (name, value) in [
            ("title", &item.title),
            ("link", &item.link),
            ("category", &item.category),
            ("description", &item.description),
            ("telephone", &item.telephone),
            ("address", &item.address),
            ("roadAddress", &item.road_address),
            ("mapx", &item.mapx),
            ("mapy", &item.mapy),
        ] {
            let _ = write!(text, "<{name}>{}</{name}>", xml::escape(value));
        }
        text.push_str("</item>");
    }
    text.push_str("</channel></rss>");
    ([(header::CONTENT_TYPE, xml::CONTENT_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_korean_time() {
        let time = DateTime::parse_from_rfc3339("2026-10-12T01:21:31Z").unwrap();
        assert_eq!(rfc_822(time.to_utc()), "Mon, 12 Oct 2026 10:21:31 +0900");
    }

    #[test]
    fn positions_are_whole_numbers() {
        assert_eq!(scaled(127.112_987), "1271129870");
        assert_eq!(scaled(37.516_377_5), "375163775");
    }
}
