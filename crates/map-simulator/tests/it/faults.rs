//! What a client sees of each fault.

use std::time::{Duration, Instant};

use http::StatusCode;
use map_simulator::{Fault, Vendor};
use serde_json::Value;

use crate::{PATIENCE, Running, naver_names, tmap_names};

#[tokio::test]
async fn a_status_is_worded_by_its_vendor_and_leaves_the_other_alone() {
    let running = Running::start();
    let faults = running.simulator.faults();
    faults.set(
        Vendor::Naver,
        Fault::status(StatusCode::SERVICE_UNAVAILABLE),
    );
    let response = running.naver("코엑스").send().await.unwrap();
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["message"], "Endpoint Error");
    assert_eq!(tmap_names(&running, "코엑스").await[0], "코엑스");

    faults.clear(Vendor::Naver);
    assert_eq!(naver_names(&running, "코엑스").await[0], "코엑스");
    running.end().await;
}

#[tokio::test]
async fn a_delay_is_at_least_as_long_as_it_was_set() {
    let running = Running::start();
    let delay = Duration::from_millis(60);
    running
        .simulator
        .faults()
        .set(Vendor::Tmap, Fault::delay(delay));
    let before = Instant::now();
    assert_eq!(tmap_names(&running, "코엑스").await[0], "코엑스");
    assert!(before.elapsed() >= delay);
    running.end().await;
}

#[tokio::test]
async fn a_long_delay_ends_when_the_fault_is_switched_off() {
    let running = Running::start();
    let faults = running.simulator.faults();
    faults.set(Vendor::Tmap, Fault::delay(Fault::MAX_DELAY));
    let (names, ()) = tokio::join!(tmap_names(&running, "코엑스"), async {
        running.until_faulted("tmap", "pois", 1).await;
        faults.clear(Vendor::Tmap);
    });
    assert_eq!(names[0], "코엑스");
    running.end().await;
}

#[tokio::test]
async fn silence_lasts_until_the_fault_changes() {
    let running = Running::start();
    let faults = running.simulator.faults();
    faults.set(Vendor::Naver, Fault::silence());
    let (names, ()) = tokio::join!(naver_names(&running, "코엑스"), async {
        running.until_faulted("naver", "local", 1).await;
        faults.clear(Vendor::Naver);
    });
    assert_eq!(names[0], "코엑스");
    running.end().await;
}

#[tokio::test]
async fn silence_and_delay_end_with_the_simulator() {
    let running = Running::start();
    let faults = running.simulator.faults();
    faults.set(Vendor::Naver, Fault::silence());
    faults.set(Vendor::Tmap, Fault::delay(Fault::MAX_DELAY));
    let (silent, late, ()) = tokio::join!(
        running.naver("코엑스").send(),
        running.tmap("코엑스").send(),
        async {
            running.until_faulted("naver", "local", 1).await;
            running.until_faulted("tmap", "pois", 1).await;
            running.lifecycle.shut_down();
        }
    );
    assert_eq!(silent.unwrap().status(), 503);
    assert_eq!(late.unwrap().status(), 503);
    running.end().await;
}

#[tokio::test]
async fn a_silent_vendor_forgets_a_client_that_goes_away() {
    let running = Running::start();
    running
        .simulator
        .faults()
        .set(Vendor::Tmap, Fault::silence());
    let impatient = running.tmap("코엑스").timeout(Duration::from_millis(50));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    running.end().await;
}

#[tokio::test]
async fn broken_json_ends_in_its_middle() {
    let running = Running::start();
    for vendor in Vendor::ALL {
        running.simulator.faults().set(vendor, Fault::broken_json());
    }
    // A search without a result has no body at TMAP; even that comes broken.
    for request in [
        running.tmap("코엑스"),
        running.tmap("없는가게"),
        running.naver("코엑스"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(b"{"));
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }
    running.end().await;
}

#[tokio::test]
async fn a_cut_answer_never_becomes_whole() {
    let running = Running::start();
    for vendor in Vendor::ALL {
        running.simulator.faults().set(vendor, Fault::cut());
    }
    for request in [
        running.tmap("코엑스"),
        running.tmap("없는가게"),
        running.naver("코엑스"),
    ] {
        let failed = match request.send().await {
            Ok(response) => response.bytes().await.is_err(),
            Err(error) => !error.is_timeout(),
        };
        assert!(failed);
    }
    running.end().await;
}

#[tokio::test]
async fn a_share_touches_that_part_of_the_requests() {
    let running = Running::start();
    let fault = Fault::status(StatusCode::TOO_MANY_REQUESTS).for_share(25);
    running.simulator.faults().set(Vendor::Tmap, fault);
    let mut refused = 0;
    for _ in 0..20 {
        let response = running.tmap("코엑스").send().await.unwrap();
        refused += u32::from(response.status() == 429);
    }
    assert_eq!(refused, 5);
    let stats = running.simulator.stats()["tmap"]["pois"];
    assert_eq!((stats.requests, stats.faulted), (20, 5));
    running.end().await;
}

#[tokio::test]
async fn a_delay_goes_with_another_fault() {
    let running = Running::start();
    let delay = Duration::from_millis(40);
    let fault = Fault::status(StatusCode::BAD_GATEWAY).after(delay);
    running.simulator.faults().set(Vendor::Tmap, fault);
    let before = Instant::now();
    let request = running.tmap("코엑스").timeout(PATIENCE);
    assert_eq!(request.send().await.unwrap().status(), 502);
    assert!(before.elapsed() >= delay);
    running.end().await;
}
