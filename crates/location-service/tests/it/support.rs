//! A service over two simulated hosts, asked in memory.

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use location_service::{LocationService, MapConfig};
use serde_json::{Value, json};
use service_kit::metrics::Registry;
use tower::ServiceExt;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

pub(crate) const POIS: &str = "/tmap/pois";
pub(crate) const TMAP_REVERSE: &str = "/tmap/geo/reversegeocoding";
pub(crate) const FULL_ADDRESS: &str = "/tmap/geo/fullAddrGeo";
pub(crate) const GEOCODE: &str = "/map-geocode/v2/geocode";
pub(crate) const GC: &str = "/map-reversegeocode/v2/gc";
pub(crate) const LOCAL: &str = "/search/v1/local";

/// A fixture of the vendors' own samples.
macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../fixtures/", $path))
    };
}
pub(crate) use fixture;

pub(crate) struct World {
    pub(crate) tmap: MockServer,
    pub(crate) naver: MockServer,
}

impl World {
    /// Two hosts that know the samples' places.
    pub(crate) async fn new() -> Self {
        let world = Self::silent().await;
        world
            .tmap_answers(POIS, ok(fixture!("tmap/pois_urban.json")))
            .await;
        world
            .naver_answers(LOCAL, ok(fixture!("naver/local.json")))
            .await;
        world
            .naver_answers(GEOCODE, ok(fixture!("naver/geocode_urban.json")))
            .await;
        world
    }

    /// Two hosts that know no page yet.
    pub(crate) async fn silent() -> Self {
        Self {
            tmap: MockServer::start().await,
            naver: MockServer::start().await,
        }
    }

    pub(crate) async fn tmap_answers(&self, at: &str, response: ResponseTemplate) {
        Mock::given(path(at))
            .respond_with(response)
            .mount(&self.tmap)
            .await;
    }

    pub(crate) async fn naver_answers(&self, at: &str, response: ResponseTemplate) {
        Mock::given(path(at))
            .respond_with(response)
            .mount(&self.naver)
            .await;
    }

    pub(crate) fn config(&self, a: u8, b: u8) -> Value {
        json!({
            "aMapPercentage": a,
            "bMapPercentage": b,
            "maps": {
                "a": {"vendor": "tmap", "appKey": "tmap-s3cret", "baseUrl": self.tmap.uri()},
                "b": {
                    "vendor": "naver", "clientId": "naver-id", "clientSecret": "naver-s3cret",
                    "baseUrl": self.naver.uri(), "localBaseUrl": self.naver.uri(),
                },
            },
            // Far above what a test takes on a busy machine; tests of time set their own.
            "search": {"deadline": "60s"},
        })
    }

    pub(crate) fn client(&self, a: u8, b: u8) -> Client {
        Client::new(self.config(a, b))
    }

    /// The paths that were asked for at a host.
    pub(crate) async fn paths(host: &MockServer) -> Vec<String> {
        let requests = host.received_requests().await.expect("recording is on");
        requests
            .iter()
            .map(|request| request.url.path().to_owned())
            .collect()
    }
}

pub(crate) fn ok(body: &str) -> ResponseTemplate {
    status(200, body)
}

pub(crate) fn status(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body.to_owned(), "application/json")
}

/// The service under one configuration.
pub(crate) struct Client {
    pub(crate) service: LocationService,
    registry: Registry,
    router: Router,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new(config: Value) -> Self {
        Self::with_room(config, 100)
    }

    pub(crate) fn with_room(config: Value, max_in_flight: usize) -> Self {
        let registry = Registry::new("location-service", "0");
        let service = LocationService::new(&parse(config), 7, &registry).expect("a client");
        let router = location_service::router(service.clone(), max_in_flight)
            .merge(location_service::admin_router(service.clone()));
        Self {
            service,
            registry,
            router,
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.request(Request::get(uri).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Reply {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    pub(crate) async fn search(&self, text: &str) -> Reply {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("schvalue", text)
            .finish();
        self.get(&format!("/location/address?{query}")).await
    }

    pub(crate) fn metrics(&self) -> String {
        self.registry.text()
    }

    pub(crate) fn assert_counted(&self, line: &str) {
        let metrics = self.metrics();
        assert!(
            metrics.lines().any(|found| found == line),
            "no `{line}` in:\n{metrics}"
        );
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn provider(&self) -> &str {
        self.header("x-chameleon-provider")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let items = self.json()["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    }
}

pub(crate) fn parse(config: Value) -> MapConfig {
    serde_json::from_value(config).expect("a valid configuration")
}
