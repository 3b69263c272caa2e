//! A service's own type, and a client for it.

use chameleon_client::{Builder, Chameleon, ClientState, Configuration, Violation};
use futures::StreamExt as _;

use crate::fake::soon;

pub(crate) const BETA: &str = "location-beta.yml";

/// The documents' text for a share.
pub(crate) fn shares(a: u32) -> String {
    format!("aMapPercentage: {a}\nbMapPercentage: {}\n", 100 - a)
}

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Shares {
    #[serde(default = "whole")]
    pub(crate) a_map_percentage: u32,
    #[serde(default)]
    pub(crate) b_map_percentage: u32,
}

fn whole() -> u32 {
    100
}

impl Configuration for Shares {
    fn validate(&self) -> Result<(), Vec<Violation>> {
        let sum = self.a_map_percentage + self.b_map_percentage;
        if sum == 100 {
            return Ok(());
        }
        let reason = format!("shares add up to {sum}, must be 100");
        Err(vec![Violation::at("aMapPercentage", reason)])
    }
}

/// A client of `location` in `beta` with one variable in its environment.
pub(crate) fn client(servers: &[&str]) -> Builder {
    Chameleon::builder("location", "beta")
        .servers(servers.iter().copied())
        .instance("test-1")
        .jitter_seed(7)
        .environment(|name| (name == "APP_SHARE").then(|| "30".to_owned()))
}

/// Waits until the client is in a state.
pub(crate) async fn until(chameleon: &Chameleon, wanted: impl Fn(ClientState) -> bool) {
    let mut states = chameleon.states();
    soon(async {
        while let Some(state) = states.next().await {
            if wanted(state) {
                return;
            }
        }
        panic!("the client has ended");
    })
    .await;
}
