//! Health and metrics.

use config_server::{Listeners, Settings};
use service_kit::{Lifecycle, healthcheck};

use crate::support::{Server, free_listener};

#[tokio::test]
async fn health_and_metrics_stand_beside_the_faces() {
    let server = Server::start().await;
    server.write("a", "x").await;
    assert_eq!(server.get("/health/live").await.status(), 200);
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status(), 200);
    assert!(
        ready
            .text()
            .await
            .unwrap()
            .contains("\"state\":{\"state\":\"passing\"}")
    );
    let metrics = server.get("/metrics").await.text().await.unwrap();
    for start in [
        r#"chameleon_build_info{component="config-server""#,
        r#"chameleon_commits_total{face="consul",outcome="committed"} 1"#,
        r#"chameleon_http_requests_total{method="PUT",route="/v1/kv",status="200"} 1"#,
        r#"chameleon_http_request_seconds_count{route="/v1/kv"} 1"#,
        "chameleon_revision 1.0",
        "chameleon_entries 1.0",
        "chameleon_store_available 1.0",
        "chameleon_snapshot_age_seconds ",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(start)),
            "no `{start}` in:\n{metrics}"
        );
    }
}

#[tokio::test]
async fn an_admin_listener_takes_the_pages_away_from_the_faces() {
    let listeners = Listeners {
        http: free_listener(),
        grpc: free_listener(),
        admin: Some(free_listener()),
    };
    let http = listeners.http.local_addr().unwrap();
    let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    let lifecycle = Lifecycle::default();
    let settings = Settings {
        token: Some("0123456789abcdef".into()),
        ..Settings::default()
    };
    config_server::start(settings, store, listeners, &lifecycle)
        .await
        .unwrap();
    healthcheck(&format!("http://{admin}/health/ready"))
        .await
        .unwrap();
    healthcheck(&format!("http://{admin}/metrics"))
        .await
        .unwrap();
    let error = healthcheck(&format!("http://{http}/health/ready"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    lifecycle.shut_down();
    lifecycle.finished().await.unwrap();
}
