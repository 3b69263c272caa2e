//! The running service on a real config server.

use std::net::SocketAddr;

use chameleon_client::{Api, ApiSettings};
use clap::Parser;
use location_service::{Cli, Listeners, process_environment};
use serde_json::Value;
use service_kit::{
    Lifecycle,
    http_client::{self, HttpClientSettings},
    listen,
};
use test_kit::eventually;
use tokio::net::TcpListener;

use crate::support::World;

const DOCUMENT: &str = "config/location-beta.yml";

/// A config server with a store in memory, and whatever runs against it.
struct Stage {
    http: SocketAddr,
    grpc: SocketAddr,
    lifecycle: Lifecycle,
    client: reqwest::Client,
}

fn free_listener() -> TcpListener {
    listen("127.0.0.1:0".parse().expect("an address"), "tests", "none").expect("a port")
}

impl Stage {
    async fn new() -> Self {
        let store = chameleon_store::open("sqlite::memory:")
            .await
            .expect("a store");
        let listeners = config_server::Listeners {
            http: free_listener(),
            grpc: free_listener(),
            admin: None,
        };
        let http = listeners.http.local_addr().expect("an address");
        let grpc = listeners.grpc.local_addr().expect("an address");
        let lifecycle = Lifecycle::default();
        let settings = config_server::Settings::default();
        config_server::start(settings, store, listeners, &lifecycle)
            .await
            .expect("a server");
        Self {
            http,
            grpc,
            lifecycle,
            client: http_client::new(&HttpClientSettings::new("test/0")).expect("a client"),
        }
    }

    /// Puts the service's document, as the reference job does.
    async fn put(&self, document: String) {
        let url = format!("http://{}/v1/kv/{DOCUMENT}", self.http);
        let response = self
            .client
            .put(url)
            .body(document)
            .send()
            .await
            .expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }

    /// Starts the service; the address is that of its searches and admin pages.
    async fn start(&self) -> anyhow::Result<SocketAddr> {
        let server = format!("http://{}", self.grpc);
        let flags = ["location-service", "--profile", "beta", "--server", &server];
        let listeners = Listeners {
            http: free_listener(),
            admin: None,
        };
        let address = listeners.http.local_addr()?;
        location_service::start(
            Cli::parse_from(flags).settings,
            listeners,
            process_environment(),
            &self.lifecycle,
        )
        .await?;
        Ok(address)
    }

    async fn get(&self, address: SocketAddr, path: &str) -> reqwest::Response {
        self.client
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .expect("an answer")
    }

    /// Waits until the routing in force gives provider `b` a share.
    async fn share_of_b_becomes(&self, address: SocketAddr, percent: f64) {
        eventually("the new share is in force", async || {
            let routing: Value = self
                .get(address, "/location/routing")
                .await
                .json()
                .await
                .expect("JSON");
            (routing["providers"][1]["share_percent"] == percent).then_some(())
        })
        .await;
    }

    async fn search(&self, address: SocketAddr) -> String {
        let response = self
            .get(
                address,
                "/location/address?schvalue=%EC%9E%A5%EC%9D%80%EB%B9%8C%EB%94%A9",
            )
            .await;
        assert_eq!(response.status(), 200);
        response.headers()["x-chameleon-provider"]
            .to_str()
            .expect("ASCII")
            .to_owned()
    }

    async fn end(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.expect("a clean end");
    }
}

#[tokio::test]
async fn a_change_of_the_document_moves_the_traffic_of_a_running_service() {
    let world = World::new().await;
    let stage = Stage::new().await;
    stage.put(world.config(100, 0).to_string()).await;
    let address = stage.start().await.expect("a service");
    assert_eq!(stage.get(address, "/health/ready").await.status(), 200);
    assert_eq!(stage.search(address).await, "a");
    stage.put(world.config(0, 100).to_string()).await;
    stage.share_of_b_becomes(address, 100.0).await;
    assert_eq!(stage.search(address).await, "b");
    let metrics = stage
        .get(address, "/metrics")
        .await
        .text()
        .await
        .expect("text");
    assert!(
        metrics.contains("location_provider_share_ratios{provider=\"b\"} 1.0"),
        "{metrics}"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_faulty_document_is_rejected_with_its_lines_and_changes_nothing() {
    let world = World::new().await;
    let stage = Stage::new().await;
    stage.put(world.config(100, 0).to_string()).await;
    let address = stage.start().await.expect("a service");

    let faulty = "aMapPercentage: 90\nb-map-percentage: 20\nmaps:\n  a: {vendor: tmap, appKey: k}\n  b:\n    vendor: goggle\n";
    stage.put(faulty.to_owned()).await;
    let api = Api::connect(ApiSettings {
        servers: vec![format!("http://{}", stage.grpc)],
        ..ApiSettings::default()
    })
    .expect("an API");
    let reason = eventually("the fleet shows the rejection", async || {
        let fleet = api
            .fleet(Some("location"), Some("beta"))
            .await
            .expect("a fleet");
        fleet.instances.first()?.rejected.clone()
    })
    .await;
    insta::assert_snapshot!(reason);
    assert_eq!(stage.search(address).await, "a");

    stage.put(world.config(0, 100).to_string()).await;
    stage.share_of_b_becomes(address, 100.0).await;
    stage.end().await;
}

#[tokio::test]
async fn a_start_without_a_usable_document_fails_and_says_why() {
    let stage = Stage::new().await;
    stage.put("aMapPercentage: 100\n".to_owned()).await;
    let error = stage.start().await.expect_err("no provider is declared");
    insta::assert_snapshot!(format!("{error:#}"));
    stage.end().await;
}
