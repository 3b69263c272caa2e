//! The calls: several servers, tokens, chunks, retries.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chameleon_client::{Api, ApiError, ApiSettings, CommitOutcome, Selection, Token};
use chameleon_model::{Key, Operation, Transaction};
use chameleon_proto::v1::commit_request::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fake::{Fake, soon, stamp, state};

fn api(servers: &[&str]) -> Api {
    Api::connect(ApiSettings {
        servers: servers.iter().copied().map(Into::into).collect(),
        call_timeout: Duration::from_secs(2),
        ..ApiSettings::default()
    })
    .unwrap()
}

/// An address that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn servers_are_tried_in_turn() {
    let (refusing, good) = (Fake::start().await, Fake::start().await);
    refusing.refuse(true);
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = format!("http://{}", silent.local_addr().unwrap());
    let nobody = nobody().await;
    for first in [&nobody, &refusing.address, &silent_address] {
        let api = api(&[first, &good.address]);
        assert_eq!(soon(api.status()).await.unwrap().version, "fake", "{first}");
    }
}

#[tokio::test]
async fn errors_say_what_the_caller_can_do() {
    let nobody = nobody().await;
    let error = soon(api(&[&nobody]).status()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no server answers at `{nobody}`")
    );
    let cause = std::error::Error::source(&error).unwrap();
    let expected = std::io::Error::from_raw_os_error(111);
    if cfg!(target_os = "linux") {
        assert_eq!(cause.to_string(), expected.to_string());
    }
    assert!(cause.source().is_none(), "the cause is told once");

    let server = Fake::start().await;
    server.refuse(true);
    let error = soon(api(&[&server.address, &nobody]).status())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "unavailable: no database");
    server.refuse(false);

    let error = soon(api(&[&server.address]).fleet(None, None))
        .await
        .unwrap_err();
    assert!(matches!(error, ApiError::Protocol { .. }), "{error}");

    *server.shared.token.lock().await = Some("Bearer right".to_owned());
    let error = soon(api(&[&server.address]).status()).await.unwrap_err();
    assert_eq!(error.to_string(), "denied: the token is not known");
    let with_token = Api::connect(ApiSettings {
        servers: vec![server.address.clone()],
        token: Some(Token::value("right")),
        ..ApiSettings::default()
    });
    assert!(soon(with_token.unwrap().status()).await.is_ok());
}

#[tokio::test]
async fn a_read_is_put_together_from_its_chunks() {
    let server = Fake::start().await;
    let mut first = state(stamp(1, 5), None, &[("b.yml", "b: 1")]);
    first.more = true;
    let last = state(stamp(1, 5), None, &[("a.yml", "a: 1")]);
    *server.shared.reads.lock().await = vec![first.clone(), last];
    let api = api(&[&server.address]);
    let read = soon(api.read(&Selection::all(), None)).await.unwrap();
    assert_eq!(read.stamp, stamp(1, 5));
    let keys: Vec<_> = read
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(keys, ["config/a.yml", "config/b.yml"]);

    for (chunks, reason) in [
        (
            vec![first],
            "the answer ended before state 1.5.00000000000003ed was whole",
        ),
        (vec![], "the answer holds no state"),
    ] {
        *server.shared.reads.lock().await = chunks;
        let error = soon(api.read(&Selection::all(), None)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("server `{}`: {reason}", server.address)
        );
    }
}

#[tokio::test]
async fn a_commit_carries_a_request_id_and_all_operations() {
    let server = Fake::start().await;
    let nobody = nobody().await;
    let put = |index: usize| Operation::Put {
        key: Key::new(&format!("config/{index}.yml")).unwrap(),
        value: vec![b'x'; 400_000].into(),
        flags: 0,
    };
    let transaction = Transaction {
        operations: (0..7).map(put).collect(),
        ..Transaction::default()
    };
    let outcome = soon(api(&[&nobody, &server.address]).commit(transaction))
        .await
        .unwrap();
    assert_eq!(outcome, CommitOutcome::Committed(stamp(1, 9)));
    let commits = server.shared.commits.lock().await;
    let [messages] = commits.as_slice() else {
        panic!("one commit was expected, not {}", commits.len());
    };
    let Some(Message::Header(header)) = &messages[0].message else {
        panic!("the header comes first");
    };
    assert!(
        uuid::Uuid::parse_str(&header.request_id).is_ok(),
        "{}",
        header.request_id
    );
    let operations = messages[1..].iter().map(|message| match &message.message {
        Some(Message::Operations(operations)) => operations.operations.len(),
        other => panic!("operations were expected: {other:?}"),
    });
    assert_eq!(operations.sum::<usize>(), 7);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_sent_again_under_its_id() {
    let (first, second) = (Fake::start().await, Fake::start().await);
    first.shared.swallows.store(true, Ordering::Relaxed);
    // A cable to the first server that can be cut.
    let cable = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", cable.local_addr().unwrap());
    let behind = first.address.trim_start_matches("http://").to_owned();
    let mut cables = JoinSet::new();
    cables.spawn(async move {
        let (mut near, _) = cable.accept().await.unwrap();
        let mut far = TcpStream::connect(behind).await.unwrap();
        // It ends by being cut.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let api = api(&[&address, &second.address]);
    let (outcome, ()) = tokio::join!(soon(api.commit(Transaction::default())), async {
        soon(first.shared.swallowed.notified()).await;
        cables.shutdown().await;
    });
    assert_eq!(outcome.unwrap(), CommitOutcome::Committed(stamp(1, 9)));
    let (once, again) = (
        first.shared.commits.lock().await,
        second.shared.commits.lock().await,
    );
    assert_eq!((once.len(), again.len()), (1, 1));
    assert_eq!(once[0], again[0]);
}

#[tokio::test]
async fn a_watch_goes_on_after_its_server() {
    let (mut first, mut second) = (Fake::start().await, Fake::start().await);
    let api = api(&[&first.address, &second.address]);
    let mut watch = api.watch(&Selection::all(), None, None);
    let (update, connection) = tokio::join!(
        soon(watch.next()),
        first.serve(stamp(1, 5), &[("a.yml", "a: 1")])
    );
    assert_eq!(
        (update.unwrap().stamp, watch.entries().len()),
        (stamp(1, 5), 1)
    );
    drop(connection);
    let error = soon(watch.next()).await.unwrap_err();
    assert!(matches!(error, ApiError::Ended { .. }), "{error}");
    let (update, ()) = tokio::join!(soon(watch.next()), async {
        let connection = second.accept().await;
        assert_eq!(connection.last(), Some(stamp(1, 5)));
        let mut gone = state(stamp(1, 6), Some(stamp(1, 5)), &[]);
        gone.deletes = vec!["config/a.yml".to_owned()];
        connection.send(gone).await;
    });
    assert_eq!(update.unwrap().deletes[0].as_str(), "config/a.yml");
    assert!(watch.entries().is_empty());
    assert_eq!(watch.stamp(), Some(stamp(1, 6)));
}
