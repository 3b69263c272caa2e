//! The control port.

use map_simulator::{Fault, Vendor};
use serde_json::{Value, json};

use crate::{Running, naver_names};

#[tokio::test]
async fn a_fault_is_switched_on_shown_and_switched_off() {
    let running = Running::start();
    let none = json!({"tmap": null, "naver": null});
    assert_eq!(running.get("/faults").await, none);

    let response = running
        .put_fault("naver", r#"{"silence": true, "share": 50}"#)
        .await;
    assert_eq!(response.status(), 200);
    let fault = json!({"silence": true, "share": 50});
    assert_eq!(response.json::<Value>().await.unwrap(), fault);
    assert_eq!(running.get("/faults/naver").await, fault);
    assert_eq!(
        running.get("/faults").await,
        json!({"tmap": null, "naver": fault})
    );
    assert_eq!(
        running.simulator.faults().get(Vendor::Naver),
        Some(Fault::silence().for_share(50))
    );

    let delete = running.client.delete(running.control("/faults/naver"));
    assert_eq!(delete.send().await.unwrap().status(), 204);
    assert_eq!(running.get("/faults").await, none);
    running.end().await;
}

#[tokio::test]
async fn bad_faults_are_refused_in_one_line_and_change_nothing() {
    let running = Running::start();
    for (vendor, fault, status, told) in [
        (
            "kakao",
            r#"{"silence": true}"#,
            404,
            "unknown vendor `kakao`: use `tmap` or `naver`",
        ),
        (
            "tmap",
            r#"{"sience": true}"#,
            400,
            "not a fault: unknown field `sience`, expected one of `delay_ms`, `status`, `code`, \
             `silence`, `broken_json`, `cut`, `share` at line 1 column 9",
        ),
        (
            "tmap",
            r#"{"status": 99}"#,
            400,
            "`status` is 99: use one from 300 to 599",
        ),
    ] {
        let response = running.put_fault(vendor, fault).await;
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({"error": told}));
    }
    assert_eq!(
        running.get("/faults").await,
        json!({"tmap": null, "naver": null})
    );
    running.end().await;
}

#[tokio::test]
async fn requests_are_counted() {
    let running = Running::start();
    naver_names(&running, "코엑스").await;
    let stats = running.get("/stats").await;
    assert_eq!(
        stats["naver"]["local"],
        json!({"requests": 1, "faulted": 0})
    );
    assert_eq!(stats["tmap"]["pois"], json!({"requests": 0, "faulted": 0}));

    let url = running.control("/metrics");
    let metrics = running
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = r#"map_simulator_requests_total{vendor="naver",operation="local"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    running.end().await;
}

#[tokio::test]
async fn health_is_told() {
    let running = Running::start();
    assert_eq!(running.get("/health/ready").await["ready"], true);
    let live = running.client.get(running.control("/health/live"));
    assert_eq!(live.send().await.unwrap().status(), 200);
    running.end().await;
}
