//! NAVER: a shop search and an address search that are composed into one, and a reverse lookup.
//!
//! They are two products with hosts and keys of their own; the search product has two generations.

mod envelope;
mod gc;
mod geocode;
mod local;
mod merge;

use http::HeaderName;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    MapVendor, Operation, VendorError, legs,
    transport::{Call, Transport},
};
use crate::{
    config::{Dialect, NaverSettings},
    place::{Pin, Place, Point},
    query::{QueryKind, SearchQuery},
};

/// NAVER under one pair of keys for each product.
pub(crate) struct Naver {
    transport: Transport,
    settings: NaverSettings,
}

const GATEWAY_HEADERS: [&str; 2] = ["x-ncp-apigw-api-key-id", "x-ncp-apigw-api-key"];
const DEVELOPERS_HEADERS: [&str; 2] = ["x-naver-client-id", "x-naver-client-secret"];

impl Naver {
    pub(crate) fn new(transport: Transport, settings: NaverSettings) -> Self {
        Self {
            transport,
            settings,
        }
    }

    /// Asks the address search, which knows no shops.
    async fn geocode(
        &self,
        text: &str,
        count: &str,
        deadline: Instant,
    ) -> Result<Vec<Place>, VendorError> {
        let operation = Operation::Geocode;
        let parameters = [
            ("query", text),
            ("language", "kor"),
            ("page", "1"),
            ("count", count),
        ];
        let body = self
            .maps(
                operation,
                "map-geocode/v2/geocode",
                &parameters,
                text,
                deadline,
            )
            .await?;
        body.map_or(Ok(Vec::new()), |body| {
            geocode::places(body).map_err(|message| self.transport.malformed(operation, message))
        })
    }

    /// Asks the shop search, which knows no addresses and never gives more than five rows.
    async fn local(&self, text: &str, deadline: Instant) -> Result<Vec<Place>, VendorError> {
        let operation = Operation::Local;
        let parameters = [
            ("query", text),
            ("display", "5"),
            ("start", "1"),
            ("sort", "random"),
        ];
        let (path, headers) = match self.settings.dialect {
            Dialect::Hub => ("search/v1/local", GATEWAY_HEADERS),
            Dialect::Developers => ("v1/search/local.json", DEVELOPERS_HEADERS),
        };
        let keys = &self.settings.local;
        let body = self
            .transport
            .call(Call {
                operation,
                url: super::endpoint(&self.settings.local_base_url, path, &parameters),
                headers: named(
                    headers,
                    [keys.id.expose_secret(), keys.secret.expose_secret()],
                ),
                deadline,
                searched: text,
                envelope: envelope::local,
            })
            .await?;
        body.map_or(Ok(Vec::new()), |body| {
            local::places(body).map_err(|message| self.transport.malformed(operation, message))
        })
    }

    async fn maps(
        &self,
        operation: Operation,
        path: &str,
        parameters: &[(&str, &str)],
        searched: &str,
        deadline: Instant,
    ) -> Result<Option<serde_json::Value>, VendorError> {
        let keys = &self.settings.maps;
        self.transport
            .call(Call {
                operation,
                url: super::endpoint(&self.settings.base_url, path, parameters),
                headers: named(
                    GATEWAY_HEADERS,
                    [keys.id.expose_secret(), keys.secret.expose_secret()],
                ),
                deadline,
                searched,
                envelope: envelope::maps,
            })
            .await
    }
}

fn named(names: [&'static str; 2], values: [&str; 2]) -> Vec<(HeaderName, http::HeaderValue)> {
    std::iter::zip(names, values)
        .map(|(name, value)| (HeaderName::from_static(name), super::secret_header(value)))
        .collect()
}

#[async_trait::async_trait]
impl MapVendor for Naver {
    async fn search_address(
        &self,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Vec<Place>, VendorError> {
        let address = query.address_text();
        match query.kind() {
            QueryKind::Address => {
                let found = self.geocode(&address, "10", deadline).await?;
                if found.is_empty() {
                    self.local(query.text(), deadline).await
                } else {
                    Ok(found)
                }
            }
            QueryKind::Poi => {
                let found = self.local(query.text(), deadline).await?;
                if found.is_empty() {
                    self.geocode(&address, "5", deadline).await
                } else {
                    Ok(found)
                }
            }
            QueryKind::Mixed => {
                let local = self.local(query.text(), deadline);
                let geocode = self.geocode(&address, "5", deadline);
                let (local, geocode) = tokio::join!(local, geocode);
                legs::join(local, geocode, merge::merge)
            }
        }
    }

    async fn reverse_address(
        &self,
        point: Point,
        deadline: Instant,
    ) -> Result<Option<Pin>, VendorError> {
        let operation = Operation::Reverse;
        let coords = format!("{},{}", point.lng(), point.lat());
        let parameters = [
            ("coords", coords.as_str()),
            ("sourcecrs", "EPSG:4326"),
            ("targetcrs", "EPSG:4326"),
            ("orders", "roadaddr,addr,admcode,legalcode"),
            ("output", "json"),
        ];
        let body = self
            .maps(
                operation,
                "map-reversegeocode/v2/gc",
                &parameters,
                "",
                deadline,
            )
            .await?;
        body.map_or(Ok(None), |body| {
            gc::pin(body, point).map_err(|message| self.transport.malformed(operation, message))
        })
    }
}
