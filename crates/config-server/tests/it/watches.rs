//! Watches: what comes first, what follows, and how a client comes back.

use chameleon_proto::v1;
use config_server::{Limits, Settings};
use tonic::Code;

use crate::support::{Server, Watch, commit, put, stamp_of, subscribe};

#[tokio::test]
async fn the_first_state_is_complete_and_the_next_ones_are_not() {
    let server = Server::start().await;
    server.write("a/1", "one").await;
    server.write("b", "one").await;
    let mut watch = Watch::opened(&server, subscribe(&["b"], &["a/"]))
        .await
        .unwrap();
    let first = watch.next().await;
    assert_eq!((first.base, first.puts, first.chunks), (None, 2, 1));
    let held = watch.stamp;

    server.write("elsewhere", "x").await;
    server.write("a/2", "two").await;
    let second = watch.next().await;
    assert_eq!((second.base, second.puts), (held, 1));
    assert_eq!(watch.stamp.unwrap().revision, 4);
    server.delete("/v1/kv/a?recurse").await;
    let third = watch.next().await;
    assert_eq!(third.deletes, ["a/1", "a/2"]);
    assert_eq!(watch.entries.len(), 1);
}

#[tokio::test]
async fn a_transaction_is_never_split() {
    let server = Server::start().await;
    let mut watch = Watch::open(&server, subscribe(&[], &["pair/"])).await;
    for round in 0..20 {
        let value = format!("{round}");
        let both = vec![put("pair/a", value.clone()), put("pair/b", value.clone())];
        let outcome = commit(&server, v1::CommitHeader::default(), both)
            .await
            .unwrap();
        let stamp = stamp_of(&outcome);
        while watch.stamp != Some(stamp) {
            watch.next().await;
            assert_eq!(watch.value("pair/a"), watch.value("pair/b"));
        }
        assert_eq!(watch.value("pair/a"), Some(value.as_str()));
    }
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_lacks() {
    let server = Server::start().await;
    server.write("a", "one").await;
    server.write("b", "one").await;
    let watch = Watch::open(&server, subscribe(&[], &[""])).await;
    let last = watch.stamp;
    drop(watch);

    let again = |last| v1::Subscribe {
        last,
        ..subscribe(&[], &[""])
    };
    let mut same = Watch::opened(&server, again(last)).await.unwrap();
    let nothing = same.next().await;
    assert_eq!(
        (nothing.base, nothing.puts, nothing.deletes.len()),
        (last, 0, 0)
    );
    assert_eq!(same.stamp, last);

    server.write("c", "new").await;
    server.delete("/v1/kv/a").await;
    let mut behind = Watch::opened(&server, again(last)).await.unwrap();
    let missed = behind.next().await;
    assert_eq!(
        (missed.base, missed.puts, missed.deletes),
        (last, 1, vec!["a".to_owned()])
    );
    assert_eq!(behind.value("c"), Some("new"));

    // A stamp that this lineage has never had is no base.
    let mut strange = last.unwrap();
    strange.tag ^= 1;
    let mut other = Watch::opened(&server, again(Some(strange))).await.unwrap();
    let all = other.next().await;
    assert_eq!((all.base, all.puts), (None, 2));
}

#[tokio::test]
async fn large_states_come_in_chunks_and_apply_whole() {
    let server = Server::start().await;
    let value = vec![b'x'; 300 * 1024];
    let operations = (0..8)
        .map(|key| put(&format!("big/{key}"), value.clone()))
        .collect();
    let messages: Vec<Vec<_>> = vec![operations];
    let halves = messages.into_iter().flat_map(|all: Vec<v1::Operation>| {
        let (one, two) = all.split_at(4);
        [one.to_vec(), two.to_vec()]
    });
    let requests = crate::support::requests(v1::CommitHeader::default(), halves.collect());
    server.client().await.commit(requests).await.unwrap();

    let mut watch = Watch::opened(&server, subscribe(&[], &["big/"]))
        .await
        .unwrap();
    let first = watch.next().await;
    assert_eq!(first.puts, 8);
    assert!(first.chunks >= 3, "{} chunks", first.chunks);
    assert!(
        first.largest < 1024 * 1024 + 1024,
        "{} bytes",
        first.largest
    );

    let mut client = server.client().await;
    let read = v1::ReadRequest {
        prefixes: vec!["big/".to_owned()],
        ..v1::ReadRequest::default()
    };
    let mut states = client.read(read).await.unwrap().into_inner();
    let mut puts = 0;
    let mut more = true;
    while let Some(state) = states.message().await.unwrap() {
        puts += state.puts.len();
        more = state.more;
    }
    assert_eq!((puts, more), (8, false));
}

#[tokio::test]
async fn a_watcher_that_does_not_read_skips_to_the_newest_state_and_slows_nobody() {
    let server = Server::start().await;
    let mut watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    let mut other = Watch::open(&server, subscribe(&["a"], &[])).await;
    let value = vec![b'x'; 400 * 1024];
    let mut last = None;
    for round in 0..40_u8 {
        let mut value = value.clone();
        value.push(round);
        let outcome = commit(&server, v1::CommitHeader::default(), vec![put("a", value)]).await;
        last = Some(stamp_of(&outcome.unwrap()));
        while other.stamp != last {
            other.next().await;
        }
    }
    let mut states = 0;
    while watch.stamp != last {
        watch.next().await;
        states += 1;
    }
    assert!(states < 40, "every one of {states} states was queued");
    assert_eq!(watch.entries["a"].last(), Some(&39));
}

#[tokio::test]
async fn a_client_may_end_its_side_and_still_watch() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let first = v1::watch_request::Message::Subscribe(subscribe(&["a"], &[]));
    let only = v1::WatchRequest {
        message: Some(first),
    };
    let mut states = client
        .watch(futures::stream::iter([only]))
        .await
        .unwrap()
        .into_inner();
    assert!(states.message().await.unwrap().unwrap().puts.is_empty());
    server.write("a", "x").await;
    assert_eq!(states.message().await.unwrap().unwrap().puts[0].key, "a");
}

#[tokio::test]
async fn watches_are_bounded_over_all_faces() {
    let limits = Limits {
        watches: 1,
        ..Limits::default()
    };
    let server = Server::with(Settings {
        limits,
        ..Settings::default()
    })
    .await;
    let watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    let status = Watch::opened(&server, subscribe(&["a"], &[]))
        .await
        .err()
        .unwrap();
    // Another server may have room, so that a client goes on to it.
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("--max-watches"),
        "{}",
        status.message()
    );
    let response = server.get("/v1/kv/a?index=1&wait=60s").await;
    assert_eq!(response.status(), 429);
    drop(watch);
    test_kit::eventually("the place is free again", async || {
        Watch::opened(&server, subscribe(&["a"], &[])).await.ok()
    })
    .await;
}
