//! The job that the platform replaces works against it as it is: delete all keys, then put each file
//! again, by curl. Nobody sees the empty configuration in between.

use std::path::Path;
use std::process::Command;

use chameleon_client::{Chameleon, Configuration, Live};
use reqwest::Method;
use test_kit::eventually;
use tokio::task::JoinSet;

use crate::rig::{PROD, Rig, all_to};

/// In the order in which a shell's `*.yml` lists them, the folder below last.
const FILES: [&str; 3] = [
    PROD,
    "config/location.yml",
    "config/schemas/location.schema.yml",
];

/// What a client of its own reads of the service's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shares {
    a_map_percentage: u8,
    b_map_percentage: u8,
}

/// What nobody has written, so that a fall to the defaults is seen.
impl Default for Shares {
    fn default() -> Self {
        Self {
            a_map_percentage: 55,
            b_map_percentage: 44,
        }
    }
}

impl Configuration for Shares {}

const OLD: Shares = Shares {
    a_map_percentage: 100,
    b_map_percentage: 0,
};
const NEW: Shares = Shares {
    a_map_percentage: 0,
    b_map_percentage: 100,
};

/// How the job sends its requests.
#[derive(Clone, Copy, Debug)]
enum Sender {
    /// As it does: the program, with its own arguments.
    Curl,
    /// The same requests from here.
    Here,
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_unmodified_by_curl() {
    the_job_moves_the_traffic(Sender::Curl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_by_the_same_requests_from_elsewhere() {
    the_job_moves_the_traffic(Sender::Here).await;
}

async fn the_job_moves_the_traffic(sender: Sender) {
    let rig = Rig::start(None).await;
    let client = Chameleon::builder("location", "prod")
        .servers([rig.stack.addresses().grpc_url()])
        .instance("reader")
        .environment(|_| Some("x".to_owned()))
        .connect()
        .await
        .expect("a client can start");
    let shares: Live<Shares> = client.bind("").expect("the shares are there");
    let mut changes = shares.subscribe();
    let mut recording = JoinSet::new();
    recording.spawn(async move {
        let mut seen = vec![OLD];
        while let Some(change) = changes.next().await {
            assert_eq!(Some(&*change.old), seen.last());
            seen.push(*change.new);
        }
        seen
    });
    assert_eq!(*shares.load_full(), OLD);

    // The job's checkout of the repository, at a commit that moves the traffic.
    let clone = rig.stack.repository().clone_dir();
    std::fs::write(clone.join(PROD), all_to("b")).expect("the document can be written");

    send(&rig, sender, Method::DELETE, "config/?recurse", None).await;
    let refused = "the deletion has reached the client and the address searches, who refuse it";
    eventually(refused, async || {
        let told = client.rejection()?.to_string();
        let instances = rig.instances().await;
        let refusing = instances.iter().all(|one| one.rejected.is_some());
        (told.contains("documents vanished") && refusing).then_some(())
    })
    .await;
    assert_eq!(*shares.load_full(), OLD);
    assert_eq!(rig.serving().await.providers, ["a", "a"]);

    for file in FILES {
        send(&rig, sender, Method::PUT, file, Some(&clone.join(file))).await;
    }
    rig.settled("b").await;
    eventually("the client has the new shares", async || {
        (*shares.load_full() == NEW && client.rejection().is_none()).then_some(())
    })
    .await;

    client.shutdown().await;
    let seen = recording.join_next().await.expect("one recorder");
    let mut seen = seen.expect("the recorder ends with the client");
    // Other documents of the same whole may change without a change of these values.
    seen.dedup();
    assert_eq!(seen, [OLD, NEW]);
    rig.stop().await;
}

/// Sends one request of the job to the Consul port, which has to answer `true`.
async fn send(rig: &Rig, sender: Sender, method: Method, key: &str, file: Option<&Path>) {
    let url = format!("http://{}/v1/kv/{key}", rig.stack.addresses().http);
    let answer = match sender {
        Sender::Curl => {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "-X", method.as_str()]);
            if let Some(file) = file {
                curl.arg("--data-binary")
                    .arg(format!("@{}", file.display()));
            }
            let output = tokio::process::Command::from({
                curl.arg(&url);
                curl
            })
            .output()
            .await
            .expect("this test runs the job's own `curl`: install it, for example by `apt-get install curl`");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "curl {method} {url}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Sender::Here => {
            let mut request = rig.http.request(method.clone(), &url);
            if let Some(file) = file {
                let form = "application/x-www-form-urlencoded";
                request = request
                    .header("content-type", form)
                    .body(std::fs::read(file).expect("the file is there"));
            }
            let answer = request.send().await.expect("the server answers");
            assert_eq!(answer.status(), 200, "{method} {url}");
            answer.text().await.expect("the answer is text")
        }
    };
    assert_eq!(answer.trim(), "true", "{method} {url}");
}
