//! The two searches: parameters in, canonical body out.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::error::ApiError;
use crate::{
    lookup::{Lookup, LookupKind, Served},
    place::Point,
    query::SearchQuery,
    service::LocationService,
};

const PROVIDER: HeaderName = HeaderName::from_static("x-chameleon-provider");
const VENDOR: HeaderName = HeaderName::from_static("x-chameleon-vendor");

/// `GET /location/address?schvalue=...`
pub(crate) async fn address(
    State(service): State<LocationService>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(
        &service,
        LookupKind::Address,
        address_lookup(query.as_deref()),
    )
    .await
}

/// `GET /location/reverse?lat=..&lng=..`
pub(crate) async fn reverse(
    State(service): State<LocationService>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(
        &service,
        LookupKind::Reverse,
        reverse_lookup(query.as_deref()),
    )
    .await
}

async fn answer(
    service: &LocationService,
    kind: LookupKind,
    lookup: Result<Lookup, ApiError>,
) -> Response {
    let started = Instant::now();
    let result = match lookup {
        Ok(lookup) => service.serve(&lookup).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    service
        .metrics()
        .request(kind, outcome(&result), started.elapsed());
    match result {
        Ok(served) => {
            let provider = HeaderValue::from_str(served.provider.as_str())
                .expect("names are letters and digits");
            let headers = [
                (PROVIDER, provider),
                (VENDOR, HeaderValue::from_static(served.vendor.name())),
            ];
            (headers, Json(served.answer)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn outcome(result: &Result<Served, ApiError>) -> &'static str {
    match result {
        Ok(served) if served.answer.is_empty() => "no_result",
        Ok(_) => "found",
        Err(ApiError::Unavailable) => "unavailable",
        Err(ApiError::TimedOut) => "timed_out",
        Err(_) => "bad_request",
    }
}

fn address_lookup(query: Option<&str>) -> Result<Lookup, ApiError> {
    let text = parameter(query, "schvalue")?;
    Ok(Lookup::Address(SearchQuery::parse(&text)?))
}

fn reverse_lookup(query: Option<&str>) -> Result<Lookup, ApiError> {
    let degrees = |name| {
        let text = parameter(query, name)?;
        text.trim()
            .parse::<f64>()
            .map_err(|_| ApiError::NotANumber(name))
    };
    let point = Point::new(degrees("lat")?, degrees("lng")?);
    point.map(Lookup::Reverse).ok_or(ApiError::OutsideKorea)
}

fn parameter<'a>(query: Option<&'a str>, name: &'static str) -> Result<Cow<'a, str>, ApiError> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
        .ok_or(ApiError::MissingParameter(name))
}
