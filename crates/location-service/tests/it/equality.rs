//! The promise of the canonical answer: equal, whichever vendor gave it.
//!
//! Both vendors are the simulator's, which shares no type with this service and writes each wire
//! format on its own from one gazetteer.

use std::collections::BTreeSet;

use map_simulator::{Addresses, KnownPlace, Settings, Simulator, known_places};
use serde_json::{Value, json};
use service_kit::Lifecycle;

use crate::support::{Client, Reply};

/// Both vendors over the gazetteer, each behind a client that asks it alone.
struct Pair {
    tmap: Client,
    naver: Client,
    lifecycle: Lifecycle,
}

impl Pair {
    fn start() -> Self {
        let lifecycle = Lifecycle::default();
        let listeners = Addresses::free().listen().expect("free ports");
        let settings = Settings::default();
        let simulator = Simulator::start(settings, listeners, &lifecycle).expect("a simulator");
        let addresses = simulator.addresses();
        let naver = format!("http://{}", addresses.naver);
        let client = |vendor: Value| {
            Client::new(json!({
                "aMapPercentage": 100,
                "maps": {"a": vendor},
                "search": {"deadline": "60s"},
            }))
        };
        Self {
            tmap: client(json!({
                "vendor": "tmap", "appKey": "key", "timeout": "60s", "baseUrl": format!("http://{}", addresses.tmap),
            })),
            naver: client(json!({
                "vendor": "naver", "clientId": "id", "clientSecret": "secret", "timeout": "60s",
                "baseUrl": naver, "localBaseUrl": naver,
            })),
            lifecycle,
        }
    }

    /// Asks both vendors for the same text; the sets have to be equal.
    async fn search(&self, text: &str) -> Vec<Value> {
        let (by_tmap, by_naver) = tokio::join!(self.tmap.search(text), self.naver.search(text));
        let items = items(&by_tmap, "tmap", text);
        assert_eq!(
            set(&items),
            set(&self::items(&by_naver, "naver", text)),
            "`{text}`"
        );
        items
    }

    async fn end(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.expect("a clean end");
    }
}

fn items(reply: &Reply, vendor: &str, asked: &str) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{vendor} for `{asked}`: {}", reply.text);
    assert_eq!(reply.header("x-chameleon-vendor"), vendor);
    let body = reply.json();
    let items = body["items"].as_array().expect("items").clone();
    assert_eq!(body["count"], items.len());
    items
}

/// Order is no part of the promise; everything else is, down to the last digit.
fn set(items: &[Value]) -> BTreeSet<String> {
    items
        .iter()
        .map(|item| serde_json::to_string_pretty(item).expect("JSON"))
        .collect()
}

/// The item of a place among the answers to its name.
fn own<'a>(items: &'a [Value], place: &KnownPlace<'_>) -> &'a Value {
    let first = items
        .first()
        .unwrap_or_else(|| panic!("`{}` is not found", place.name));
    assert_eq!(first["name"], place.name, "the place itself comes first");
    assert_eq!(
        (&first["lat"], &first["lng"]),
        (&json!(place.lat), &json!(place.lng)),
        "`{}`",
        place.name
    );
    first
}

#[tokio::test]
async fn every_place_is_the_same_through_both_vendors_by_its_name() {
    let pair = Pair::start();
    let places = known_places();
    assert!(places.len() >= 100, "{}", places.len());
    let mut ids = BTreeSet::new();
    for place in &places {
        let items = pair.search(place.name).await;
        let id = own(&items, place)["id"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id), "`{}` has another place's id", place.name);
    }
    pair.end().await;
}

#[tokio::test]
async fn every_place_is_the_same_through_both_vendors_by_its_region_and_name() {
    let pair = Pair::start();
    for place in known_places() {
        let found = pair.search(place.name).await;
        let region = &own(&found, &place)["region"];
        let level = ["sigungu", "legal_dong"]
            .iter()
            .find_map(|level| region[level].as_str());
        let items = pair
            .search(&format!("{} {}", level.expect("a region"), place.name))
            .await;
        assert!(
            items.iter().any(|item| item["name"] == place.name),
            "`{}` in {items:?}",
            place.name
        );
    }
    pair.end().await;
}

#[tokio::test]
async fn every_address_is_the_same_through_both_vendors() {
    let pair = Pair::start();
    for place in known_places() {
        let found = pair.search(place.name).await;
        let own = own(&found, &place);
        for address in ["road_address", "jibun_address"] {
            let Some(text) = own[address].as_str() else {
                assert_eq!(address, "road_address", "every place is on a lot");
                continue;
            };
            let items = pair.search(text).await;
            assert_eq!(items[0][address], text, "the address itself comes first");
        }
    }
    pair.end().await;
}

#[tokio::test]
async fn every_point_has_the_same_address_through_both_vendors() {
    let pair = Pair::start();
    for place in known_places() {
        let uri = format!("/location/reverse?lat={}&lng={}", place.lat, place.lng);
        let (by_tmap, by_naver) = tokio::join!(pair.tmap.get(&uri), pair.naver.get(&uri));
        let items = items(&by_tmap, "tmap", place.name);
        assert_eq!(items.len(), 1, "`{}` has an address", place.name);
        assert_eq!(
            set(&items),
            set(&self::items(&by_naver, "naver", place.name)),
            "`{}`",
            place.name
        );
    }
    pair.end().await;
}
