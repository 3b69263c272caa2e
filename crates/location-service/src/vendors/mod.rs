//! The map companies behind one trait; one module each.

pub(crate) mod error;
mod json;
mod legs;
mod naver;
mod tmap;
mod transport;

use std::{fmt, sync::Arc};

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;
use url::Url;

pub(crate) use error::{FailureClass, VendorError};

use crate::{
    config::{ProviderName, VendorSettings},
    metrics::Metrics,
    place::{Pin, Place, Point},
    query::SearchQuery,
};

/// A map company whose wire format is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Vendor {
    Tmap,
    Naver,
}

impl Vendor {
    /// The name in configuration, headers and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tmap => "tmap",
            Self::Naver => "naver",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An upstream operation, as named in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Pois,
    FullAddress,
    Reverse,
    Geocode,
    Local,
}

impl Operation {
    /// The name in logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pois => "pois",
            Self::FullAddress => "full_address",
            Self::Reverse => "reverse",
            Self::Geocode => "geocode",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A vendor that can be asked; an empty answer is an answer.
///
/// Both futures end at `deadline` at the latest, and may be dropped at any time.
#[async_trait::async_trait]
pub(crate) trait MapVendor: Send + Sync {
    /// Finds places by name or address, best first.
    async fn search_address(
        &self,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Vec<Place>, VendorError>;

    /// Finds the address at a point.
    async fn reverse_address(
        &self,
        point: Point,
        deadline: Instant,
    ) -> Result<Option<Pin>, VendorError>;
}

/// Builds the adapter that a provider's settings ask for.
pub(crate) fn connect(
    provider: &ProviderName,
    settings: &VendorSettings,
    client: &reqwest::Client,
    metrics: &Metrics,
) -> Arc<dyn MapVendor> {
    let transport = |vendor, secrets| transport::Transport {
        client: client.clone(),
        metrics: metrics.clone(),
        provider: provider.clone(),
        vendor,
        secrets,
    };
    match settings {
        VendorSettings::Tmap(tmap) => {
            let secrets = vec![tmap.app_key.clone()];
            Arc::new(tmap::Tmap::new(
                transport(Vendor::Tmap, secrets),
                tmap.clone(),
            ))
        }
        VendorSettings::Naver(naver) => {
            let secrets = naver.secrets();
            Arc::new(naver::Naver::new(
                transport(Vendor::Naver, secrets),
                naver.clone(),
            ))
        }
    }
}

/// What a query's value may carry unencoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Puts a vendor's path behind the configured address, which may have a path of its own, and the
/// parameters behind that.
fn endpoint(base: &Url, path: &str, parameters: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut()
        .expect("the configuration takes only addresses with a host")
        .pop_if_empty()
        .extend(path.split('/'));
    // Not by `query_pairs_mut`: it writes a blank as `+`, which some vendors take literally.
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)))
        .collect();
    url.set_query(Some(&query.join("&")));
    url
}

/// A header value that is never shown.
fn secret_header(secret: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(secret).expect("the configuration takes only printable keys");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_exactly_once() {
        let base = "http://127.0.0.1:8531/proxy/".parse().expect("a URL");
        let url = endpoint(
            &base,
            "tmap/pois",
            &[("version", "1"), ("searchKeyword", "강남 1+1 {%20}&a=b")],
        );
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:8531/proxy/tmap/pois?version=1&searchKeyword=%EA%B0%95%EB%82%A8%201%2B1%20%7B%2520%7D%26a%3Db"
        );
    }
}
