//! The simulator as its callers see it: over TCP, in one process, on free ports.

mod control;
mod faults;
mod process;

use std::time::Duration;

use map_simulator::{Addresses, Settings, Simulator};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use service_kit::Lifecycle;
use service_kit::http_client::{self, HttpClientSettings};

/// Far longer than anything takes that is not meant to wait.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    simulator: Simulator,
    lifecycle: Lifecycle,
    client: Client,
}

impl Running {
    fn start() -> Self {
        let lifecycle = Lifecycle::new(PATIENCE);
        let listeners = Addresses::free().listen().unwrap();
        let simulator = Simulator::start(Settings::default(), listeners, &lifecycle).unwrap();
        let settings = HttpClientSettings {
            timeout: PATIENCE,
            ..HttpClientSettings::new("test/0")
        };
        Self {
            simulator,
            lifecycle,
            client: http_client::new(&settings).unwrap(),
        }
    }

    fn tmap(&self, keyword: &str) -> RequestBuilder {
        let url = format!("http://{}/tmap/pois", self.simulator.addresses().tmap);
        let query = [("version", "1"), ("searchKeyword", keyword)];
        self.client.get(url).header("appKey", "k").query(&query)
    }

    fn naver(&self, query: &str) -> RequestBuilder {
        let url = format!(
            "http://{}/search/v1/local",
            self.simulator.addresses().naver
        );
        self.client
            .get(url)
            .header("x-ncp-apigw-api-key-id", "id")
            .header("x-ncp-apigw-api-key", "secret")
            .query(&[("query", query), ("display", "5")])
    }

    fn control(&self, path: &str) -> String {
        format!("http://{}{path}", self.simulator.addresses().control)
    }

    async fn put_fault(&self, vendor: &str, fault: &str) -> Response {
        let url = self.control(&format!("/faults/{vendor}"));
        let request = self.client.put(url).body(fault.to_owned());
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(self.control(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Waits until `vendor` had `requests` that a fault touched, so that they surely wait in it.
    async fn until_faulted(&self, vendor: &str, operation: &str, requests: u64) {
        let reached = async {
            while self.simulator.stats()[vendor][operation].faulted < requests {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }

    async fn end(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

async fn json(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// Names of the first five places that TMAP finds.
async fn tmap_names(running: &Running, keyword: &str) -> Vec<String> {
    let answer = json(running.tmap(keyword).query(&[("count", "5")])).await;
    let pois = answer.pointer("/searchPoiInfo/pois/poi").unwrap();
    let names = pois.as_array().unwrap().iter();
    names
        .map(|poi| poi["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Names of the places that NAVER finds, without markup.
async fn naver_names(running: &Running, query: &str) -> Vec<String> {
    let answer = json(running.naver(query)).await;
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let title = item["title"].as_str().unwrap();
            let text = title.replace("<b>", "").replace("</b>", "");
            text.replace("&amp;", "&")
        })
        .collect()
}

#[tokio::test]
async fn both_vendors_find_the_same_places_by_every_name() {
    let running = Running::start();
    let places = map_simulator::known_places();
    assert!(places.len() >= 110);
    for place in places {
        let tmap = tmap_names(&running, place.name).await;
        assert_eq!(tmap[0], place.name);
        assert_eq!(naver_names(&running, place.name).await, tmap);
    }
    running.end().await;
}
