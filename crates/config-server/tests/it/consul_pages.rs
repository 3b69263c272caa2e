//! The endpoints about the server itself, and what all endpoints of Consul's API have in common.

use std::io::Read as _;
use std::time::{Duration, Instant};

use config_server::Settings;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::Server;

const PAGES: [&str; 5] = [
    "/v1/agent/self",
    "/v1/catalog/nodes",
    "/v1/catalog/datacenters",
    "/v1/status/leader",
    "/v1/status/peers",
];

async fn json(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_agent_names_the_node_of_the_catalog() {
    let server = Server::start().await;
    let agent = json(server.get("/v1/agent/self").await).await;
    assert_eq!(agent["Config"]["Datacenter"], "dc1");
    assert_eq!(agent["Config"]["Version"], "1.8.7");
    assert_eq!(agent["Member"]["Addr"], "127.0.0.1");
    assert_eq!(agent["Member"]["Port"], server.http.port());

    let nodes = json(server.get("/v1/catalog/nodes").await).await;
    let nodes = nodes.as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0]["Node"], agent["Config"]["NodeName"]);
    assert_eq!(nodes[0]["ID"], agent["Config"]["NodeID"]);
    assert_eq!(nodes[0]["TaggedAddresses"]["lan"], "127.0.0.1");

    let datacenters = json(server.get("/v1/catalog/datacenters").await).await;
    assert_eq!(datacenters, serde_json::json!(["dc1"]));
}

#[tokio::test]
async fn the_catalog_never_changes_and_lets_wait() {
    let server = Server::start().await;
    server.write("a", "x").await;
    for page in ["/v1/catalog/nodes", "/v1/catalog/datacenters"] {
        let started = Instant::now();
        for query in ["", "?index=0&wait=60s", "?wait=60s", "?index="] {
            let response = server.get(&format!("{page}{query}")).await;
            assert_eq!(response.headers()["x-consul-index"], "1");
            assert_eq!(response.headers()["x-consul-knownleader"], "true");
            assert_eq!(response.headers()["x-consul-lastcontact"], "0");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{page}");
        let started = Instant::now();
        let response = server.get(&format!("{page}?index=1&wait=50ms")).await;
        assert!(started.elapsed() >= Duration::from_millis(50), "{page}");
        assert_eq!(response.headers()["x-consul-index"], "1");
    }
}

#[tokio::test]
async fn every_endpoint_tells_its_methods() {
    let server = Server::start().await;
    let pages = PAGES.map(|page| (page, "OPTIONS,GET"));
    let keys = [("/v1/kv/a", "OPTIONS,GET,PUT,DELETE")];
    for (path, allowed) in pages.into_iter().chain(keys) {
        for (method, status) in [
            (Method::OPTIONS, 200),
            (Method::POST, 405),
            (Method::HEAD, 405),
        ] {
            let response = server.request(method.clone(), path).send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_is_not_served_says_what_is() {
    let server = Server::start().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/health/service/x",
        "/v1/agent/self/",
        "/v1/kvs",
    ] {
        let response = server.get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.starts_with(&format!("`{path}` is not served here")));
        for page in PAGES {
            assert!(text.contains(page), "{page}: {text}");
        }
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let server = Server::start().await;
    server.write("small", "x").await;
    let large = "location: tmap\n".repeat(1000);
    server.put("/v1/kv/large", large.clone()).await;
    let get = async |path: &str, encoding: &'static str| {
        let request = server.request(Method::GET, path);
        let response = request.header("accept-encoding", encoding).send().await;
        response.unwrap()
    };
    let response = get("/v1/kv/large?raw", "deflate, gzip").await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "accept-encoding");
    assert_eq!(response.headers()["x-consul-index"], "3");
    let body = response.bytes().await.unwrap();
    assert!(body.len() < large.len() / 10, "{} bytes", body.len());
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&body[..]);
    decoder.read_to_string(&mut text).unwrap();
    assert_eq!(text, large);

    for (path, encoding) in [
        ("/v1/kv/small", "gzip"),
        ("/v1/kv/small?raw", "gzip"),
        ("/v1/kv/large?raw", "identity"),
        ("/v1/kv/large?raw", "gzip;q=0"),
    ] {
        let response = get(path, encoding).await;
        let headers = response.headers();
        assert!(!headers.contains_key("content-encoding"), "{path}");
        assert!(headers.contains_key("content-length"), "{path}");
    }
}

#[tokio::test]
async fn every_endpoint_takes_the_token_in_every_place() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let server = Server::with(Settings {
        token: Some(TOKEN.into()),
        ..Settings::default()
    })
    .await;
    let bearer = format!("bearer {TOKEN}");
    for path in PAGES.into_iter().chain(["/v1/kv/?keys"]) {
        let and = if path.contains('?') { '&' } else { '?' };
        let with_query = format!("{path}{and}token={TOKEN}");
        let with_empty = format!("{path}{and}token=");
        let cases: [(&str, &str, &str, u16); 8] = [
            (path, "x-consul-token", TOKEN, 200),
            (path, "x-consul-token", "", 403),
            (path, "x-consul-token", "wrong", 403),
            (path, "authorization", &bearer, 200),
            (path, "authorization", "Basic abc", 403),
            (&with_query, "x-consul-token", "wrong", 200),
            (&with_empty, "x-consul-token", TOKEN, 200),
            (&with_empty, "accept", "*/*", 403),
        ];
        for (path, name, value, status) in cases {
            let request = server.request(Method::GET, path).header(name, value);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{path} {name}: {value}");
        }
    }
}
