//! SK TMAP: a search for shops, buildings and addresses, one for addresses only, and a reverse lookup.

mod envelope;
mod full_address;
mod pois;
mod reverse;

use http::HeaderName;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    MapVendor, Operation, VendorError,
    json::Text,
    legs,
    transport::{Call, Transport},
};
use crate::{
    address::RoadAddress,
    config::{KeyIn, TmapSettings},
    place::{Pin, Place, Point},
    query::{QueryKind, SearchQuery},
};

/// More than are answered, so that parking lots and gates can be put behind what was looked for.
const ROWS: &str = "20";

/// TMAP under one key.
pub(crate) struct Tmap {
    transport: Transport,
    settings: TmapSettings,
}

impl Tmap {
    pub(crate) fn new(transport: Transport, settings: TmapSettings) -> Self {
        Self {
            transport,
            settings,
        }
    }

    async fn get(
        &self,
        operation: Operation,
        path: &str,
        parameters: &[(&str, &str)],
        searched: &str,
        deadline: Instant,
    ) -> Result<Option<serde_json::Value>, VendorError> {
        let key = self.settings.app_key.expose_secret();
        // Defaults differ between TMAP's products, so nothing is left to them.
        let mut all = vec![("version", "1"), ("format", "json")];
        all.extend_from_slice(parameters);
        let mut headers = Vec::new();
        match self.settings.key_in {
            KeyIn::Header => {
                headers.push((HeaderName::from_static("appkey"), super::secret_header(key)));
            }
            KeyIn::Query => all.push(("appKey", key)),
        }
        let url = super::endpoint(&self.settings.base_url, path, &all);
        self.transport
            .call(Call {
                operation,
                url,
                headers,
                deadline,
                searched,
                envelope: envelope::read,
            })
            .await
    }

    async fn pois(
        &self,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Vec<Place>, VendorError> {
        let parameters = [
            ("searchKeyword", query.text()),
            ("searchType", "all"),
            ("searchtypCd", "A"),
            ("reqCoordType", "WGS84GEO"),
            ("resCoordType", "WGS84GEO"),
            ("page", "1"),
            ("count", ROWS),
            ("multiPoint", "N"),
            ("poiGroupYn", "N"),
        ];
        let body = self
            .get(
                Operation::Pois,
                "tmap/pois",
                &parameters,
                query.text(),
                deadline,
            )
            .await?;
        body.map_or(Ok(Vec::new()), |body| {
            pois::places(body).map_err(|message| self.transport.malformed(Operation::Pois, message))
        })
    }

    async fn full_address(
        &self,
        text: &str,
        deadline: Instant,
    ) -> Result<Vec<full_address::Hit>, VendorError> {
        let operation = Operation::FullAddress;
        let parameters = [
            ("fullAddr", text),
            ("addressFlag", "F00"),
            ("coordType", "WGS84GEO"),
            ("page", "1"),
            ("count", ROWS),
        ];
        let body = self
            .get(
                operation,
                "tmap/geo/fullAddrGeo",
                &parameters,
                text,
                deadline,
            )
            .await?;
        body.map_or(Ok(Vec::new()), |body| {
            full_address::hits(body).map_err(|message| self.transport.malformed(operation, message))
        })
    }

    /// Looks up what the reverse call does not tell; the answer is worth giving without it.
    async fn add_zip_code(&self, pin: &mut Pin, deadline: Instant) {
        // A lot alone has no zip code at any vendor.
        let Some(road) = pin.place.road.clone().filter(RoadAddress::has_number) else {
            return;
        };
        match self.full_address(&road.to_string(), deadline).await {
            Ok(hits) => {
                pin.zip_code = hits
                    .into_iter()
                    .find(|hit| hit.place.road.as_ref() == Some(&road))
                    .and_then(|hit| hit.zip_code);
            }
            Err(error) => {
                tracing::debug!(provider = %self.transport.provider, "carried on without a zip code: {error}");
            }
        }
    }
}

#[async_trait::async_trait]
impl MapVendor for Tmap {
    async fn search_address(
        &self,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Vec<Place>, VendorError> {
        if query.kind() != QueryKind::Address {
            return self.pois(query, deadline).await;
        }
        // One call knows the building and only one of its addresses, the other knows both addresses
        // and only the shops in it.
        let text = query.address_text();
        let (hits, pois) = tokio::join!(
            self.full_address(&text, deadline),
            self.pois(query, deadline)
        );
        let hits = hits.map(|hits| hits.into_iter().map(|hit| hit.place).collect());
        legs::join(hits, pois, complete)
    }

    async fn reverse_address(
        &self,
        point: Point,
        deadline: Instant,
    ) -> Result<Option<Pin>, VendorError> {
        let operation = Operation::Reverse;
        let (lat, lng) = (point.lat().to_string(), point.lng().to_string());
        let parameters = [
            ("lat", lat.as_str()),
            ("lon", lng.as_str()),
            ("coordType", "WGS84GEO"),
            ("addressType", "A10"),
            ("newAddressExtend", "Y"),
        ];
        let body = self
            .get(
                operation,
                "tmap/geo/reversegeocoding",
                &parameters,
                "",
                deadline,
            )
            .await?;
        let Some(body) = body else {
            return Ok(None);
        };
        let pin = reverse::pin(body, point)
            .map_err(|message| self.transport.malformed(operation, message))?;
        let Some(mut pin) = pin else {
            return Ok(None);
        };
        self.add_zip_code(&mut pin, deadline).await;
        Ok(Some(pin))
    }
}

/// The dong-level name: in rural areas it can be in either field, or in both.
fn dong<'a>(eup_myun: &'a Text, legal_dong: &'a Text) -> &'a str {
    if eup_myun.is_empty() {
        legal_dong.as_str()
    } else {
        eup_myun.as_str()
    }
}

/// Gives each address what the places at it know; without any address the places are the answer.
fn complete(mut hits: Vec<Place>, pois: Vec<Place>) -> Vec<Place> {
    if hits.is_empty() {
        return pois;
    }
    for hit in &mut hits {
        if let Some(poi) = pois.iter().find(|poi| hit.shares_address(poi)) {
            hit.complete_address(poi);
        }
    }
    hits
}
